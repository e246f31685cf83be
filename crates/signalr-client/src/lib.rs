//! An async SignalR client that knows no runtime.
//!
//! Most programs use it through the facade `signalr`, which fills in the runtime. This crate knows none
//! of them without its features, and no network: a connection runs over any [`Transport`], and whoever builds it runs its driver.
//!
//! ```no_run
//! use signalr_client::{HubConnection, Transport};
//!
//! async fn run(transport: impl Transport) -> Result<(), Box<dyn std::error::Error>> {
//!     let (connection, driver) = HubConnection::builder("http://localhost:5000/chat").build_with(transport)?;
//!     let work = async move {
//!         connection.on("Receive", |user: String, text: String| println!("{user}: {text}"));
//!         connection.start().await?;
//!         connection.call("Send", ("me", "hello")).await?;
//!         connection.stop().await;
//!         Ok::<(), Box<dyn std::error::Error>>(())
//!     };
//!     // Nothing is spawned: the driver is a future like any other.
//!     let (outcome, ()) = futures_util::future::join(work, driver.run()).await;
//!     outcome
//! }
//! ```
//!
//! The log goes through [`tracing`](https://docs.rs/tracing): `RUST_LOG=signalr=debug` shows it, with a subscriber that reads that
//! variable. `warn` tells of connections that are given up, of calls of the server that no handler could take, and of handlers that
//! block the connection; `info` of connections, failed attempts and fallbacks; `debug` of requests; `trace` of each message by its
//! target and size. Tokens and payloads are never logged.
//!
//! | feature | default | |
//! |---|---|---|
//! | `net` | no | `build_on`: HTTP, WebSockets, proxies and cookies over the sockets of any runtime, from `signalr-net` |
//! | `tokio` | no | `build`: on tokio; brings `net` along |
//! | `blocking` | no | `build_blocking`: for threads without an async runtime, see `blocking`; brings `tokio` along |
//! | `tls-native-roots` | no | https, with the certificates the system trusts; brings `net` along |
//! | `tls-webpki-roots` | no | https, with the certificates Mozilla trusts; brings `net` along |

mod arguments;
#[cfg(feature = "blocking")]
pub mod blocking;
mod builder;
mod call;
mod connection;
mod driver;
mod error;
mod handler;
#[cfg(feature = "net")]
mod launch;
mod lifecycle;
#[cfg(feature = "net")]
mod net;
mod policy;
mod shared;
mod states;
mod transport;
mod upload;

pub use arguments::{Argument, CallArguments, HubArgument};
pub use builder::HubConnectionBuilder;
pub use call::{Invoke, ItemStream, OpenStream, Sending};
pub use connection::{HubConnection, WeakHubConnection};
pub use driver::Driver;
pub use error::{
    BuildError, CallError, CallErrorKind, RefreshError, RefreshErrorKind, StartError,
    StartErrorKind,
};
pub use handler::{
    AnyReply, ErasedHandler, Handler, HandlerError, Incoming, IntoReply, Parameter, Subscription,
    WithState, form,
};
pub use lifecycle::{Events, LifecycleEvent};
pub use policy::{IntoToken, RetryPolicy};
pub use states::States;
pub use transport::Transport;
pub use upload::Upload;

#[cfg(feature = "net")]
pub use signalr_net::{
    CookieJar, Cookies, NetError, NetOptions, NetTransport, NoCookies, Proxy, Runtime, SetupError,
    Spawn, SpawnError, Task, TlsOptions,
};
pub use signalr_proto as proto;
pub use signalr_proto::client::{ConnectionState, ReconnectPolicy, RetryContext, Stats};
pub use signalr_proto::domain::ascii_address;
pub use signalr_proto::transport::WsMessage;
pub use signalr_proto::{
    Arguments, CloseReason, ConnectionId, FromArguments, Instant, Limits, Payload, Protocol,
    Spread, Timestamp, TransportKind,
};

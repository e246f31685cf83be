//! An async SignalR client that knows no runtime.
//!
//! Most programs use it through [`signalr-tokio`](https://docs.rs/signalr-tokio),
//! [`signalr-smol`](https://docs.rs/signalr-smol) or the facade [`signalr`](https://docs.rs/signalr), which fill in the runtime:
//! a [`HubConnection`] is then all there is to it. This crate is for runtimes and networks of your own, see [`Runtime`] and
//! [`Transport`]:
//!
//! ```no_run
//! use signalr_client::{Detached, HubConnection, NetTransport, Runtime};
//!
//! async fn run<R: Runtime>(runtime: R) -> Result<(), Box<dyn std::error::Error>> {
//!     let transport = NetTransport::new(runtime, Default::default())?;
//!     let (connection, driver) = HubConnection::<Detached>::builder("http://localhost:5000/chat").build_with(transport)?;
//!     let work = async move {
//!         connection.on("Receive", |user: String, text: String| println!("{user}: {text}"));
//!         connection.start().await?;
//!         connection.call("Send", ("me", "hello")).await?;
//!         connection.stop().await;
//!         Ok::<(), signalr_client::Error>(())
//!     };
//!     // Nothing is spawned: the driver is a future like any other.
//!     let (outcome, ()) = futures_util::future::join(work, driver.run()).await;
//!     Ok(outcome?)
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
//! | `tls-native-roots` | yes | https, with the certificates the system trusts |
//! | `tls-webpki-roots` | no | https, with the certificates Mozilla trusts |
//! | `tls` | through either | https, with nothing but the certificates you add |

mod arguments;
mod builder;
mod call;
mod connection;
mod domain;
mod driver;
mod error;
mod handler;
mod lifecycle;
mod net;
mod policy;
mod shared;
mod states;
mod transport;
mod upload;

pub use arguments::{Argument, CallArguments, HubArgument, Spread};
pub use builder::HubConnectionBuilder;
pub use call::{Invoke, ItemStream, OpenStream, Sending};
pub use connection::{HubConnection, WeakHubConnection};
pub use domain::ascii_address;
pub use driver::Driver;
pub use error::{BuildError, Error, LaunchError};
pub use handler::{
    AnyReply, ErasedHandler, Handler, HandlerError, Incoming, IntoReply, Parameter, Subscription,
    WithState, form,
};
pub use lifecycle::LifecycleEvent;
pub use net::{
    CookieJar, Cookies, NetBody, NetError, NetOptions, NetTransport, NetWebSocket, NoCookies,
    Proxy, TlsOptions,
};
pub use policy::{IntoToken, RetryPolicy};
pub use states::States;
pub use transport::{Detached, DriverFuture, Launch, Launcher, Runtime, Transport};
pub use upload::Upload;

pub use signalr_proto as proto;
pub use signalr_proto::client::{ConnectionState, ReconnectPolicy, RetryContext, Stats};
pub use signalr_proto::{
    Arguments, CloseReason, FromArguments, Instant, Limits, Payload, Protocol, Timestamp,
    TransportKind,
};

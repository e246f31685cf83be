//! HTTP/1.1, WebSockets and TLS over the sockets of any async runtime: the network of a SignalR client.
//!
//! Most programs meet this crate through the facade `signalr`, whose builder makes a [`NetTransport`] by itself. Make
//! one yourself to wrap it in a transport of your own, or to run a connection's driver yourself. A [`Runtime`] is all it takes:
//!
//! ```
//! use bytes::Bytes;
//! use signalr_net::{NetOptions, NetTransport, Proxy, Runtime};
//!
//! async fn status<R: Runtime>(runtime: R) -> Result<u16, Box<dyn std::error::Error>> {
//!     let options = NetOptions::default().proxy(Proxy::none());
//!     let net = NetTransport::new(runtime, options)?;
//!     let request = http::Request::get("http://localhost:5000/").body(Bytes::new())?;
//!     Ok(net.request(request).await?.status().as_u16())
//! }
//! ```
//!
//! | feature | default | |
//! |---|---|---|
//! | `tls-native-roots` | yes | https, with the certificates the system trusts |
//! | `tls-webpki-roots` | no | https, with the certificates Mozilla trusts |
//! | `tls` | through either | https, with nothing but the certificates you add |

mod address;
mod cookies;
mod error;
mod http1;
mod live;
mod options;
mod pool;
mod proxy;
mod redirect;
mod runtime;
mod stream;
#[cfg(feature = "tls")]
mod tls;
mod transport;
mod tunnel;
mod web_socket;

pub use cookies::{CookieJar, Cookies, NoCookies};
pub use error::{NetError, SetupError};
pub use http1::NetBody;
pub use options::{NetOptions, TlsOptions};
pub use proxy::Proxy;
pub use runtime::{Runtime, Spawn, SpawnError, Task};
pub use transport::NetTransport;
pub use web_socket::NetWebSocket;

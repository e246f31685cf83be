//! What the driver asks of the outside world.

use core::future::Future;

use bytes::Bytes;
use futures_core::Stream;
use futures_sink::Sink;
use signalr_proto::transport::WsMessage;
use signalr_proto::{EndCause, Instant};

/// HTTP, WebSockets and time, as the driver uses them.
///
/// `NetTransport` (feature `net`) implements it over any runtime, with proxies, cookies, redirects and connections that are used again; all
/// of those are a transport's business. Implement it yourself for a network that is not sockets, such as a browser's or a
/// simulated one, or around another transport, and hand it to [`build_with`](crate::HubConnectionBuilder::build_with). Nothing
/// has to be `Send`; the driver's future is when all of these are.
///
/// A connection makes a few requests at a time, with bodies that are small in both directions or come piece by piece for as long
/// as the connection lives. A future or body that is dropped is of no interest any more.
///
/// ```
/// use bytes::Bytes;
/// use signalr_client::{Instant, Transport};
///
/// /// Says what goes on.
/// #[derive(Clone)]
/// struct Talking<T>(T);
///
/// impl<T: Transport> Transport for Talking<T> {
///     type WebSocket = T::WebSocket;
///     type Body = T::Body;
///     type Error = T::Error;
///
///     async fn request(&self, request: http::Request<Bytes>) -> Result<http::Response<T::Body>, T::Error> {
///         let what = format!("{} {}", request.method(), request.uri().path());
///         let answer = self.0.request(request).await?;
///         println!("{what}: {}", answer.status());
///         Ok(answer)
///     }
///
///     async fn open_web_socket(&self, request: http::Request<()>) -> Result<T::WebSocket, T::Error> {
///         println!("WebSocket {}", request.uri().path());
///         self.0.open_web_socket(request).await
///     }
///
///     async fn sleep_until(&self, deadline: Instant) {
///         self.0.sleep_until(deadline).await;
///     }
///
///     fn now(&self) -> Instant {
///         self.0.now()
///     }
///
///     fn end_cause(error: &T::Error) -> signalr_client::proto::EndCause {
///         T::end_cause(error)
///     }
/// }
/// ```
pub trait Transport: Clone + 'static {
    /// An open WebSocket. It ends (`None`) or fails when the peer closes it, and is closed by sending a
    /// [`WsMessage::Close`] and dropping it.
    type WebSocket: Stream<Item = Result<WsMessage, Self::Error>>
        + Sink<WsMessage, Error = Self::Error>
        + Unpin;
    /// The body of an HTTP answer. Ends (`None`) only when all of it came; breaking off is an error.
    type Body: Stream<Item = Result<Bytes, Self::Error>> + Unpin;
    /// What fails. `Display` says it in a person's words, without queries, headers or tokens.
    type Error: core::error::Error + 'static;

    /// Sends a request and waits for the head of the answer, whatever its status. One that may have reached the server is not
    /// sent again.
    fn request(
        &self,
        request: http::Request<Bytes>,
    ) -> impl Future<Output = Result<http::Response<Self::Body>, Self::Error>>;

    /// Opens a WebSocket: a `ws` or `wss` address, without the headers that RFC 6455 wants.
    fn open_web_socket(
        &self,
        request: http::Request<()>,
    ) -> impl Future<Output = Result<Self::WebSocket, Self::Error>>;

    /// Waits. Waking up a little early is fine: expiry is decided by [`now`](Self::now).
    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()>;

    /// The time, since any epoch. Never goes backwards.
    fn now(&self) -> Instant;

    /// The error as the protocol's machine wants it: a refused upgrade keeps its status, a closed WebSocket its code.
    fn end_cause(error: &Self::Error) -> EndCause {
        EndCause::Failed {
            detail: error.to_string().into(),
        }
    }
}

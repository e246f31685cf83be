//! One HTTP/1.1 request on a connection of its own.

use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, ready};
use std::io;

use bytes::Bytes;
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::Stream;
use futures_util::future::{Either, select};
use http::header;
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{self, Connection};
use hyper::rt::ReadBufCursor;

use super::NetError;
use super::address::Address;
use super::stream::NetStream;

/// Bytes read from the socket at a time.
const CHUNK: usize = 4096;

/// A runtime's stream in the shape hyper wants.
struct Io<S>(NetStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> hyper::rt::Read for Io<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut chunk = [0; CHUNK];
        let room = buffer.remaining().min(CHUNK);
        let space = chunk.get_mut(..room).unwrap_or_default();
        let count = ready!(Pin::new(&mut self.0).poll_read(cx, space))?;
        buffer.put_slice(chunk.get(..count).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> hyper::rt::Write for Io<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}

/// What moves the bytes of one connection.
type Driving<S> = Pin<Box<Connection<Io<S>, Full<Bytes>>>>;

/// The body of an answer; reading it drives the connection it comes on.
pub struct NetBody<S: AsyncRead + AsyncWrite + Unpin> {
    /// Gone once the connection ended: what it had read is in `incoming`.
    connection: Option<Driving<S>>,
    incoming: Incoming,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for NetBody<S> {
    type Item = Result<Bytes, NetError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let ended = self
            .connection
            .as_mut()
            .is_some_and(|connection| connection.as_mut().poll(cx).is_ready());
        if ended {
            // An error shows in the body, too, if it concerns it.
            self.connection = None;
        }
        loop {
            return Poll::Ready(match ready!(Pin::new(&mut self.incoming).poll_frame(cx)) {
                None => None,
                Some(Err(error)) => Some(Err(NetError::because("the answer broke off", &error))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) => Some(Ok(bytes)),
                    Err(_trailers) => continue,
                },
            });
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> core::fmt::Debug for NetBody<S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("NetBody").finish_non_exhaustive()
    }
}

/// Sends the request and waits for the head of the answer.
pub(super) async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    stream: NetStream<S>,
    address: &Address,
    request: http::Request<Bytes>,
) -> Result<http::Response<NetBody<S>>, NetError> {
    let request = in_origin_form(address, request)?;
    let (mut sender, connection) = http1::handshake(Io(stream))
        .await
        .map_err(|error| http_error(address, &error))?;
    let connection = Box::pin(connection);
    let answer = pin!(sender.send_request(request));
    let (connection, answer) = match select(connection, answer).await {
        Either::Right((answer, connection)) => (Some(connection), answer),
        Either::Left((_, answer)) => (None, answer.await),
    };
    let (head, incoming) = answer
        .map_err(|error| http_error(address, &error))?
        .into_parts();
    Ok(http::Response::from_parts(
        head,
        NetBody {
            connection,
            incoming,
        },
    ))
}

/// Sends the request and, if the answer is 101, gives back the stream with what was read of it beyond the answer. With any
/// other answer nothing but its head counts.
pub(super) async fn upgrade<S: AsyncRead + AsyncWrite + Unpin>(
    stream: NetStream<S>,
    address: &Address,
    request: http::Request<()>,
) -> Result<(http::response::Parts, Option<(NetStream<S>, Bytes)>), NetError> {
    let failed = |error| http_error(address, &error);
    let request = in_origin_form(address, request.map(|()| Bytes::new()))?;
    let (mut sender, connection) = http1::handshake(Io(stream)).await.map_err(failed)?;
    let ended = pin!(connection.without_shutdown());
    let answer = pin!(sender.send_request(request));
    let (answer, ended) = match select(ended, answer).await {
        Either::Right((answer, ended)) => (answer, Either::Right(ended)),
        Either::Left((parts, answer)) => (answer.await, Either::Left(parts)),
    };
    let (head, _) = answer.map_err(failed)?.into_parts();
    if head.status != http::StatusCode::SWITCHING_PROTOCOLS {
        return Ok((head, None));
    }
    let parts = match ended {
        Either::Left(parts) => parts,
        Either::Right(ended) => ended.await,
    };
    let parts = parts.map_err(failed)?;
    Ok((head, Some((parts.io.0, parts.read_buf))))
}

/// The request as it stands on the wire: path and query, with the host as a header.
fn in_origin_form(
    address: &Address,
    request: http::Request<Bytes>,
) -> Result<http::Request<Full<Bytes>>, NetError> {
    let (mut head, body) = request.into_parts();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    head.uri = path
        .parse()
        .map_err(|_| NetError::failed("the path of the address is not valid in HTTP"))?;
    if !head.headers.contains_key(header::HOST) {
        head.headers.insert(header::HOST, address.host_header()?);
    }
    Ok(http::Request::from_parts(head, Full::new(body)))
}

fn http_error(address: &Address, error: &hyper::Error) -> NetError {
    if error.is_parse() {
        return NetError::failed(format!("{} does not speak HTTP/1.1", address.authority()));
    }
    if error.is_incomplete_message() {
        return NetError::failed(format!(
            "{} closed the connection without an answer",
            address.authority()
        ));
    }
    NetError::because(
        &format!("the request to {} failed", address.authority()),
        error,
    )
}

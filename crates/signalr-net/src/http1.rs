//! HTTP/1.1 requests, one after the other on a connection.

use core::future::Future as _;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, ready};
use std::sync::Arc;

use bytes::Bytes;
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::Stream;
use futures_util::future::{Either, select};
use http::uri::Scheme;
use http::{HeaderValue, Uri, header};
use hyper::body::{Body as _, Incoming};

use crate::address::{Address, Origin};
use crate::error::NetError;
use crate::live::{Live, Pieces, WireRequest, http_error};
use crate::pool::Pool;
use crate::stream::NetStream;

/// Where a connection goes when its answer is read.
pub(crate) struct Home<S: AsyncRead + AsyncWrite + Unpin> {
    pub(crate) pool: Arc<Pool<S>>,
    pub(crate) origin: Origin,
}

/// The body of an answer; reading it drives the connection it comes on. Read to its end, it leaves the connection to the next
/// request; dropped before, it closes it.
pub struct NetBody<S: AsyncRead + AsyncWrite + Unpin> {
    /// Gone once the connection ended: what it had read is in `incoming`.
    live: Option<Box<Live<S>>>,
    home: Home<S>,
    incoming: Incoming,
}

impl<S: AsyncRead + AsyncWrite + Unpin> NetBody<S> {
    /// Moves bytes.
    fn drive(&mut self, cx: &mut Context<'_>) {
        let ended = self
            .live
            .as_mut()
            .is_some_and(|live| Pin::new(&mut live.connection).poll(cx).is_ready());
        if ended {
            // An error shows in the body, too, if it concerns it.
            self.live = None;
        }
    }

    /// The answer is read: if nothing of it or of the request is left, and the server said nothing else, the connection is free.
    fn release(&mut self) {
        if let Some(live) = self.live.take().filter(|live| live.sender.is_ready()) {
            self.home.pool.put(self.home.origin.clone(), live);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for NetBody<S> {
    type Item = Result<Bytes, NetError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.drive(cx);
        loop {
            return Poll::Ready(match ready!(Pin::new(&mut self.incoming).poll_frame(cx)) {
                None => {
                    self.drive(cx);
                    self.release();
                    None
                }
                Some(Err(error)) => {
                    self.live = None;
                    Some(Err(NetError::because("the answer broke off", &error)))
                }
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

/// Why there is no answer.
pub(crate) struct Unanswered {
    pub(crate) error: NetError,
    /// The request, if nothing of it was written: it may be sent again elsewhere.
    pub(crate) request: Option<Box<WireRequest>>,
}

/// Sends the request and waits for the head of the answer.
pub(crate) async fn send<S: AsyncRead + AsyncWrite + Unpin>(
    mut live: Box<Live<S>>,
    who: &str,
    request: WireRequest,
    home: Home<S>,
) -> Result<http::Response<NetBody<S>>, Unanswered> {
    let mut answer = pin!(live.sender.try_send_request(request));
    let answered = match select(&mut live.connection, answer.as_mut()).await {
        Either::Right((answer, _)) => Some(answer),
        Either::Left(_) => None,
    };
    let (answer, live) = match answered {
        Some(answer) => (answer, Some(live)),
        None => {
            // Only then the connection gives back what it did not send.
            drop(live);
            (answer.await, None)
        }
    };
    let answer = answer.map_err(|mut error| Unanswered {
        request: error.take_message().map(Box::new),
        error: http_error(who, &error.into_error()),
    })?;
    Ok(answer.map(|incoming| {
        let mut body = NetBody {
            live,
            home,
            incoming,
        };
        if body.incoming.is_end_stream() {
            // Nobody need read what is not there.
            body.release();
        }
        body
    }))
}

/// What was read beyond an answer, and the stream.
type Upgraded<S> = Option<(NetStream<S>, Bytes)>;

/// Sends the request on a connection of its own and, if the answer is 101, or 200 to `CONNECT`, gives back the stream. With any
/// other answer nothing but its head counts.
pub(crate) async fn upgrade<S: AsyncRead + AsyncWrite + Unpin>(
    stream: NetStream<S>,
    who: &str,
    request: WireRequest,
) -> Result<(http::response::Parts, Upgraded<S>), NetError> {
    let failed = |error| http_error(who, &error);
    let is_connect = request.method() == http::Method::CONNECT;
    let Live {
        mut sender,
        connection,
    } = *Live::over(stream, who).await?;
    let ended = pin!(connection.without_shutdown());
    let answer = pin!(sender.send_request(request));
    let (answer, ended) = match select(ended, answer).await {
        Either::Right((answer, ended)) => (answer, Either::Right(ended)),
        Either::Left((parts, answer)) => (answer.await, Either::Left(parts)),
    };
    let (head, _) = answer.map_err(failed)?.into_parts();
    let switched = head.status == http::StatusCode::SWITCHING_PROTOCOLS
        || (is_connect && head.status.is_success());
    if !switched {
        return Ok((head, None));
    }
    let parts = match ended {
        Either::Left(parts) => parts,
        Either::Right(ended) => ended.await,
    };
    let parts = parts.map_err(failed)?;
    Ok((head, Some((parts.io.0, parts.read_buf))))
}

/// A request for the server: path and query, with the host as a header.
pub(crate) fn in_origin_form(
    address: &Address,
    request: http::Request<Bytes>,
) -> Result<WireRequest, NetError> {
    let (mut head, body) = request.into_parts();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    head.uri = path
        .parse()
        .map_err(|_| NetError::failed("the path of the address is not valid in HTTP"))?;
    if !head.headers.contains_key(header::HOST) {
        head.headers.insert(header::HOST, address.host_header()?);
    }
    Ok(http::Request::from_parts(head, Pieces(body)))
}

/// A request for a proxy that is to pass it on: the whole address, without user name and password.
pub(crate) fn in_absolute_form(
    address: &Address,
    request: http::Request<Bytes>,
    credentials: Option<&HeaderValue>,
) -> Result<WireRequest, NetError> {
    let mut request = in_origin_form(address, request)?;
    let uri = Uri::builder()
        .scheme(Scheme::HTTP)
        .authority(address.authority())
        .path_and_query(request.uri().to_string())
        .build();
    *request.uri_mut() = uri.map_err(|_| NetError::failed("the address is not valid in HTTP"))?;
    if let Some(credentials) = credentials {
        let headers = request.headers_mut();
        headers.insert(header::PROXY_AUTHORIZATION, credentials.clone());
    }
    Ok(request)
}

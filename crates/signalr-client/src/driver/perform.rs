//! What takes time and touches the network: one future for each operation.

use core::future::{Future, poll_fn};
use core::pin::Pin;

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use signalr_proto::client::Input;
use signalr_proto::{BodyMode, EndCause, Instant, OpId};

use crate::transport::Transport;

/// An operation of the transport.
pub(super) enum TransportOperation {
    Request {
        request: http::Request<Bytes>,
        body: BodyMode,
    },
    OpenWebSocket {
        request: http::Request<()>,
    },
}

/// How it came out.
pub(super) enum Done<T: Transport> {
    /// To be told to the machine, and that is all.
    Told(Input),
    /// The head of an answer whose body comes piece by piece.
    Streamed {
        response: http::Response<Bytes>,
        body: T::Body,
    },
    Opened(T::WebSocket),
}

/// Makes the transport's futures, whose types have no names.
pub(super) trait Futures<T: Transport> {
    /// An operation under way.
    type Operation: Future<Output = Done<T>>;
    /// A wait.
    type Sleep: Future<Output = ()>;

    fn perform(&self, transport: T, op: OpId, operation: TransportOperation) -> Self::Operation;

    fn sleep(&self, transport: T, deadline: Instant) -> Self::Sleep;
}

/// Two functions name their futures by being used.
impl<T, P, O, Z, S> Futures<T> for (P, Z)
where
    T: Transport,
    P: Fn(T, OpId, TransportOperation) -> O,
    O: Future<Output = Done<T>>,
    Z: Fn(T, Instant) -> S,
    S: Future<Output = ()>,
{
    type Operation = O;
    type Sleep = S;

    fn perform(&self, transport: T, op: OpId, operation: TransportOperation) -> O {
        (self.0)(transport, op, operation)
    }

    fn sleep(&self, transport: T, deadline: Instant) -> S {
        (self.1)(transport, deadline)
    }
}

pub(super) async fn perform<T: Transport>(
    transport: T,
    op: OpId,
    operation: TransportOperation,
) -> Done<T> {
    match operation {
        TransportOperation::Request { request, body } => {
            exchange(transport, op, request, body).await
        }
        TransportOperation::OpenWebSocket { request } => {
            match transport.open_web_socket(request).await {
                Ok(socket) => Done::Opened(socket),
                Err(error) => Done::Told(Input::Ended {
                    op,
                    cause: T::end_cause(&error),
                }),
            }
        }
    }
}

pub(super) async fn sleep<T: Transport>(transport: T, deadline: Instant) {
    transport.sleep_until(deadline).await;
}

async fn exchange<T: Transport>(
    transport: T,
    op: OpId,
    request: http::Request<Bytes>,
    mode: BodyMode,
) -> Done<T> {
    let (head, body) = match transport.request(request).await {
        Ok(response) => response.into_parts(),
        Err(error) => {
            return Done::Told(Input::Ended {
                op,
                cause: T::end_cause(&error),
            });
        }
    };
    tracing::debug!(%op, status = head.status.as_u16(), "answered");
    let BodyMode::Whole { limit } = mode else {
        return Done::Streamed {
            response: http::Response::from_parts(head, Bytes::new()),
            body,
        };
    };
    Done::Told(match collect::<T>(body, limit).await {
        Ok(bytes) => Input::Response {
            op,
            response: http::Response::from_parts(head, bytes),
        },
        Err(cause) => Input::Ended { op, cause },
    })
}

/// Reads a body as one piece, up to the limit.
async fn collect<T: Transport>(mut body: T::Body, limit: usize) -> Result<Bytes, EndCause> {
    let mut whole = BytesMut::new();
    while let Some(chunk) = poll_fn(|cx| Pin::new(&mut body).poll_next(cx)).await {
        let chunk = chunk.map_err(|error| T::end_cause(&error))?;
        if whole.len().saturating_add(chunk.len()) > limit {
            return Err(EndCause::Failed {
                detail: format!("the answer's body is larger than the limit of {limit} bytes")
                    .into(),
            });
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}

//! Failures of the network in memory.

use signalr_proto::EndCause;

use super::faults::Cut;

/// Why a request or WebSocket of a [`Network`](crate::Network) failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", words(.cause))]
pub struct MemoryError {
    cause: EndCause,
}

impl MemoryError {
    pub(crate) const fn new(cause: EndCause) -> Self {
        Self { cause }
    }

    pub(crate) fn failed(detail: impl Into<Box<str>>) -> Self {
        Self::new(EndCause::Failed {
            detail: detail.into(),
        })
    }

    pub(super) fn cut(cut: &Cut) -> Self {
        Self::failed(match cut {
            Cut::ByTest => "the connection was cut by the test",
            Cut::TooLong => {
                "the test has not ended after 24 hours of its time: what it waits for does not come"
            }
        })
    }

    pub(crate) fn closed(code: u16, reason: &str) -> Self {
        Self::new(EndCause::WebSocketClose {
            code,
            reason: reason.into(),
        })
    }

    pub(crate) fn cause(&self) -> EndCause {
        self.cause.clone()
    }
}

fn words(cause: &EndCause) -> String {
    match cause {
        EndCause::Failed { detail } => detail.to_string(),
        EndCause::Refused { status } => format!("the WebSocket was refused with status {status}"),
        EndCause::WebSocketClose { code, .. } => {
            format!("the WebSocket was closed with code {code}")
        }
        EndCause::Clean | EndCause::Redirected { .. } | _ => "the connection ended".to_owned(),
    }
}

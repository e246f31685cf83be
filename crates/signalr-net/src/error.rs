//! Failures of the network in a person's words.

use http::{HeaderMap, StatusCode};
use signalr_proto::EndCause;

/// Why a request or a WebSocket failed. `Display` names host and port, but no path, query or header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", Words(.cause))]
pub struct NetError {
    cause: EndCause,
}

struct Words<'a>(&'a EndCause);

impl core::fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            EndCause::Failed { detail } => f.write_str(detail),
            EndCause::Refused { status } => {
                write!(f, "the server refused the WebSocket with status {status}")
            }
            EndCause::Redirected { status, target } => {
                write!(
                    f,
                    "the server redirects the WebSocket to {target} (status {status})"
                )
            }
            EndCause::WebSocketClose { code, .. } => {
                write!(f, "the WebSocket was closed with code {code}")
            }
            EndCause::Clean => f.write_str("the connection was closed"),
            _ => f.write_str("the connection ended"),
        }
    }
}

impl NetError {
    pub(crate) fn failed(detail: impl Into<Box<str>>) -> Self {
        Self {
            cause: EndCause::Failed {
                detail: detail.into(),
            },
        }
    }

    /// A WebSocket was answered with this head.
    pub(crate) fn refused(status: StatusCode, headers: &HeaderMap) -> Self {
        Self {
            cause: EndCause::refusal(status, headers),
        }
    }

    pub(crate) const fn closed(code: u16, reason: Box<str>) -> Self {
        Self {
            cause: EndCause::WebSocketClose { code, reason },
        }
    }

    /// `who` is a server's host and port, or a proxy.
    pub(crate) fn connect(who: &str, error: &std::io::Error) -> Self {
        Self::failed(format!("{who} cannot be reached: {error}"))
    }

    pub(crate) fn tls(detail: &str) -> Self {
        Self::failed(format!("TLS failed: {detail}"))
    }

    /// Any other error, its sources included: they say what happened.
    pub(crate) fn because(what: &str, error: &dyn core::error::Error) -> Self {
        let mut detail = format!("{what}: {error}");
        let mut source = error.source();
        while let Some(error) = source {
            let text = error.to_string();
            if !detail.ends_with(&text) {
                detail.push_str(": ");
                detail.push_str(&text);
            }
            source = error.source();
        }
        Self::failed(detail)
    }

    /// The error as the protocol's machine wants it: a refused upgrade keeps its status, a closed WebSocket its code.
    #[must_use]
    pub fn end_cause(&self) -> EndCause {
        self.cause.clone()
    }
}

/// Why a transport cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// A certificate cannot be read, or no TLS is compiled in.
    #[error("{detail}")]
    Tls {
        /// What is wrong.
        detail: Box<str>,
    },
    /// The address of a proxy is not valid.
    #[error("{detail}")]
    Proxy {
        /// What is wrong.
        detail: Box<str>,
    },
}

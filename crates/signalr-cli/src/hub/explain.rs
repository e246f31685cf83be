//! Failures in a person's words, with what to do about them.

use signalr::{CallError, CallErrorKind, CloseReason, StartError, StartErrorKind};
use signalr_proto::NegotiateError;
use signalr_proto::transport::{TransportFailure, TransportFailureReason};

use super::token::TokenSource;
use crate::cli::ConnectionOptions;
use crate::failure::with_causes;

/// What the explanations depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Explain {
    pub(crate) has_token: bool,
    /// Whether connections begin with negotiation, so that a WebSocket is opened for one that the server knows.
    pub(crate) negotiates: bool,
}

/// A load balancer without sticky sessions, which is what most people have who are told that their connection is not known.
pub(crate) const STICKY: &str = "are there several servers behind one address? Then they need sticky sessions (affinity), so that all requests of a connection reach the same one";

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "errors without advice speak for themselves"
)]
impl Explain {
    /// What there is to know of a connection with these options.
    pub(crate) fn of(connection: &ConnectionOptions, token: &TokenSource) -> Self {
        Self {
            has_token: token.is_some(),
            negotiates: !connection.skip_negotiation,
        }
    }

    /// Why a connection was not started.
    pub(crate) fn start(self, error: &StartError) -> String {
        match error.kind() {
            StartErrorKind::Failed(reason) => format!("cannot connect: {}", self.reason(reason)),
            kind => with_causes(kind),
        }
    }

    /// Why a call or stream failed. Whoever called knows what and where.
    pub(crate) fn call(self, error: &CallError) -> String {
        match error.kind() {
            CallErrorKind::ConnectionLost(reason) => format!(
                "the connection was lost before the answer came: {}",
                self.reason(reason)
            ),
            CallErrorKind::UnexpectedItem => {
                format!(
                    "'{}' is a stream: call it with `signalr stream`",
                    error.method()
                )
            }
            CallErrorKind::Server { error }
                if error.ends_with("due to an error on the server.") =>
            {
                format!(
                    "{error} Do the arguments fit the method, in number and type? The log of the server says more"
                )
            }
            CallErrorKind::NotConnected => "the connection is not active".to_owned(),
            kind => with_causes(kind),
        }
    }

    /// Why a connection was not made, or was lost.
    pub(crate) fn reason(self, reason: &CloseReason) -> String {
        match reason {
            CloseReason::Negotiate(error) => self.negotiate(error),
            CloseReason::UpgradeRefused { status: 404 } if self.negotiates => {
                unknown("the WebSocket")
            }
            CloseReason::RequestRefused {
                request,
                status: 404,
            } => unknown(&request.to_string()),
            CloseReason::UpgradeRefused { status } => self.status(*status, "the WebSocket"),
            CloseReason::TransportFailed { detail } => self.transport(detail),
            CloseReason::ConnectTimeout { .. } | CloseReason::HandshakeTimeout { .. } => {
                format!("{reason}; the server does not answer as a SignalR hub does")
            }
            CloseReason::RetriesExhausted { attempts, last, .. } => format!(
                "gave up after {attempts} attempts to connect again: {}",
                self.reason(last)
            ),
            other => other.to_string(),
        }
    }

    pub(crate) fn negotiate(self, error: &NegotiateError) -> String {
        match error {
            NegotiateError::Status { status } => self.status(*status, "negotiate"),
            NegotiateError::Refused { error } => {
                format!("the server refused the connection: {error}")
            }
            NegotiateError::NoTransport { failures } if are_unknown(failures) => {
                unknown("every transport")
            }
            NegotiateError::Invalid(_) => format!(
                "{error}; this is not a SignalR hub, or something in between answers in its place"
            ),
            other => other.to_string(),
        }
    }

    /// Whether it was the token that the server did not take.
    pub(crate) fn is_refused_token(reason: &CloseReason) -> bool {
        match reason {
            CloseReason::UpgradeRefused { status: 401 }
            | CloseReason::RequestRefused { status: 401, .. }
            | CloseReason::Negotiate(NegotiateError::Status { status: 401 }) => true,
            CloseReason::Negotiate(NegotiateError::NoTransport { failures }) => failures
                .iter()
                .filter_map(tried)
                .any(Self::is_refused_token),
            CloseReason::RetriesExhausted { last, .. } => Self::is_refused_token(last),
            _ => false,
        }
    }

    fn status(self, status: u16, what: &str) -> String {
        match status {
            401 if self.has_token => "the server refused the token (HTTP 401): it may have expired, or be for another server".to_owned(),
            401 => "the server refused the token (HTTP 401): there was none; give one with --token, --token-file or the variable SIGNALR_TOKEN".to_owned(),
            403 => "the server forbids this (HTTP 403): the token or the user may not have the right to".to_owned(),
            404 => "this is not a SignalR hub (HTTP 404): check the path of the address, or a proxy that stands before it".to_owned(),
            405 | 200..=299 => format!("the server answered {what} with HTTP {status}: this is not a SignalR hub"),
            300..=399 => format!("the server answered {what} with a redirect (HTTP {status}), as to a page where people log in: does it want a token, or is there another address?"),
            429 | 503 => format!("the server answered {what} with HTTP {status}: it has no room now, try again later"),
            _ => format!("the server answered {what} with HTTP {status}"),
        }
    }

    /// Failures below HTTP; the text is all there is of them.
    pub(crate) fn transport(self, detail: &str) -> String {
        if let Some((head, fault)) = detail.split_once("invalid peer certificate: ") {
            return format!("{head}{}", certificate(fault));
        }
        let lower = detail.to_ascii_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        let hint = if has(&["refused"]) {
            "is the server running, and are host and port right?"
        } else if has(&["tls", "corrupt message", "invalidcontenttype"]) {
            "does the server speak TLS at this port? An address of a server that does not begins with http://"
        } else if has(&["does not speak http", "without an answer"]) {
            "this is not a SignalR hub; a server that wants TLS has an address that begins with https://"
        } else if has(&[
            "lookup",
            "resolve",
            "name or service",
            "no such host",
            "nodename",
        ]) {
            "is the host name right?"
        } else {
            return detail.to_owned();
        };
        format!("{detail}; {hint}")
    }
}

/// Negotiation went well, and then the server did not know the connection that it had given.
fn unknown(what: &str) -> String {
    format!(
        "negotiation worked, but the server answered {what} with HTTP 404, as one does that does not know the connection: {STICKY}"
    )
}

/// Why a transport failed, if it was tried.
fn tried(failure: &TransportFailure) -> Option<&CloseReason> {
    if let TransportFailureReason::Failed(reason) = &failure.reason {
        return Some(reason);
    }
    None
}

/// Whether all that was tried failed because the server did not know the connection.
fn are_unknown(failures: &[TransportFailure]) -> bool {
    let is_unknown = |reason: &CloseReason| {
        matches!(
            reason,
            CloseReason::UpgradeRefused { status: 404 }
                | CloseReason::RequestRefused { status: 404, .. }
        )
    };
    let mut tried = failures.iter().filter_map(tried).peekable();
    tried.peek().is_some() && tried.all(is_unknown)
}

/// What is wrong with the server's certificate, where the TLS library's words are meant for programmers.
fn certificate(fault: &str) -> String {
    let begins = |words: &str| fault.starts_with(words);
    let (what, advice) = if begins("certificate expired") {
        (
            "the certificate of the server has expired",
            "renew it, or correct the clock of this computer",
        )
    } else if begins("certificate not valid yet") {
        (
            "the certificate of the server is not valid yet",
            "correct the clock of this computer if it is wrong",
        )
    } else if begins("certificate not valid for name") {
        (
            "the certificate of the server is for another name",
            "write a name of the certificate in the address",
        )
    } else if fault.contains("CaUsedAsEndEntity") {
        (
            "the certificate of the server is one of an authority (CA), with which servers cannot prove who they are",
            "give the server one that is not, or for tests use --insecure",
        )
    } else if begins("UnknownIssuer") {
        (
            "nobody whom this computer trusts vouches for the certificate of the server",
            "for tests with a self-signed certificate, and only for those, there is --insecure",
        )
    } else {
        (fault, "give the server another certificate")
    };
    format!("{what}; {advice}. `signalr doctor` shows the certificate")
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPLAIN: Explain = Explain {
        has_token: true,
        negotiates: true,
    };

    #[test]
    fn common_failures_come_with_advice() {
        let transport = |detail: &str| EXPLAIN.transport(detail);
        assert!(
            transport("localhost:1 cannot be reached: Connection refused (os error 111)")
                .contains("is the server running")
        );
        assert!(
            transport("TLS failed: invalid peer certificate: UnknownIssuer").contains("--insecure")
        );
        assert_eq!(
            transport(
                "TLS with h:1 failed: invalid peer certificate: certificate expired: verification time 2 (UNIX), but certificate is not valid after 1 (1 seconds ago)"
            ),
            "TLS with h:1 failed: the certificate of the server has expired; renew it, or correct the clock of this computer. `signalr doctor` shows the certificate"
        );
        assert_eq!(transport("the moon is full"), "the moon is full");
        assert!(
            EXPLAIN
                .status(401, "negotiate")
                .starts_with("the server refused the token")
        );
        let none = Explain {
            has_token: false,
            negotiates: true,
        };
        assert!(none.status(401, "negotiate").contains("--token"));
    }

    #[test]
    fn a_connection_that_is_not_known_after_a_good_negotiation_means_several_servers() {
        let refused = CloseReason::UpgradeRefused { status: 404 };
        assert!(EXPLAIN.reason(&refused).contains("sticky sessions"));
        let skipped = Explain {
            negotiates: false,
            ..EXPLAIN
        };
        assert!(skipped.reason(&refused).contains("not a SignalR hub"));
        let poll = CloseReason::RequestRefused {
            request: signalr_proto::HttpRequest::Poll,
            status: 404,
        };
        assert!(EXPLAIN.reason(&poll).contains("sticky sessions"));
        let negotiate = CloseReason::Negotiate(NegotiateError::Status { status: 404 });
        assert!(EXPLAIN.reason(&negotiate).contains("not a SignalR hub"));
    }
}

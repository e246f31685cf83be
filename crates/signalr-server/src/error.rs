//! What can go wrong in hub methods, and what clients are told about it.

use std::any::Any;
use std::error::Error;
use std::fmt;

use signalr_proto::PayloadError;

/// The failure of a hub method.
///
/// A `HubError` made with [`new`](Self::new) is meant for the client, which always sees its text (as `HubException: text`).
/// Any other error turns into a `HubError` with `?`; its text stays on the server unless
/// [`enable_detailed_errors`](crate::HubOptions::enable_detailed_errors) is on.
pub struct HubError {
    kind: &'static str,
    text: Box<str>,
    visible: bool,
}

impl HubError {
    /// The name under which clients know errors meant for them.
    const VISIBLE: &'static str = "HubException";

    /// An error whose text the client sees.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self {
            kind: Self::VISIBLE,
            text: text.into(),
            visible: true,
        }
    }

    /// Its text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the client always sees the text.
    #[must_use]
    pub const fn is_visible(&self) -> bool {
        self.visible
    }

    /// Arguments that do not fit, under the name that .NET clients know.
    pub(crate) fn invalid_data(text: &str) -> Self {
        Self {
            kind: "InvalidDataException",
            text: text.into(),
            visible: false,
        }
    }

    pub(crate) fn panicked() -> Self {
        Self {
            kind: "Panic",
            text: "the hub method panicked".into(),
            visible: false,
        }
    }

    /// `base`, with the error's kind and text if the client may see them.
    pub(crate) fn describe(&self, base: &str, detailed: bool) -> String {
        if self.visible || detailed {
            format!("{base} {}: {}", self.kind, self.text)
        } else {
            base.to_owned()
        }
    }
}

/// Shows the text: unlike its `Display` at the client, this is for the application's own eyes.
impl fmt::Debug for HubError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.text)
    }
}

impl fmt::Display for HubError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Every error can be returned from a hub method. What a client said itself (as the end of an upload or as the answer to a
/// question) is no secret to it; everything else is hidden.
impl<E: Error + Send + Sync + 'static> From<E> for HubError {
    fn from(error: E) -> Self {
        let text = error.to_string().into();
        if said_by_client(&error) {
            return Self {
                kind: Self::VISIBLE,
                text,
                visible: true,
            };
        }
        Self {
            kind: simple_name(std::any::type_name::<E>()),
            text,
            visible: false,
        }
    }
}

fn said_by_client(error: &dyn Any) -> bool {
    matches!(
        error.downcast_ref(),
        Some(UploadError::FailedByClient { .. })
    ) || matches!(error.downcast_ref(), Some(AskError::Client { .. }))
}

/// `Error` of `my::module::Error<T>`.
fn simple_name(name: &'static str) -> &'static str {
    let path = name.split('<').next().unwrap_or(name);
    path.rsplit("::").next().unwrap_or(path)
}

/// Why an upload stream ended before its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UploadError {
    /// The client ended it with an error.
    #[error("{error}")]
    FailedByClient {
        /// The client's words.
        error: Box<str>,
    },
    /// An item does not fit the stream's type.
    #[error("Failed to bind Stream message.")]
    Item(#[source] PayloadError),
    /// The connection ended.
    #[error("The underlying connection was closed.")]
    ConnectionClosed,
}

/// Why a question to a client has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// There is no connection of that id.
    #[error("Connection '{connection_id}' does not exist.")]
    UnknownConnection {
        /// The id.
        connection_id: Box<str>,
    },
    /// The connection ended before the answer came.
    #[error("Connection '{connection_id}' disconnected.")]
    Disconnected {
        /// The id.
        connection_id: Box<str>,
    },
    /// The client answered with an error.
    #[error("{error}")]
    Client {
        /// The client's words.
        error: Box<str>,
    },
    /// The client answered without a value.
    #[error("the client gave no result")]
    NoResult,
    /// The answer is of another type.
    #[error("the client's result does not fit: {0}")]
    Result(PayloadError),
    /// No answer came in time.
    #[error("Invocation canceled by the server.")]
    TimedOut,
    /// Questions would wait forever while the client is being welcomed: what it sends is read afterwards.
    #[error("Client results inside OnConnectedAsync Hub methods are not allowed.")]
    NotYet,
    /// The question could not be sent.
    #[error(transparent)]
    Send(#[from] signalr_proto::SendError),
}

/// Why a hub cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Two methods have the same name, apart from the case of letters.
    #[error("the hub method '{name}' is registered twice")]
    DuplicateMethod {
        /// The name.
        name: Box<str>,
    },
    /// No invocation could ever run.
    #[error("at least one invocation at a time must be allowed for each client")]
    NoParallelInvocations,
    /// No item could ever be received.
    #[error("the stream buffer must hold at least one item")]
    NoStreamBuffer,
    /// No client could ever connect.
    #[error("there are no supported protocols")]
    NoProtocols,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails() -> Result<(), HubError> {
        "x".parse::<i32>()?;
        Ok(())
    }

    #[test]
    fn foreign_errors_are_hidden_and_hub_errors_are_not() {
        let hidden = fails().unwrap_err();
        assert_eq!(hidden.describe("Base.", false), "Base.");
        assert_eq!(
            hidden.describe("Base.", true),
            "Base. ParseIntError: invalid digit found in string"
        );
        assert_eq!(
            HubError::new("words").describe("Base.", false),
            "Base. HubException: words"
        );
    }

    #[test]
    fn a_clients_own_words_are_visible() {
        let error = HubError::from(AskError::Client { error: "no".into() });
        assert_eq!(error.describe("Base.", false), "Base. HubException: no");
        let error = HubError::from(UploadError::FailedByClient { error: "no".into() });
        assert!(error.is_visible());
        assert!(!HubError::from(UploadError::ConnectionClosed).is_visible());
    }
}

//! What can go wrong in hub methods, and what clients are told about it.

use std::any::Any;
use std::error::Error;
use std::fmt;

use signalr_proto::PayloadError;
use signalr_proto::backplane::{BackplaneError, JoinRefusal};
use signalr_proto::codec::ReturnedError;
use signalr_proto::server::{Failure, Refusal};

/// The failure of a hub method.
///
/// A `HubError` made with [`new`](Self::new) is meant for the client, which always sees its text (as `HubException: text`).
/// Any other error turns into a `HubError` with `?`, or with [`hidden`](Self::hidden) where Rust knows it for none; its text
/// stays on the server unless [`enable_detailed_errors`](crate::ServerConfig::enable_detailed_errors) is on.
pub struct HubError {
    kind: &'static str,
    text: Box<str>,
    /// What led to it, for the log.
    causes: Box<str>,
    /// The text is the JSON of data and may hold payloads, so it is not for the log.
    is_data: bool,
    visible: bool,
    nature: Nature,
}

/// How a client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nature {
    Failure,
    /// The arguments do not fit.
    Binding,
    /// The caller may not do this.
    Unauthorized,
}

impl HubError {
    /// The name under which clients know errors meant for them.
    const VISIBLE: &'static str = "HubException";

    /// The name of errors whose type is not known any more.
    const OF_ANY_TYPE: &'static str = "Error";

    /// An error whose text the client sees.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self {
            kind: Self::VISIBLE,
            text: text.into(),
            causes: Box::default(),
            is_data: false,
            visible: true,
            nature: Nature::Failure,
        }
    }

    /// An error whose text stays on the server, of anything that leads to one: `Box<dyn Error + Send + Sync>`,
    /// `anyhow::Error`, a `String`. `?` cannot turn these into a `HubError` by itself, as they are no errors to Rust.
    ///
    /// A `HubError` behind a `Box<dyn Error + Send + Sync>` comes out as it went in.
    ///
    /// ```
    /// # use signalr_server::HubError;
    /// fn look() -> Result<i32, Box<dyn std::error::Error + Send + Sync>> {
    ///     Err("the database is gone".into())
    /// }
    ///
    /// async fn method() -> Result<i32, HubError> {
    ///     let found = look().map_err(HubError::hidden)?;
    ///     Ok(found)
    /// }
    /// ```
    pub fn hidden<E: Into<Box<dyn Error + Send + Sync>>>(error: E) -> Self {
        let kind = match simple_name(std::any::type_name::<E>()) {
            "Box" => Self::OF_ANY_TYPE,
            kind => kind,
        };
        Self::named(kind, &*error.into())
    }

    /// What an error of a forgotten type comes to.
    pub(crate) fn of(error: &(dyn Error + Send + Sync + 'static)) -> Self {
        Self::named(Self::OF_ANY_TYPE, error)
    }

    fn named(kind: &'static str, error: &(dyn Error + 'static)) -> Self {
        if let Some(Carried(error)) = error.downcast_ref() {
            return error.copy();
        }
        let text = error.to_string();
        let causes = causes(error, &text);
        let made = if known_to_client(error) {
            Self::new(text)
        } else {
            Self::concealed(kind, &text)
        };
        Self { causes, ..made }
    }

    /// A `Result` that serde knows was `Err`.
    pub(crate) fn returned(error: &ReturnedError) -> Self {
        Self {
            is_data: error.is_data(),
            ..Self::concealed(error.kind(), error.text())
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

    /// The client is told that it may not call this method ([SB-19](signalr_proto::spec::server_behaviour#sb-19)): for filters that
    /// authorize.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self {
            nature: Nature::Unauthorized,
            ..Self::concealed("Unauthorized", "the user is unauthorized")
        }
    }

    /// Arguments that do not fit, and why: for the log.
    pub(crate) fn binding(misfit: &dyn fmt::Display) -> Self {
        Self {
            nature: Nature::Binding,
            ..Self::concealed("InvalidDataException", &misfit.to_string())
        }
    }

    fn concealed(kind: &'static str, text: &str) -> Self {
        Self {
            kind,
            text: text.into(),
            causes: Box::default(),
            is_data: false,
            visible: false,
            nature: Nature::Failure,
        }
    }

    /// How the machine refuses the call, if this is no failure of the method.
    pub(crate) const fn refusal(&self) -> Option<Refusal<'static>> {
        match self.nature {
            Nature::Failure => None,
            Nature::Binding => Some(Refusal::ArgumentTypes),
            Nature::Unauthorized => Some(Refusal::Unauthorized),
        }
    }

    /// A panic with this message. Its client is not told what it said, not even with detailed errors.
    pub(crate) fn panicked(panic: &(dyn Any + Send)) -> Self {
        Self {
            causes: panic_words(panic).into(),
            ..Self::concealed("Panic", "the hub method panicked")
        }
    }

    /// As the machine wants it.
    pub(crate) const fn failure(&self) -> Failure<'_> {
        Failure {
            kind: self.kind,
            text: &self.text,
            visible: self.visible,
        }
    }

    pub(crate) fn copy(&self) -> Self {
        Self {
            kind: self.kind,
            text: self.text.clone(),
            causes: self.causes.clone(),
            is_data: self.is_data,
            visible: self.visible,
            nature: self.nature,
        }
    }
}

/// Shows the text and what led to it: this is for the application's own eyes, and what the log tells. Of an error whose text is
/// the JSON of data it shows the name of its type.
impl fmt::Debug for HubError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_data {
            return f.write_str(self.kind);
        }
        write!(f, "{}: {}", self.kind, self.text)?;
        if self.causes.is_empty() {
            return Ok(());
        }
        write!(f, ": {}", self.causes)
    }
}

impl fmt::Display for HubError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Every error can be returned from a hub method. What a client said itself (as the end of an upload or as the answer to a
/// question), and that an item of its upload does not fit, is no secret to it; everything else is hidden.
impl<E: Error + Send + Sync + 'static> From<E> for HubError {
    fn from(error: E) -> Self {
        Self::named(simple_name(std::any::type_name::<E>()), &error)
    }
}

/// For functions that return boxed errors.
impl From<HubError> for Box<dyn Error + Send + Sync> {
    fn from(error: HubError) -> Self {
        Box::new(Carried(error))
    }
}

/// A `HubError` as an error of Rust, which it cannot be itself: it is made of every one.
#[derive(Debug)]
struct Carried(HubError);

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Carried {}

/// What a panic said, if that is a text.
pub(crate) fn panic_words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or_default()
}

/// What led to an error, without what it says itself already.
fn causes(error: &(dyn Error + 'static), text: &str) -> Box<str> {
    let mut causes = String::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) && !causes.contains(&said) {
            if !causes.is_empty() {
                causes.push_str(": ");
            }
            causes.push_str(&said);
        }
        next = cause.source();
    }
    causes.into()
}

fn known_to_client(error: &(dyn Error + 'static)) -> bool {
    matches!(
        error.downcast_ref(),
        Some(UploadError::FailedByClient { .. } | UploadError::Item(_))
    ) || matches!(error.downcast_ref(), Some(InvokeError::Client { .. }))
}

/// `Error` of `my::module::Error<T>`.
fn simple_name(name: &'static str) -> &'static str {
    let path = name.split('<').next().unwrap_or(name);
    path.rsplit("::")
        .next()
        .unwrap_or(path)
        .trim_start_matches('&')
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
pub enum InvokeError {
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
    TimedOut {
        /// How long it was waited for.
        timeout: std::time::Duration,
    },
    /// Questions would wait forever while the client is being welcomed: what it sends is read afterwards.
    #[error("Client results inside OnConnectedAsync Hub methods are not allowed.")]
    NotYet,
    /// The question could not be sent.
    #[error(transparent)]
    Send(#[from] SendError),
}

/// Why a message could not be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// An argument cannot be encoded.
    #[error("the message cannot be encoded")]
    Encode(#[from] signalr_proto::EncodeError),
    /// The backplane has not taken the message, or has not said so.
    #[error(transparent)]
    Backplane(#[from] BackplaneError),
    /// Connections are left out of messages to all and to groups only: other servers of a farm ignore it for users.
    #[error("a farm cannot leave connections out of a message to users")]
    ExceptOfUsers,
}

/// Why a group could not be joined, left or looked at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// The name is too long.
    #[error("a group name of {length} bytes exceeds the limit of {limit}")]
    NameTooLong {
        /// Its length.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// The connection is in as many groups as it may be.
    #[error("the connection is in {limit} groups already, and may be in no more")]
    TooManyGroups {
        /// The limit.
        limit: usize,
    },
    /// The connection may not join for another reason.
    #[error(transparent)]
    Refused(JoinRefusal),
    /// The backplane or another server does not answer.
    #[error(transparent)]
    Backplane(#[from] BackplaneError),
}

/// The body of a request or of an answer broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body broke off")]
#[expect(clippy::exhaustive_structs, reason = "there is nothing to tell")]
pub struct BodyError;

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
        assert!(!hidden.is_visible());
        assert_eq!(
            format!("{hidden:?}"),
            "ParseIntError: invalid digit found in string"
        );
        let shown = HubError::new("words");
        assert!(shown.is_visible());
        assert_eq!(format!("{shown:?}"), "HubException: words");
    }

    #[test]
    fn a_clients_own_words_are_visible() {
        let error = HubError::from(InvokeError::Client { error: "no".into() });
        assert!(error.is_visible());
        assert_eq!(format!("{error:?}"), "HubException: no");
        let error = HubError::from(UploadError::FailedByClient { error: "no".into() });
        assert!(error.is_visible());
        assert!(!HubError::from(UploadError::ConnectionClosed).is_visible());
    }

    /// Its text is the official server's, and holds no more than that; the reason is for the log.
    #[test]
    fn an_item_that_does_not_fit_is_told_to_its_client() {
        let error = HubError::from(UploadError::Item(PayloadError::new("no integer")));
        assert!(error.is_visible());
        assert_eq!(error.text(), "Failed to bind Stream message.");
        let logged = "HubException: Failed to bind Stream message.: no integer";
        assert_eq!(format!("{error:?}"), logged);
    }
}

//! What a handler gives back: the answer to the server's question, or why there is none.

use core::any::TypeId;
use core::error::Error;
use core::ops::Deref;

use serde::Serialize;
use signalr_proto::Encode;
use signalr_proto::codec::{Returned, ReturnedError};

use super::form;

/// What a handler gave.
pub(crate) enum Reply {
    Void,
    Value(Box<dyn Encode + Send>),
    Failed(HandlerError),
}

/// What a handler can return: nothing (`()`), a value that serde can serialize, or a `Result` of these.
///
/// A `Result` is an outcome whatever its error is, and never a value on the wire: [`HandlerError`], any `std::error::Error`,
/// `Box<dyn Error + Send + Sync>` and what else leads to one (such as `anyhow::Error`), and whatever serde can serialize (a
/// `String`, an enum of your own). The server is told the error's text: what `Display` says, or the JSON of what serde can serialize.
/// So is the log, at error, but for JSON that is more than a text: it may hold payloads, and the log has the name of its type.
///
/// Only an error that is both a `std::error::Error` and serializable has two ways to become a failure, of which the
/// compiler takes neither: turn it into a [`HandlerError`] with `?`. One that is neither becomes it with
/// `map_err(HandlerError::display)`.
///
/// `M` tells the kinds apart and is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the answer of a handler",
    label = "not an answer",
    note = "an answer is `()`, serializable (`serde::Serialize`, `Send + 'static`), or a `Result` of these with an error that is a `HandlerError`, a `std::error::Error` or serializable; others become it with `map_err(HandlerError::display)`"
)]
pub trait IntoReply<M> {
    /// Whether it can be the answer to a question.
    fn has_value() -> bool;

    /// Forgets the type.
    fn into_reply(self) -> AnyReply;
}

/// The answer of a [`Handler`](crate::Handler) without its type.
pub struct AnyReply(pub(super) Reply);

impl core::fmt::Debug for AnyReply {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("AnyReply").finish_non_exhaustive()
    }
}

fn answer<R: Encode + Send + 'static>(value: R) -> AnyReply {
    AnyReply(match Returned::new(value) {
        Err(error) => Reply::Failed(HandlerError::returned(&error)),
        Ok(_) if !has_value::<R>() => Reply::Void,
        Ok(value) => Reply::Value(Box::new(value)),
    })
}

fn failure(error: HandlerError) -> AnyReply {
    AnyReply(Reply::Failed(error))
}

/// `Result<(), E>` is void too. Its success cannot be got at where only serde knows that it is a `Result`, but by its name.
fn has_value<R: 'static>() -> bool {
    TypeId::of::<R>() != TypeId::of::<()>()
        && !core::any::type_name::<R>().starts_with("core::result::Result<(), ")
}

impl<T: Encode + Send + 'static> IntoReply<form::Infallible> for T {
    fn has_value() -> bool {
        has_value::<T>()
    }

    fn into_reply(self) -> AnyReply {
        answer(self)
    }
}

impl<T, E> IntoReply<form::Fallible> for Result<T, E>
where
    T: Encode + Send + 'static,
    E: Into<HandlerError>,
{
    fn has_value() -> bool {
        has_value::<T>()
    }

    fn into_reply(self) -> AnyReply {
        self.map_or_else(|error| failure(error.into()), answer)
    }
}

impl<T, E> IntoReply<form::FallibleBoxed> for Result<T, E>
where
    T: Encode + Send + 'static,
    E: Deref<Target = dyn Error + Send + Sync>,
{
    fn has_value() -> bool {
        has_value::<T>()
    }

    fn into_reply(self) -> AnyReply {
        self.map_or_else(|error| failure(HandlerError::display(&*error)), answer)
    }
}

/// Only there to be named by the compiler, where it finds two ways.
#[diagnostic::do_not_recommend]
impl<T, E> IntoReply<form::WriteMapErrHandlerErrorDisplayForThisError> for Result<T, E>
where
    T: Serialize + Send + 'static,
    E: Error + Serialize,
{
    fn has_value() -> bool {
        has_value::<T>()
    }

    fn into_reply(self) -> AnyReply {
        self.map_or_else(|error| failure(error.into()), answer)
    }
}

/// Why a handler has no answer. The server gets the text and nothing else, and the log tells it at error: choose words without
/// payloads.
///
/// Every `std::error::Error` turns into one, so `?` works in handlers.
#[derive(Clone, PartialEq, Eq)]
pub struct HandlerError {
    text: Box<str>,
    /// What the log tells instead: the name of the type, when the text is data; of a panic, that it was one.
    kind: Option<&'static str>,
}

impl HandlerError {
    /// An error with this text.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self {
            text: text.into(),
            kind: None,
        }
    }

    pub(crate) fn returned(error: &ReturnedError) -> Self {
        Self {
            text: error.text().into(),
            kind: error.is_data().then(|| error.kind()),
        }
    }

    /// The panic itself is nothing for the server, and has told its own words to the process's panic hook.
    pub(crate) fn panicked() -> Self {
        Self {
            text: "The client's handler failed.".into(),
            kind: Some("it panicked"),
        }
    }

    /// What the server is told.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// What the log is told.
    pub(crate) fn logged(&self) -> &str {
        self.kind.unwrap_or(&self.text)
    }

    /// An error with the text of anything that has one, also where `?` does not know how: `Box<dyn Error + Send + Sync>`,
    /// `anyhow::Error`, `String`.
    ///
    /// ```
    /// # use signalr_client::HandlerError;
    /// fn answer() -> Result<i32, HandlerError> {
    ///     let looked: Result<i32, Box<dyn std::error::Error + Send + Sync>> = Err("the sensor broke".into());
    ///     Ok(looked.map_err(HandlerError::display)?)
    /// }
    /// assert_eq!(answer().unwrap_err().to_string(), "the sensor broke");
    /// ```
    pub fn display(error: impl core::fmt::Display) -> Self {
        Self::new(error.to_string())
    }
}

impl<E: Error> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self::new(error.to_string())
    }
}

impl core::fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("HandlerError").field(&self.logged()).finish()
    }
}

impl core::fmt::Display for HandlerError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.text)
    }
}

//! A hub's method from a caller's side: its shape, once its parameters are in place, while it runs, and why it does not.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::future::BoxFuture;
use pin_project_lite::pin_project;
use signalr_proto::server::Refusal;
use signalr_proto::{Encode, PayloadError};

use crate::error::HubError;
use crate::handler::Items;

/// What must be known about a method before it can be called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) streaming: bool,
    pub(crate) arguments: usize,
    pub(crate) streams: usize,
}

/// A call with its parameters in place.
pub(crate) enum Bound {
    Method(Pin<Box<dyn Method>>),
    Stream(BoxFuture<'static, Result<Items, HubError>>),
}

/// What is told of a method that is done.
pub(crate) type Tell<'a> = &'a mut dyn FnMut(Result<&(dyn Encode + Send), &HubError>);

/// A method that runs. Its result stays where it is and is encoded from there.
pub(crate) trait Method: Send {
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()>;

    /// Tells what became of it, once it is done.
    fn tell(self: Pin<&mut Self>, tell: Tell<'_>);
}

pin_project! {
    struct Typed<F, T> {
        #[pin]
        future: F,
        outcome: Option<Result<T, HubError>>,
    }
}

impl<F, T> Method for Typed<F, T>
where
    F: Future<Output = Result<T, HubError>> + Send,
    T: Encode + Send,
{
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        this.future
            .poll(cx)
            .map(|outcome| *this.outcome = Some(outcome))
    }

    fn tell(self: Pin<&mut Self>, tell: Tell<'_>) {
        match &self.project().outcome {
            Some(Ok(value)) => tell(Ok(value)),
            Some(Err(error)) => tell(Err(error)),
            None => {}
        }
    }
}

pub(crate) fn method<F, T>(future: F) -> Pin<Box<dyn Method>>
where
    F: Future<Output = Result<T, HubError>> + Send + 'static,
    T: Encode + Send + 'static,
{
    Box::pin(Typed {
        future,
        outcome: None,
    })
}

/// Why a call is not run.
#[derive(Debug)]
pub(crate) enum NotRun {
    NoSuchMethod,
    ArgumentCount { given: usize, expected: usize },
    ArgumentTypes(PayloadError),
    Unauthorized,
    Streaming,
    NotStreaming,
    UploadCount { given: usize, expected: usize },
    Failed(HubError),
}

impl From<PayloadError> for NotRun {
    fn from(error: PayloadError) -> Self {
        Self::ArgumentTypes(error)
    }
}

impl NotRun {
    pub(crate) fn as_refusal(&self) -> Refusal<'_> {
        match *self {
            Self::NoSuchMethod => Refusal::NoSuchMethod,
            Self::ArgumentCount { given, expected } => Refusal::ArgumentCount { given, expected },
            Self::ArgumentTypes(_) => Refusal::ArgumentTypes,
            Self::Unauthorized => Refusal::Unauthorized,
            Self::Streaming => Refusal::Streaming,
            Self::NotStreaming => Refusal::NotStreaming,
            Self::UploadCount { given, expected } => Refusal::UploadCount { given, expected },
            Self::Failed(ref error) => Refusal::Failed(error.failure()),
        }
    }
}

/// Why, in the operator's words; clients get the official ones.
impl fmt::Display for NotRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchMethod => f.write_str("there is no such method"),
            Self::ArgumentCount { given, expected } => {
                write!(f, "{given} arguments instead of {expected}")
            }
            Self::ArgumentTypes(error) => write!(f, "the arguments do not fit: {error}"),
            Self::Unauthorized => f.write_str("the user may not call it"),
            Self::Streaming => f.write_str("it gives a stream, and no stream was asked for"),
            Self::NotStreaming => f.write_str("it gives no stream, and a stream was asked for"),
            Self::UploadCount { given, expected } => {
                write!(f, "{given} uploads instead of {expected}")
            }
            Self::Failed(error) => error.fmt(f),
        }
    }
}

//! A call that passes through filters, and what comes back.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use bytestring::ByteString;
use futures_core::future::BoxFuture;
use signalr_proto::codec::Returned;
use signalr_proto::{Encode, EncodeError, Payload, PayloadError, Protocol};

use crate::call::CallContext;
use crate::error::HubError;
use crate::handler::Items;
use crate::method::NotRun;
use crate::method::{Method, Tell};
use crate::upload::UploadSender;

/// A call on its way to its method.
pub struct HubCall {
    pub(super) context: CallContext,
    pub(super) target: ByteString,
    pub(super) method: usize,
    pub(super) arguments: Vec<Payload>,
    pub(super) uploads: Arc<[UploadSender]>,
}

impl HubCall {
    pub(crate) const fn new(
        context: CallContext,
        target: ByteString,
        method: usize,
        arguments: Vec<Payload>,
        uploads: Arc<[UploadSender]>,
    ) -> Self {
        Self {
            context,
            target,
            method,
            arguments,
            uploads,
        }
    }

    /// The caller and its surroundings.
    #[must_use]
    pub const fn context(&self) -> &CallContext {
        &self.context
    }

    /// The method's name, as it was given to [`HubMethods::on`](crate::HubMethods::on): clients may write it with other capitals.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The arguments, as the client sent them.
    #[must_use]
    pub fn arguments(&self) -> &[Payload] {
        &self.arguments
    }

    /// One of the arguments.
    ///
    /// # Errors
    /// When there is none at that place, or it is of another type; returned from a filter, it tells the client that its
    /// arguments do not fit.
    pub fn argument<T: serde::de::DeserializeOwned>(&self, index: usize) -> Result<T, HubError> {
        let argument = self.arguments.get(index).ok_or_else(|| missing(index))?;
        argument.decode().map_err(|error| misfit(index, error))
    }

    /// Puts another value in an argument's place.
    ///
    /// # Errors
    /// When there is none at that place, or the value cannot be encoded.
    pub fn set_argument<T: serde::Serialize + ?Sized>(
        &mut self,
        index: usize,
        value: &T,
    ) -> Result<(), HubError> {
        let protocol = self.protocol();
        let argument = self
            .arguments
            .get_mut(index)
            .ok_or_else(|| missing(index))?;
        *argument = Payload::from_value(protocol, value)?;
        Ok(())
    }

    fn protocol(&self) -> Protocol {
        let protocol = self.context.connection.protocol.get();
        protocol.copied().unwrap_or(Protocol::Json)
    }
}

fn missing(index: usize) -> HubError {
    misfit(index, PayloadError::new("missing"))
}

fn misfit(index: usize, error: PayloadError) -> HubError {
    HubError::binding(&NotRun::from(error.in_argument(index)))
}

impl fmt::Debug for HubCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubCall")
            .field("context", &self.context)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

/// What a call came to.
pub struct HubReply(ReplyKind);

enum ReplyKind {
    /// The method's own result, which stays in it.
    Method(Pin<Box<dyn Method>>),
    Value(Box<dyn Encode + Send>),
    Stream(Items),
}

impl HubReply {
    /// Another result than the method's.
    ///
    /// # Errors
    /// When the value is a `Result` that is `Err`: as from a method, it is the failure that it says it is, and clients are not told
    /// its words.
    pub fn value<T: Encode + Send + 'static>(value: T) -> Result<Self, HubError> {
        let value = Returned::new(value).map_err(|error| HubError::returned(&error))?;
        Ok(Self(ReplyKind::Value(Box::new(value))))
    }

    pub(super) const fn method(method: Pin<Box<dyn Method>>) -> Self {
        Self(ReplyKind::Method(method))
    }

    pub(super) const fn stream(items: Items) -> Self {
        Self(ReplyKind::Stream(items))
    }

    /// Whether it is a stream.
    #[must_use]
    pub const fn is_stream(&self) -> bool {
        matches!(self.0, ReplyKind::Stream(_))
    }

    /// The result as the client will see it. `None` for a stream.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn payload(&mut self, protocol: Protocol) -> Result<Option<Payload>, EncodeError> {
        let mut out = BytesMut::new();
        let mut encoded = Ok(());
        match &mut self.0 {
            ReplyKind::Method(method) => method.as_mut().tell(&mut |outcome| {
                if let Ok(value) = outcome {
                    encoded = value.encode(protocol, &mut out);
                }
            }),
            ReplyKind::Value(value) => encoded = value.encode(protocol, &mut out),
            ReplyKind::Stream(_) => return Ok(None),
        }
        encoded.map(|()| Some(Payload::new(protocol, out.freeze())))
    }

    fn tell(&mut self, tell: Tell<'_>) {
        match &mut self.0 {
            ReplyKind::Method(method) => method.as_mut().tell(tell),
            ReplyKind::Value(value) => tell(Ok(&**value)),
            ReplyKind::Stream(_) => tell(Err(&HubError::new("The method gave a stream."))),
        }
    }

    pub(crate) fn into_items(self) -> Result<Items, HubError> {
        match self.0 {
            ReplyKind::Stream(items) => Ok(items),
            ReplyKind::Method(_) | ReplyKind::Value(_) => {
                Err(HubError::new("A filter gave a value in place of a stream."))
            }
        }
    }
}

impl fmt::Debug for HubReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubReply")
            .field("is_stream", &self.is_stream())
            .finish_non_exhaustive()
    }
}

/// A method behind filters, as one that runs.
pub(crate) struct Filtered {
    future: BoxFuture<'static, Result<HubReply, HubError>>,
    outcome: Option<Result<HubReply, HubError>>,
}

impl Filtered {
    pub(crate) fn method(
        future: BoxFuture<'static, Result<HubReply, HubError>>,
    ) -> Pin<Box<dyn Method>> {
        Box::pin(Self {
            future,
            outcome: None,
        })
    }
}

impl Method for Filtered {
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.future
            .as_mut()
            .poll(cx)
            .map(|outcome| self.outcome = Some(outcome))
    }

    fn tell(mut self: Pin<&mut Self>, tell: Tell<'_>) {
        match &mut self.outcome {
            Some(Ok(reply)) => reply.tell(tell),
            Some(Err(error)) => tell(Err(error)),
            None => {}
        }
    }
}

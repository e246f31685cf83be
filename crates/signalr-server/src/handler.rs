//! How functions become hub methods.

use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt as _};
use serde::de::{DeserializeOwned, IgnoredAny};
use signalr_proto::{Encode, Payload, PayloadError};

use crate::call::CallContext;
use crate::error::HubError;
use crate::upload::{Upload, UploadStream};

/// A value on its way to the client.
pub type Reply = Box<dyn Encode + Send>;

/// What a method's parameters are made from.
#[derive(Debug)]
pub struct CallParts {
    pub(crate) context: CallContext,
    pub(crate) arguments: std::vec::IntoIter<Payload>,
    pub(crate) uploads: std::vec::IntoIter<Upload>,
}

/// A parameter of a hub method: an argument (anything that serde can deserialize, or a raw [`Payload`]), an
/// [`UploadStream`], or the [`CallContext`].
///
/// `M` tells the kinds apart and is always inferred.
pub trait FromCall<M>: Send + Sized + 'static {
    /// Arguments it takes from the list: 1 or 0.
    const ARGUMENTS: usize = 0;
    /// Upload streams it takes: 1 or 0.
    const STREAMS: usize = 0;

    /// Makes the parameter.
    ///
    /// # Errors
    /// When an argument does not fit the parameter's type.
    fn from_call(parts: &mut CallParts) -> Result<Self, PayloadError>;
}

/// Marks parameters that are read from the argument list.
#[derive(Debug)]
pub struct Value(());

/// Marks parameters that are arguments as they came.
#[derive(Debug)]
pub struct Raw(());

/// Marks parameters that clients do not send.
#[derive(Debug)]
pub struct Synthetic(());

impl<T: DeserializeOwned + Send + 'static> FromCall<Value> for T {
    const ARGUMENTS: usize = 1;

    fn from_call(parts: &mut CallParts) -> Result<Self, PayloadError> {
        next_argument(parts)?.decode()
    }
}

/// Checked to be well-formed, so that it can be passed on.
impl FromCall<Raw> for Payload {
    const ARGUMENTS: usize = 1;

    fn from_call(parts: &mut CallParts) -> Result<Self, PayloadError> {
        let payload = next_argument(parts)?;
        payload.decode::<IgnoredAny>()?;
        Ok(payload)
    }
}

impl FromCall<Synthetic> for CallContext {
    fn from_call(parts: &mut CallParts) -> Result<Self, PayloadError> {
        Ok(parts.context.clone())
    }
}

impl<T: DeserializeOwned + Send + 'static> FromCall<Synthetic> for UploadStream<T> {
    const STREAMS: usize = 1;

    fn from_call(parts: &mut CallParts) -> Result<Self, PayloadError> {
        Ok(Self::new(parts.uploads.next()))
    }
}

fn next_argument(parts: &mut CallParts) -> Result<Payload, PayloadError> {
    parts
        .arguments
        .next()
        .ok_or_else(|| PayloadError::new("missing argument"))
}

/// A function that can be a hub method: `async fn(self: Arc<Self>, ...)` or a closure like it, with up to 8 parameters
/// that are [`FromCall`].
///
/// `M` describes the parameters and is always inferred.
pub trait Handler<H, M>: Send + Sync + 'static {
    /// What the function's future gives.
    type Output;

    /// Arguments it wants.
    const ARGUMENTS: usize;

    /// Upload streams it wants.
    const STREAMS: usize;

    /// Makes the parameters. The function is called when the future is polled.
    ///
    /// # Errors
    /// When an argument does not fit its parameter.
    fn bind(
        self: &Arc<Self>,
        hub: Arc<H>,
        parts: &mut CallParts,
    ) -> Result<BoxFuture<'static, Self::Output>, PayloadError>;
}

macro_rules! handlers {
    ($(($($parameter:ident $marker:ident),*);)+) => {$(
        #[allow(non_snake_case, unused_variables, reason = "parameters are named after their types, and there may be none")]
        impl<H, F, Fut, $($parameter, $marker),*> Handler<H, ($(($parameter, $marker),)*)> for F
        where
            H: Send + Sync + 'static,
            F: Fn(Arc<H>, $($parameter),*) -> Fut + Send + Sync + 'static,
            Fut: Future + Send + 'static,
            $($parameter: FromCall<$marker>,)*
        {
            type Output = Fut::Output;

            const ARGUMENTS: usize = 0 $(+ <$parameter as FromCall<$marker>>::ARGUMENTS)*;
            const STREAMS: usize = 0 $(+ <$parameter as FromCall<$marker>>::STREAMS)*;

            fn bind(self: &Arc<Self>, hub: Arc<H>, parts: &mut CallParts) -> Result<BoxFuture<'static, Fut::Output>, PayloadError> {
                $(let $parameter = <$parameter as FromCall<$marker>>::from_call(parts)?;)*
                let function = Arc::clone(self);
                Ok(Box::pin(async move { function(hub, $($parameter),*).await }))
            }
        }
    )+};
}

handlers! {
    ();
    (A MA);
    (A MA, B MB);
    (A MA, B MB, C MC);
    (A MA, B MB, C MC, D MD);
    (A MA, B MB, C MC, D MD, E ME);
    (A MA, B MB, C MC, D MD, E ME, G MG);
    (A MA, B MB, C MC, D MD, E ME, G MG, I MI);
    (A MA, B MB, C MC, D MD, E ME, G MG, I MI, J MJ);
}

/// What a method may return, and what the items of its stream may be: any value that can be encoded, or a `Result` of one
/// with an error that turns into a [`HubError`].
pub trait IntoReply<M> {
    /// The value to send, or why there is none.
    ///
    /// # Errors
    /// The method's own failure.
    fn into_reply(self) -> Result<Reply, HubError>;
}

/// Marks outcomes that cannot fail.
#[derive(Debug)]
pub struct Infallible(());

/// Marks outcomes that are `Result`s.
#[derive(Debug)]
pub struct Fallible<M>(std::marker::PhantomData<M>);

impl<T: Encode + Send + 'static> IntoReply<Infallible> for T {
    fn into_reply(self) -> Result<Reply, HubError> {
        Ok(Box::new(self))
    }
}

impl<T: Encode + Send + 'static, E: Into<HubError>> IntoReply<Fallible<()>> for Result<T, E> {
    fn into_reply(self) -> Result<Reply, HubError> {
        match self {
            Ok(value) => Ok(Box::new(value)),
            Err(error) => Err(error.into()),
        }
    }
}

/// The items of a streaming method.
pub type Items = BoxStream<'static, Result<Reply, HubError>>;

/// What a streaming method may return: a stream of [`IntoReply`] items, or a `Result` of one.
pub trait IntoItems<M> {
    /// The stream, or why there is none.
    ///
    /// # Errors
    /// The method's own failure.
    fn into_items(self) -> Result<Items, HubError>;
}

impl<S, M: 'static> IntoItems<(Infallible, M)> for S
where
    S: futures_util::Stream + Send + 'static,
    S::Item: IntoReply<M>,
{
    fn into_items(self) -> Result<Items, HubError> {
        Ok(self.map(IntoReply::into_reply).boxed())
    }
}

impl<S, M: 'static, E> IntoItems<Fallible<M>> for Result<S, E>
where
    S: futures_util::Stream + Send + 'static,
    S::Item: IntoReply<M>,
    E: Into<HubError>,
{
    fn into_items(self) -> Result<Items, HubError> {
        self.map(|items| items.map(IntoReply::into_reply).boxed())
            .map_err(Into::into)
    }
}

//! How functions become hub methods.

use std::error::Error;
use std::fmt;
use std::future::{Future, ready};
use std::ops::Deref;
use std::sync::Arc;

use futures_core::Stream;
use futures_core::stream::BoxStream;
use futures_util::FutureExt as _;
use futures_util::stream::StreamExt as _;
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use signalr_proto::codec::Returned;
use signalr_proto::server::CallId;
use signalr_proto::{Encode, Payload, PayloadError};
use tokio_util::sync::CancellationToken;

use crate::call::CallContext;
use crate::connection::{CallHandle, Connection};
use crate::error::HubError;
use crate::shared::Shared;
use crate::upload::{UploadSender, UploadStream};

/// A value on its way to the client.
pub type BoxedReply = Box<dyn Encode + Send>;

/// What a method's parameters are made from.
pub struct CallParts<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) connection: &'a Arc<Connection>,
    /// None while there is no such call.
    pub(crate) id: Option<CallId>,
    /// Made when the first parameter wants it.
    pub(crate) call: Option<Arc<CallHandle>>,
    pub(crate) arguments: std::vec::Drain<'a, Payload>,
    pub(crate) arguments_taken: usize,
    pub(crate) uploads: &'a [UploadSender],
    pub(crate) uploads_taken: usize,
}

impl CallParts<'_> {
    /// The call, as those see it who may have to wait for its end.
    pub(crate) fn call(&mut self) -> Arc<CallHandle> {
        let id = self.id;
        Arc::clone(self.call.get_or_insert_with(|| CallHandle::new(id)))
    }

    pub(crate) fn context(&mut self) -> CallContext {
        CallContext {
            shared: Arc::clone(self.shared),
            connection: Arc::clone(self.connection),
            call: self.call(),
        }
    }

    /// The next argument, as `read` makes it of what came.
    fn argument<T>(
        &mut self,
        read: impl FnOnce(Payload) -> Result<T, PayloadError>,
    ) -> Result<T, PayloadError> {
        let index = self.arguments_taken;
        self.arguments_taken = index.saturating_add(1);
        let payload = self.arguments.next();
        payload
            .ok_or_else(|| PayloadError::new("missing"))
            .and_then(read)
            .map_err(|error| error.in_argument(index))
    }
}

impl fmt::Debug for CallParts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallParts")
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}

/// A parameter of a hub method: an argument (anything that serde can deserialize, or a raw [`Payload`]), an
/// [`UploadStream`], or the [`CallContext`].
///
/// A tuple is none, since parameters are what is meant; a client's argument that is an array of unlike elements is a
/// [`Payload`], or a struct of one's own that is deserialized from it.
///
/// `M` tells the kinds apart and is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of a hub method",
    label = "not a parameter",
    note = "a parameter is deserializable (`serde::Deserialize`, owned: `String`, not `&str`) and `Send + 'static`, a `Payload`, a `CallContext`, a `CancellationToken` or an `UploadStream`"
)]
pub trait FromCall<M>: Send + Sized + 'static {
    /// Arguments it takes from the list: 1 or 0.
    const ARGUMENTS: usize = 0;
    /// Upload streams it takes: 1 or 0.
    const STREAMS: usize = 0;

    /// Makes the parameter.
    ///
    /// # Errors
    /// When an argument does not fit the parameter's type.
    fn from_call(parts: &mut CallParts<'_>) -> Result<Self, PayloadError>;
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

/// Marks a tuple where parameters belong. It makes the tuple ambiguous, so that `async |_, (a, b): (i32, i32)|` does not compile,
/// instead of waiting for one argument that is an array.
#[derive(Debug)]
pub struct WriteParametersInsteadOfOneTuple(());

impl<T: DeserializeOwned + Send + 'static> FromCall<Value> for T {
    const ARGUMENTS: usize = 1;

    fn from_call(parts: &mut CallParts<'_>) -> Result<Self, PayloadError> {
        parts.argument(|payload| payload.decode())
    }
}

macro_rules! not_lists {
    ($(($count:literal: $($index:tt $type:ident $marker:ident $value:ident),*))+) => {$(
        #[diagnostic::do_not_recommend]
        impl<$($type: DeserializeOwned + Send + 'static),*> FromCall<WriteParametersInsteadOfOneTuple> for ($($type,)*) {
            const ARGUMENTS: usize = 1;

            fn from_call(parts: &mut CallParts<'_>) -> Result<Self, PayloadError> {
                parts.argument(|payload| payload.decode())
            }
        }
    )+};
}

signalr_proto::for_each_arity!(not_lists);

/// Checked to be well-formed, so that it can be passed on.
impl FromCall<Raw> for Payload {
    const ARGUMENTS: usize = 1;

    fn from_call(parts: &mut CallParts<'_>) -> Result<Self, PayloadError> {
        parts.argument(|payload| {
            payload.decode::<IgnoredAny>()?;
            Ok(payload)
        })
    }
}

impl FromCall<Synthetic> for CallContext {
    fn from_call(parts: &mut CallParts<'_>) -> Result<Self, PayloadError> {
        Ok(parts.context())
    }
}

impl<T: DeserializeOwned + Send + 'static> FromCall<Synthetic> for UploadStream<T> {
    const STREAMS: usize = 1;

    fn from_call(parts: &mut CallParts<'_>) -> Result<Self, PayloadError> {
        let index = parts.uploads_taken;
        parts.uploads_taken = index.saturating_add(1);
        let sender = parts.uploads.get(index).zip(parts.id);
        Ok(Self::new(sender.map(|(sender, call)| {
            sender.receiver(Arc::clone(parts.connection), call, index)
        })))
    }
}

/// Fires when the client cancels this call, or the connection ends.
impl FromCall<Synthetic> for CancellationToken {
    fn from_call(parts: &mut CallParts<'_>) -> Result<Self, PayloadError> {
        let connection = Arc::clone(parts.connection);
        Ok(parts.call().cancellation(&connection))
    }
}

/// A function that can be a hub method: `fn(self: Arc<Self>, ...)`, async or not, or a closure like it, with up to 12 parameters
/// that are [`FromCall`]. What it returns is a [`MethodResult`] or a [`StreamResult`].
///
/// `M` describes the parameters and is always inferred.
#[diagnostic::on_unimplemented(
    message = "this cannot be a method of the hub `{H}`",
    label = "not a hub method",
    note = "a hub method is `fn(self: Arc<Self>, parameters)` or `|hub: Arc<{H}>, parameters|`, async or not: it takes the hub as an `Arc`, not as `&self`",
    note = "it has at most 12 parameters beside the hub, each deserializable (`Deserialize` without borrowing), a `Payload`, a `CallContext`, a `CancellationToken` or an `UploadStream`"
)]
pub trait Handler<H, M>: Send + Sync + 'static {
    /// What the function returns.
    type Output;

    /// Arguments it wants.
    const ARGUMENTS: usize;

    /// Upload streams it wants.
    const STREAMS: usize;

    /// The parameters, as a tuple.
    type Parameters: Send + 'static;

    /// Makes the parameters.
    ///
    /// # Errors
    /// When an argument does not fit its parameter.
    fn parameters(parts: &mut CallParts<'_>) -> Result<Self::Parameters, PayloadError>;

    /// Calls the function.
    fn call(&self, hub: Arc<H>, parameters: Self::Parameters) -> Self::Output;
}

macro_rules! handlers {
    ($(($count:literal: $($index:tt $parameter:ident $marker:ident $value:ident),*))+) => {$(
        #[allow(non_snake_case, unused_variables, reason = "parameters are named after their types, and there may be none")]
        impl<H, F, R, $($parameter, $marker),*> Handler<H, ($(($parameter, $marker),)*)> for F
        where
            H: Send + Sync + 'static,
            F: Fn(Arc<H>, $($parameter),*) -> R + Send + Sync + 'static,
            $($parameter: FromCall<$marker>,)*
        {
            type Output = R;

            const ARGUMENTS: usize = 0 $(+ <$parameter as FromCall<$marker>>::ARGUMENTS)*;
            const STREAMS: usize = 0 $(+ <$parameter as FromCall<$marker>>::STREAMS)*;

            type Parameters = ($($parameter,)*);

            fn parameters(parts: &mut CallParts<'_>) -> Result<Self::Parameters, PayloadError> {
                Ok(($(<$parameter as FromCall<$marker>>::from_call(parts)?,)*))
            }

            fn call(&self, hub: Arc<H>, ($($parameter,)*): Self::Parameters) -> R {
                self(hub, $($parameter),*)
            }
        }
    )+};
}

signalr_proto::for_each_arity!(handlers);

/// What a method may give, and what the items of its stream may be: any value that can be encoded, or a `Result` of one.
///
/// A `Result` is an outcome whatever its error is, and never a value on the wire: a [`HubError`], any `std::error::Error`,
/// `Box<dyn Error + Send + Sync>` and what else leads to one (such as `anyhow::Error`), and whatever serde can serialize (a
/// `String`, an enum of your own). All but [`HubError::new`] are hidden from clients; see [`HubError`].
///
/// Only an error that is both a `std::error::Error` and serializable has two ways to become a failure, of which the
/// compiler takes neither: turn it into a [`HubError`] with `?` or [`HubError::hidden`]. One that is neither needs words first.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the result of a hub method",
    label = "not a result",
    note = "a result is serializable (`serde::Serialize`) and `Send + 'static`, or a `Result` of that with an error that is a `HubError`, a `std::error::Error` or serializable: others become it with `map_err(|error| HubError::new(words))`, and a future with `.await`",
    note = "a method whose result is a stream is registered with `stream`, not with `on`"
)]
pub trait IntoReply<M> {
    /// What is encoded for the client.
    type Value: Encode + Send + 'static;

    /// The value to send, or why there is none.
    ///
    /// # Errors
    /// The method's own failure.
    fn into_reply(self) -> Result<Self::Value, HubError>;
}

/// Marks outcomes that are encoded, unless they turn out to be a `Result` that failed.
#[derive(Debug)]
pub struct Infallible(());

/// Marks outcomes that are `Result`s.
#[derive(Debug)]
pub struct Fallible<M>(std::marker::PhantomData<M>);

/// Marks errors of any type behind a pointer.
#[derive(Debug)]
pub struct Boxed(());

/// Marks errors that serde can serialize too. It is the third way to a failure, which never is the one that the compiler takes: its
/// name is there to be read among the others.
#[derive(Debug)]
pub struct WriteMapErrHubErrorHiddenForThisError(());

impl<T: Encode + Send + 'static> IntoReply<Infallible> for T {
    type Value = Returned<T>;

    fn into_reply(self) -> Result<Returned<T>, HubError> {
        Returned::new(self).map_err(|error| HubError::returned(&error))
    }
}

#[diagnostic::do_not_recommend]
impl<T: Encode + Send + 'static, E: Into<HubError>> IntoReply<Fallible<()>> for Result<T, E> {
    type Value = Returned<T>;

    fn into_reply(self) -> Result<Returned<T>, HubError> {
        self.map_err(Into::into)?.into_reply()
    }
}

#[diagnostic::do_not_recommend]
impl<T, E> IntoReply<Fallible<Boxed>> for Result<T, E>
where
    T: Encode + Send + 'static,
    E: Deref<Target = dyn Error + Send + Sync>,
{
    type Value = Returned<T>;

    fn into_reply(self) -> Result<Returned<T>, HubError> {
        self.map_err(|error| HubError::of(&*error))?.into_reply()
    }
}

/// Only there to be named by the compiler, where it finds two ways.
#[diagnostic::do_not_recommend]
impl<T, E> IntoReply<WriteMapErrHubErrorHiddenForThisError> for Result<T, E>
where
    T: Serialize + Send + 'static,
    E: Error + Serialize + Send + Sync + 'static,
{
    type Value = Returned<T>;

    fn into_reply(self) -> Result<Returned<T>, HubError> {
        self.map_err(HubError::hidden)?.into_reply()
    }
}

/// Marks functions that are not async.
#[derive(Debug)]
pub struct Immediate<M>(std::marker::PhantomData<M>);

/// Marks functions that return a future.
#[derive(Debug)]
pub struct Awaited<M>(std::marker::PhantomData<M>);

/// What the function of a method with one result may return: an [`IntoReply`], or a future of one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the result of a hub method",
    label = "not a result",
    note = "a result is serializable (`serde::Serialize`) and `Send + 'static`, or a `Result` of that with an error that is a `HubError`, a `std::error::Error` or serializable: others become it with `map_err(|error| HubError::new(words))`",
    note = "an async function gives one of these, where a future in it has its `.await`, and its own future is `Send`: let no lock guard or `Rc` live across an `.await`",
    note = "a method whose result is a stream is registered with `stream`, not with `on`"
)]
pub trait MethodResult<M>: 'static {
    /// What is encoded for the client.
    type Value: Encode + Send + 'static;

    /// The value to send, or why there is none, once it is there.
    fn reply(self) -> impl Future<Output = Result<Self::Value, HubError>> + Send + 'static;
}

impl<T: IntoReply<M> + 'static, M> MethodResult<Immediate<M>> for T {
    type Value = T::Value;

    fn reply(self) -> impl Future<Output = Result<Self::Value, HubError>> + Send + 'static {
        ready(self.into_reply())
    }
}

impl<F, T, M: 'static> MethodResult<Awaited<M>> for F
where
    F: Future<Output = T> + Send + 'static,
    T: IntoReply<M> + 'static,
{
    type Value = T::Value;

    fn reply(self) -> impl Future<Output = Result<Self::Value, HubError>> + Send + 'static {
        self.map(IntoReply::into_reply)
    }
}

fn boxed<T: IntoReply<M>, M>(item: T) -> Result<BoxedReply, HubError> {
    item.into_reply().map(|value| Box::new(value) as BoxedReply)
}

/// The items of a streaming method.
pub type Items = BoxStream<'static, Result<BoxedReply, HubError>>;

/// What a streaming method may give: a stream of [`IntoReply`] items, or a `Result` of one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the result of a streaming hub method",
    label = "not a stream",
    note = "it is a `Stream + Send + 'static` of serializable items or `Result`s of them, or a `Result` of such a stream",
    note = "a method with one result is registered with `on`, not with `stream`"
)]
pub trait IntoItems<M> {
    /// The stream, or why there is none.
    ///
    /// # Errors
    /// The method's own failure.
    fn into_items(self) -> Result<Items, HubError>;
}

impl<S, M: 'static> IntoItems<(Infallible, M)> for S
where
    S: Stream + Send + 'static,
    S::Item: IntoReply<M>,
{
    fn into_items(self) -> Result<Items, HubError> {
        Ok(self.map(boxed).boxed())
    }
}

impl<S, M: 'static, E> IntoItems<Fallible<M>> for Result<S, E>
where
    S: Stream + Send + 'static,
    S::Item: IntoReply<M>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    fn into_items(self) -> Result<Items, HubError> {
        self.map_err(HubError::hidden)?.into_items()
    }
}

/// What the function of a streaming method may return: an [`IntoItems`], or a future of one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the result of a streaming hub method",
    label = "not a stream",
    note = "it is a `Stream + Send + 'static` of serializable items or `Result`s of them, or a `Result` of such a stream",
    note = "an async function gives one of these, and its future is `Send`: let no lock guard or `Rc` live across an `.await`",
    note = "a method with one result is registered with `on`, not with `stream`"
)]
pub trait StreamResult<M>: 'static {
    /// The stream, or why there is none, once it is there.
    fn items(self) -> impl Future<Output = Result<Items, HubError>> + Send + 'static;
}

impl<T: IntoItems<M> + 'static, M> StreamResult<Immediate<M>> for T {
    fn items(self) -> impl Future<Output = Result<Items, HubError>> + Send + 'static {
        ready(self.into_items())
    }
}

impl<F, T, M: 'static> StreamResult<Awaited<M>> for F
where
    F: Future<Output = T> + Send + 'static,
    T: IntoItems<M> + 'static,
{
    fn items(self) -> impl Future<Output = Result<Items, HubError>> + Send + 'static {
        self.map(IntoItems::into_items)
    }
}

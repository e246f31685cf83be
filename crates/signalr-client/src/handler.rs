//! Methods that the server calls on this client.

use core::any::TypeId;
use core::error::Error;
use core::future::Future;
use core::ops::Deref;
use core::pin::Pin;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use serde::de::DeserializeOwned;
use signalr_proto::codec::{ArgumentReader, Returned};
use signalr_proto::{Arguments, Encode, Payload, PayloadError};

use crate::connection::WeakHubConnection;
use crate::error::RegisterError;
use crate::shared::Shared;

/// A closure or function that handles calls of the server.
///
/// Its parameters are the call's arguments, up to 12 [`Parameter`]s, and it is either plain or async. What it returns is the
/// answer, when the server asked for one: nothing, a value, or a `Result`; see [`IntoReply`].
///
/// ```
/// # use signalr_client::{Arguments, Detached, Handler, HandlerError, WeakHubConnection};
/// # fn on<M>(_: impl Handler<M>) {}
/// on(|user: String, text: String| println!("{user}: {text}"));
/// on(async |question: String| format!("{question}? 42!"));
/// on(|text: String| -> Result<i32, HandlerError> { Ok(text.parse()?) });
/// on(|| {});
/// on(|arguments: Arguments| println!("{:?}", arguments.len()));
/// on(async |connection: WeakHubConnection<Detached>, room: String| {
///     if let Some(connection) = connection.upgrade() {
///         let _ = connection.send("Join", (room,)).await;
///     }
/// });
/// ```
///
/// The types of the parameters have to be written. An async closure that uses what it has captured has to be a
/// `move |…| async move { … }`, or to take it as [its state](crate::HubConnection::on_with).
///
/// `Form` only tells the kinds of handlers apart; it is always inferred.
#[diagnostic::on_unimplemented(
    message = "this cannot handle calls of the server",
    label = "not a handler",
    note = "a handler is `Fn(parameters) -> answer` or `async Fn(parameters) -> answer`, `Send + Sync + 'static`, with at most 12 parameters",
    note = "each parameter has its type written, and is deserializable (`Deserialize` without borrowing), a `Payload`, a `WeakHubConnection`, or `Arguments` for the whole list",
    note = "the answer is serializable, `()`, or a `Result`; the future of an async handler is `Send`: let no lock guard or `Rc` live across an `.await`"
)]
pub trait Handler<Form> {
    /// Forgets the types.
    fn erase(self) -> ErasedHandler;
}

/// A handler with the state that its first parameter takes; see [`on_with`](crate::HubConnection::on_with).
#[derive(Clone, Debug)]
pub struct WithState<S, F> {
    state: S,
    function: F,
}

impl<S, F> WithState<S, F> {
    pub(crate) const fn new(state: S, function: F) -> Self {
        Self { state, function }
    }
}

type Call = dyn Fn(&Arguments, &Weak<Shared>) -> Called + Send + Sync;

/// A [`Handler`] without its types.
pub struct ErasedHandler {
    call: Box<Call>,
    has_value: bool,
}

impl core::fmt::Debug for ErasedHandler {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ErasedHandler")
            .field("has_value", &self.has_value)
            .finish_non_exhaustive()
    }
}

/// What a handler gave.
pub(crate) enum Answer {
    Void,
    Value(Box<dyn Encode + Send>),
    Failed(Box<str>),
}

pub(crate) type AnswerFuture = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// A handler that was called.
pub(crate) enum Called {
    Misfit(PayloadError),
    Done(Answer),
    Running(AnswerFuture),
}

/// Forms of handlers, their parameters and answers: types without values, by which the compiler tells implementations apart.
pub mod form {
    /// `Fn(…) -> R`.
    #[derive(Debug)]
    pub struct Plain;
    /// `Fn(…) -> Future<Output = R>`.
    #[derive(Debug)]
    pub struct Async;
    /// The function takes a state first.
    #[derive(Debug)]
    pub struct Stateful<F>(core::marker::PhantomData<F>);

    /// A parameter that is decoded from an argument.
    #[derive(Debug)]
    pub struct Value;
    /// A parameter that is an argument as it came, or all of them.
    #[derive(Debug)]
    pub struct Raw;
    /// A parameter that is not sent.
    #[derive(Debug)]
    pub struct Synthetic;
    /// A tuple where parameters belong. It makes the tuple ambiguous, so that `|(a, b): (i32, i32)|` does not compile,
    /// instead of waiting for one argument that is an array.
    #[derive(Debug)]
    pub struct WriteParametersInsteadOfOneTuple;

    /// An answer that is encoded, unless it turns out to be a `Result` that failed.
    #[derive(Debug)]
    pub struct Infallible;
    /// `Result<R, E>`, with an error.
    #[derive(Debug)]
    pub struct Fallible;
    /// `Result<R, E>`, with an error behind a pointer.
    #[derive(Debug)]
    pub struct FallibleBoxed;
}

/// What handlers' parameters are made of.
pub struct Incoming<'a> {
    arguments: &'a Arguments,
    reader: Option<ArgumentReader<'a>>,
    connection: &'a Weak<Shared>,
}

impl core::fmt::Debug for Incoming<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Incoming")
            .field("arguments", &self.arguments)
            .finish_non_exhaustive()
    }
}

impl<'a> Incoming<'a> {
    /// `count` is None for handlers that take the list whole.
    fn new(
        arguments: &'a Arguments,
        connection: &'a Weak<Shared>,
        count: Option<usize>,
    ) -> Result<Self, PayloadError> {
        let reader = count.map(|count| ArgumentReader::new(arguments, count));
        Ok(Self {
            arguments,
            reader: reader.transpose()?,
            connection,
        })
    }

    fn reader(&mut self) -> Result<&mut ArgumentReader<'a>, PayloadError> {
        if self.reader.is_none() {
            let count = self.arguments.len()?;
            self.reader = Some(ArgumentReader::new(self.arguments, count)?);
        }
        self.reader
            .as_mut()
            .ok_or_else(|| PayloadError::new("missing argument"))
    }
}

/// A parameter of a [`Handler`]: an argument (anything that serde can deserialize, or a raw [`Payload`]), all of them
/// ([`Arguments`]), or the connection that was called ([`WeakHubConnection`]), which is not sent.
///
/// `M` tells the kinds apart and is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of a handler",
    label = "not a parameter",
    note = "a parameter is deserializable (`serde::Deserialize`, owned: `String`, not `&str`), a `Payload`, `Arguments` or a `WeakHubConnection`"
)]
pub trait Parameter<M>: Sized {
    /// Arguments it takes from the list; None for all of them, however many.
    const ARGUMENTS: Option<usize>;

    /// Makes the parameter.
    ///
    /// # Errors
    /// When an argument does not fit.
    fn take(incoming: &mut Incoming<'_>) -> Result<Self, PayloadError>;
}

impl<T: DeserializeOwned> Parameter<form::Value> for T {
    const ARGUMENTS: Option<usize> = Some(1);

    fn take(incoming: &mut Incoming<'_>) -> Result<Self, PayloadError> {
        incoming.reader()?.value()
    }
}

impl Parameter<form::Raw> for Payload {
    const ARGUMENTS: Option<usize> = Some(1);

    fn take(incoming: &mut Incoming<'_>) -> Result<Self, PayloadError> {
        incoming.reader()?.payload()
    }
}

impl Parameter<form::Raw> for Arguments {
    const ARGUMENTS: Option<usize> = None;

    fn take(incoming: &mut Incoming<'_>) -> Result<Self, PayloadError> {
        Ok(incoming.arguments.clone())
    }
}

impl<R> Parameter<form::Synthetic> for WeakHubConnection<R> {
    const ARGUMENTS: Option<usize> = Some(0);

    fn take(incoming: &mut Incoming<'_>) -> Result<Self, PayloadError> {
        Ok(Self::from_shared(Weak::clone(incoming.connection)))
    }
}

/// How many arguments all of them take together.
const fn plus(left: Option<usize>, right: Option<usize>) -> Option<usize> {
    match (left, right) {
        (Some(left), Some(right)) => Some(left.saturating_add(right)),
        _ => None,
    }
}

/// What a handler can return: nothing (`()`), a value that serde can serialize, or a `Result` of these.
///
/// A `Result` is an outcome whatever its error is, and never a value on the wire: [`HandlerError`], any `std::error::Error`,
/// `Box<dyn Error + Send + Sync>` and what else leads to one (such as `anyhow::Error`), and whatever serde can serialize (a
/// `String`, an enum of your own). The server is told the error's text.
///
/// Only an error that is both a `std::error::Error` and serializable has two ways to become a failure, of which the
/// compiler takes neither: turn it into a [`HandlerError`] with `?`.
///
/// `M` tells the kinds apart and is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the answer of a handler",
    label = "not an answer",
    note = "an answer is `()`, serializable (`serde::Serialize`, `Send + 'static`), or a `Result` of these with an error that is a `HandlerError`, a `std::error::Error` or serializable"
)]
pub trait IntoReply<M> {
    /// Whether it can be the answer to a question.
    fn has_value() -> bool;

    /// Forgets the type.
    fn into_reply(self) -> AnyReply;
}

/// The answer of a [`Handler`] without its type.
pub struct AnyReply(Answer);

impl core::fmt::Debug for AnyReply {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("AnyReply").finish_non_exhaustive()
    }
}

fn answer<R: Encode + Send + 'static>(value: R) -> AnyReply {
    AnyReply(match Returned::new(value) {
        Err(error) => Answer::Failed(error.text().into()),
        Ok(_) if !has_value::<R>() => Answer::Void,
        Ok(value) => Answer::Value(Box::new(value)),
    })
}

fn failure(error: HandlerError) -> AnyReply {
    AnyReply(Answer::Failed(error.text))
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

fn done<R: IntoReply<M>, M>(reply: R) -> Called {
    Called::Done(reply.into_reply().0)
}

fn running<F, M>(future: F) -> Called
where
    F: Future<Output: IntoReply<M>> + Send + 'static,
{
    Called::Running(Box::pin(async move { future.await.into_reply().0 }))
}

/// A handler whose parameters are made by `make`, of so many arguments.
fn erased<P>(
    count: Option<usize>,
    has_value: bool,
    make: fn(&mut Incoming<'_>) -> Result<P, PayloadError>,
    call: impl Fn(P) -> Called + Send + Sync + 'static,
) -> ErasedHandler
where
    P: 'static,
{
    ErasedHandler {
        call: Box::new(move |arguments, connection| {
            let parameters = Incoming::new(arguments, connection, count);
            parameters
                .and_then(|mut incoming| make(&mut incoming))
                .map_or_else(Called::Misfit, &call)
        }),
        has_value,
    }
}

macro_rules! handlers {
    ($(($($parameter:ident $marker:ident),*);)+) => {$(
        handlers!(one Plain, [R: IntoReply<MR>], R, R, done, ($($parameter $marker),*));
        handlers!(
            one Async,
            [R: Future<Output: IntoReply<MR>> + Send + 'static],
            R,
            R::Output,
            running,
            ($($parameter $marker),*)
        );
    )+};
    (one $form:ident, [$($bound:tt)*], $returned:ty, $reply:ty, $called:ident, ($($parameter:ident $marker:ident),*)) => {
        #[allow(non_snake_case, unused_variables, reason = "parameters are named after their types, and there may be none")]
        impl<F, R, MR, $($parameter, $marker),*> Handler<(form::$form, MR, ($(($parameter, $marker),)*))> for F
        where
            F: Fn($($parameter),*) -> $returned + Send + Sync + 'static,
            $($bound)*,
            $($parameter: Parameter<$marker> + 'static,)*
        {
            fn erase(self) -> ErasedHandler {
                erased(
                    const {
                        let count = Some(0);
                        $(let count = plus(count, <$parameter as Parameter<$marker>>::ARGUMENTS);)*
                        count
                    },
                    <$reply as IntoReply<MR>>::has_value(),
                    |incoming| Ok(($(<$parameter as Parameter<$marker>>::take(incoming)?,)*)),
                    move |($($parameter,)*)| $called::<_, MR>(self($($parameter),*)),
                )
            }
        }

        #[diagnostic::do_not_recommend]
        #[allow(non_snake_case, unused_variables, reason = "parameters are named after their types, and there may be none")]
        impl<S, F, R, MR, $($parameter, $marker),*>
            Handler<form::Stateful<(form::$form, MR, ($(($parameter, $marker),)*))>> for WithState<S, F>
        where
            S: Clone + Send + Sync + 'static,
            F: Fn(S, $($parameter),*) -> $returned + Send + Sync + 'static,
            $($bound)*,
            $($parameter: Parameter<$marker> + 'static,)*
        {
            fn erase(self) -> ErasedHandler {
                let Self { state, function } = self;
                let handler = move |$($parameter: $parameter),*| function(state.clone(), $($parameter),*);
                Handler::<(form::$form, MR, ($(($parameter, $marker),)*))>::erase(handler)
            }
        }
    };
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
    (A MA, B MB, C MC, D MD, E ME, G MG, I MI, J MJ, K MK);
    (A MA, B MB, C MC, D MD, E ME, G MG, I MI, J MJ, K MK, L ML);
    (A MA, B MB, C MC, D MD, E ME, G MG, I MI, J MJ, K MK, L ML, N MN);
    (A MA, B MB, C MC, D MD, E ME, G MG, I MI, J MJ, K MK, L ML, N MN, O MO);
}

macro_rules! not_lists {
    ($(($($type:ident),*))+) => {$(
        #[diagnostic::do_not_recommend]
        impl<$($type: DeserializeOwned),*> Parameter<form::WriteParametersInsteadOfOneTuple> for ($($type,)*) {
            const ARGUMENTS: Option<usize> = Some(1);

            fn take(incoming: &mut Incoming<'_>) -> Result<Self, PayloadError> {
                incoming.reader()?.value()
            }
        }
    )+};
}

not_lists! {
    ()
    (A)
    (A, B)
    (A, B, C)
    (A, B, C, D)
    (A, B, C, D, E)
    (A, B, C, D, E, G)
    (A, B, C, D, E, G, I)
    (A, B, C, D, E, G, I, J)
    (A, B, C, D, E, G, I, J, K)
    (A, B, C, D, E, G, I, J, K, L)
    (A, B, C, D, E, G, I, J, K, L, N)
    (A, B, C, D, E, G, I, J, K, L, N, O)
}

/// Why a handler has no answer. The server gets the text and nothing else.
///
/// Every `std::error::Error` turns into one, so `?` works in handlers.
#[derive(Clone, PartialEq, Eq)]
pub struct HandlerError {
    text: Box<str>,
}

impl HandlerError {
    /// An error with this text.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self { text: text.into() }
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
        f.debug_tuple("HandlerError").field(&self.text).finish()
    }
}

impl core::fmt::Display for HandlerError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.text)
    }
}

/// Hears every call of the server.
pub(crate) type Observer = dyn Fn(&str, &Arguments) + Send + Sync;

/// The observers of all calls, in the order of registration.
pub(crate) type Observers = Arc<Vec<(u64, Arc<Observer>)>>;

/// A registered handler, for [`off`](crate::HubConnection::off). Dropping it leaves the handler in place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subscription {
    target: Box<str>,
    id: Option<u64>,
}

impl Subscription {
    /// The method's name; empty for a handler of all methods.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Whether the handler was registered; false for a second handler with a value, which [`on`](crate::HubConnection::on)
    /// refuses.
    #[must_use]
    pub const fn is_registered(&self) -> bool {
        self.id.is_some()
    }

    pub(crate) const fn refused(target: Box<str>) -> Self {
        Self { target, id: None }
    }
}

/// A handler in the table.
pub(crate) struct Entry {
    id: u64,
    handler: ErasedHandler,
    connection: Weak<Shared>,
    /// It has given a value that nobody wanted.
    unwanted: AtomicBool,
}

impl Entry {
    pub(crate) fn call(&self, arguments: &Arguments) -> Called {
        (self.handler.call)(arguments, &self.connection)
    }

    pub(crate) const fn has_value(&self) -> bool {
        self.handler.has_value
    }

    /// Whether this is the first value of it that nobody wants.
    pub(crate) fn is_first_unwanted_value(&self) -> bool {
        !self.unwanted.swap(true, Ordering::Relaxed)
    }
}

/// The handlers of one method, in the order of registration. Running calls keep the list they began with.
pub(crate) type Entries = Arc<Vec<Arc<Entry>>>;

/// All handlers. Names match exactly.
#[derive(Default)]
pub(crate) struct Registry {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    last_id: u64,
    targets: HashMap<Box<str>, Entries>,
    /// None as long as there are none, so that looking costs nothing.
    observers: Option<Observers>,
}

impl Table {
    const fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Ids are unique among handlers of all kinds.
    fn remove_observer(&mut self, id: Option<u64>) -> bool {
        let Some(observers) = &mut self.observers else {
            return false;
        };
        let before = observers.len();
        Arc::make_mut(observers).retain(|(other, _)| Some(*other) != id);
        let removed = observers.len() < before;
        self.observers.take_if(|observers| observers.is_empty());
        removed
    }
}

/// Who is concerned by a call.
pub(crate) struct Found {
    pub(crate) handlers: Option<Entries>,
    pub(crate) observers: Option<Observers>,
}

impl Registry {
    fn lock(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn find(&self, target: &str) -> Found {
        let table = self.lock();
        Found {
            handlers: table.targets.get(target).cloned(),
            observers: table.observers.clone(),
        }
    }

    pub(crate) fn observe(&self, observer: Arc<Observer>) -> Subscription {
        let mut table = self.lock();
        let id = table.next_id();
        let observers = table.observers.get_or_insert_default();
        Arc::make_mut(observers).push((id, observer));
        Subscription {
            target: Box::default(),
            id: Some(id),
        }
    }

    pub(crate) fn add(
        &self,
        target: &str,
        handler: ErasedHandler,
        connection: Weak<Shared>,
    ) -> Result<Subscription, RegisterError> {
        let mut table = self.lock();
        let id = table.next_id();
        let entries = table.targets.entry(target.into()).or_default();
        if handler.has_value && entries.iter().any(|entry| entry.has_value()) {
            return Err(RegisterError::SecondValue {
                target: target.into(),
            });
        }
        Arc::make_mut(entries).push(Arc::new(Entry {
            id,
            handler,
            connection,
            unwanted: AtomicBool::new(false),
        }));
        Ok(Subscription {
            target: target.into(),
            id: Some(id),
        })
    }

    pub(crate) fn remove(&self, subscription: &Subscription) -> bool {
        let mut table = self.lock();
        if table.remove_observer(subscription.id) {
            return true;
        }
        let Some(entries) = table.targets.get_mut(&subscription.target) else {
            return false;
        };
        let before = entries.len();
        Arc::make_mut(entries).retain(|entry| Some(entry.id) != subscription.id);
        entries.len() < before
    }

    pub(crate) fn remove_all(&self, target: &str) -> usize {
        self.lock()
            .targets
            .remove(target)
            .map_or(0, |entries| entries.len())
    }
}

#[cfg(test)]
mod tests {
    use core::fmt;

    use serde::Serialize;
    use signalr_proto::Protocol;

    use super::*;
    use crate::transport::Detached;

    type Boxed = Box<dyn Error + Send + Sync>;

    fn arguments(text: &'static str) -> Arguments {
        Arguments::new(Protocol::Json, text.into())
    }

    fn text(answer: Answer) -> String {
        match answer {
            Answer::Void => "void".into(),
            Answer::Failed(text) => format!("failed: {text}"),
            Answer::Value(value) => {
                let mut out = bytes::BytesMut::new();
                value.encode(Protocol::Json, &mut out).unwrap();
                String::from_utf8(out.to_vec()).unwrap()
            }
        }
    }

    fn run<M>(handler: impl Handler<M>, with: &'static str) -> String {
        match (handler.erase().call)(&arguments(with), &Weak::new()) {
            Called::Misfit(error) => error.to_string(),
            Called::Done(answer) => text(answer),
            Called::Running(future) => {
                text(futures_util::FutureExt::now_or_never(future).expect("it waits for nothing"))
            }
        }
    }

    #[test]
    fn every_form_of_handler_is_inferred() {
        assert_eq!(run(|a: i32, b: i32| a + b, "[1,2]"), "3");
        assert_eq!(run(|a: String| async move { a + "!" }, "[\"x\"]"), "\"x!\"");
        assert_eq!(run(async |a: String| a + "!", "[\"x\"]"), "\"x!\"");
        assert_eq!(
            run(
                |a: String| -> Result<i32, HandlerError> { Ok(a.parse()?) },
                "[\"7\"]"
            ),
            "7"
        );
        assert_eq!(
            run(
                async |a: String| Ok::<i32, HandlerError>(a.parse()?),
                "[\"x\"]"
            ),
            "failed: invalid digit found in string"
        );
        assert_eq!(run(|| {}, "[]"), "void");
        assert_eq!(run(|_: i32| async {}, "[1]"), "void");
        assert_eq!(run(|raw: Arguments| raw.len().unwrap(), "[1,2,3]"), "3");
        assert_eq!(run(|a: Option<i32>| a, "[null]"), "null");
        assert_eq!(
            run(
                |list: Vec<i32>, a: i32| list.iter().sum::<i32>() + a,
                "[[1,2],3]"
            ),
            "6"
        );
        assert_eq!(
            run(
                |_: Payload, last: Payload| String::from_utf8(last.as_bytes().to_vec()),
                "[1,[2]]"
            ),
            "\"[2]\""
        );
    }

    #[test]
    fn twelve_parameters_are_taken_in_their_order() {
        #[rustfmt::skip]
        let handler = |a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8, i: u8, j: u8, k: u8, l: u8| {
            [a, b, c, d, e, f, g, h, i, j, k, l]
        };
        let list = "[1,2,3,4,5,6,7,8,9,10,11,12]";
        assert_eq!(run(handler, list), list);
    }

    #[test]
    fn state_and_connection_come_beside_the_arguments() {
        let state = Arc::new("state");
        assert_eq!(
            run(
                WithState::new(Arc::clone(&state), async |state: Arc<&str>, n: i32| {
                    format!("{state} {n}")
                }),
                "[1]"
            ),
            "\"state 1\""
        );
        assert_eq!(
            run(
                WithState::new(state, |state: Arc<&str>, raw: Arguments| {
                    format!("{state} {:?}", raw.len())
                }),
                "[1]"
            ),
            "\"state Ok(1)\""
        );
        assert_eq!(
            run(
                |n: i32, connection: WeakHubConnection<Detached>, m: i32| {
                    (connection.upgrade().is_none(), n, m)
                },
                "[1,2]"
            ),
            "[true,1,2]"
        );
        assert_eq!(
            run(
                |_: WeakHubConnection<Detached>, raw: Arguments, n: i32| (raw.len().unwrap(), n),
                "[7,8]"
            ),
            "[2,7]"
        );
    }

    #[test]
    fn arguments_that_do_not_fit_are_told_from_failures() {
        assert_eq!(
            run(|_: i32, _: i32| {}, "[1]"),
            "Invocation provides 1 argument(s) but target expects 2."
        );
    }

    #[derive(Serialize)]
    enum Refusal {
        Busy(u32),
    }

    struct Report(Boxed);

    impl Deref for Report {
        type Target = dyn Error + Send + Sync;

        fn deref(&self) -> &Self::Target {
            &*self.0
        }
    }

    #[derive(Debug)]
    struct Plain;

    impl fmt::Display for Plain {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("plain")
        }
    }

    impl Error for Plain {}

    #[test]
    fn a_result_is_an_outcome_and_never_a_value() {
        assert_eq!(run(|| Err::<i32, _>("no".to_owned()), "[]"), "failed: no");
        assert_eq!(run(|| Err::<i32, _>("no"), "[]"), "failed: no");
        assert_eq!(run(async || Err::<(), _>("no"), "[]"), "failed: no");
        assert_eq!(
            run(|| Err::<i32, _>(Refusal::Busy(3)), "[]"),
            "failed: {\"Busy\":3}"
        );
        assert_eq!(run(|| Err::<i32, _>(Plain), "[]"), "failed: plain");
        assert_eq!(
            run(async || Err::<i32, Boxed>("boxed".into()), "[]"),
            "failed: boxed"
        );
        assert_eq!(
            run(|| Err::<i32, _>(Report("report".into())), "[]"),
            "failed: report"
        );
        assert_eq!(run(|| Ok::<_, String>(7), "[]"), "7");
        assert_eq!(run(|| Ok::<(), String>(()), "[]"), "void");
        assert_eq!(run(|| Ok::<_, Boxed>(7), "[]"), "7");
    }

    #[test]
    fn a_second_handler_with_a_value_is_refused_and_others_are_not() {
        let registry = Registry::default();
        let add = |target, handler| registry.add(target, handler, Weak::new());
        let first = add("m", (|| 1).erase()).unwrap();
        assert_eq!(
            add("m", (|| 2).erase()),
            Err(RegisterError::SecondValue { target: "m".into() })
        );
        add("m", (|| {}).erase()).unwrap();
        add("M", (|| 3).erase()).unwrap();
        assert!(registry.remove(&first) && !registry.remove(&first));
        add("m", (|| 4).erase()).unwrap();
        assert_eq!((registry.remove_all("m"), registry.remove_all("m")), (2, 0));
    }
}

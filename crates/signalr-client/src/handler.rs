//! Methods that the server calls on this client.

use core::any::TypeId;
use core::future::Future;
use core::pin::Pin;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use signalr_proto::{Arguments, Encode, FromArguments, PayloadError};

use crate::error::RegisterError;

/// A closure or function that handles calls of the server.
///
/// It takes **one tuple** of the call's arguments, and is either plain or async. What it returns is the answer, when the server
/// asked for one: a value, `Result<value, HandlerError>`, or nothing.
///
/// ```
/// # use signalr_client::{Handler, HandlerError};
/// # fn on<M>(_: impl Handler<M>) {}
/// on(|(user, text): (String, String)| println!("{user}: {text}"));
/// on(|(question,): (String,)| async move { format!("{question}? 42!") });
/// on(|(text,): (String,)| -> Result<i32, HandlerError> { Ok(text.parse()?) });
/// on(|()| {});
/// on(|arguments: signalr_proto::Arguments| println!("{:?}", arguments.len()));
/// ```
///
/// The type parameter only tells the four forms apart; it is always inferred.
pub trait Handler<Form> {
    /// Forgets the types.
    fn erase(self) -> ErasedHandler;
}

/// A [`Handler`] without its types.
pub struct ErasedHandler {
    call: Box<dyn Fn(&Arguments) -> Called + Send + Sync>,
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

/// Forms of handlers: types without values, by which the compiler tells the implementations of [`Handler`] apart.
pub mod form {
    /// `Fn(A) -> R`.
    #[derive(Debug)]
    pub struct Plain;
    /// `Fn(A) -> Result<R, HandlerError>`.
    #[derive(Debug)]
    pub struct Fallible;
    /// `Fn(A) -> Future<Output = R>`.
    #[derive(Debug)]
    pub struct Async;
    /// `Fn(A) -> Future<Output = Result<R, HandlerError>>`.
    #[derive(Debug)]
    pub struct AsyncFallible;
}

/// What a handler can return: nothing (`()`), or a value that serde can serialize.
pub trait Reply: Encode + Send + 'static {}

impl<T: Encode + Send + 'static> Reply for T {}

fn has_value<R: 'static>() -> bool {
    TypeId::of::<R>() != TypeId::of::<()>()
}

fn answer<R: Reply>(value: R) -> Answer {
    if has_value::<R>() {
        Answer::Value(Box::new(value))
    } else {
        Answer::Void
    }
}

fn fallible_answer<R: Reply>(outcome: Result<R, HandlerError>) -> Answer {
    outcome.map_or_else(|error| Answer::Failed(error.text), answer)
}

fn erase<A: FromArguments, R: 'static>(
    call: impl Fn(A) -> Called + Send + Sync + 'static,
) -> ErasedHandler {
    ErasedHandler {
        call: Box::new(move |arguments| arguments.decode::<A>().map_or_else(Called::Misfit, &call)),
        has_value: has_value::<R>(),
    }
}

impl<F, A, R> Handler<(form::Plain, A, R)> for F
where
    F: Fn(A) -> R + Send + Sync + 'static,
    A: FromArguments,
    R: Reply,
{
    fn erase(self) -> ErasedHandler {
        erase::<A, R>(move |arguments| Called::Done(answer(self(arguments))))
    }
}

impl<F, A, R> Handler<(form::Fallible, A, R)> for F
where
    F: Fn(A) -> Result<R, HandlerError> + Send + Sync + 'static,
    A: FromArguments,
    R: Reply,
{
    fn erase(self) -> ErasedHandler {
        erase::<A, R>(move |arguments| Called::Done(fallible_answer(self(arguments))))
    }
}

impl<F, A, Fut, R> Handler<(form::Async, A, R)> for F
where
    F: Fn(A) -> Fut + Send + Sync + 'static,
    A: FromArguments,
    Fut: Future<Output = R> + Send + 'static,
    R: Reply,
{
    fn erase(self) -> ErasedHandler {
        erase::<A, R>(move |arguments| {
            let future = self(arguments);
            Called::Running(Box::pin(async move { answer(future.await) }))
        })
    }
}

impl<F, A, Fut, R> Handler<(form::AsyncFallible, A, R)> for F
where
    F: Fn(A) -> Fut + Send + Sync + 'static,
    A: FromArguments,
    Fut: Future<Output = Result<R, HandlerError>> + Send + 'static,
    R: Reply,
{
    fn erase(self) -> ErasedHandler {
        erase::<A, R>(move |arguments| {
            let future = self(arguments);
            Called::Running(Box::pin(async move { fallible_answer(future.await) }))
        })
    }
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
}

impl<E: core::error::Error> From<E> for HandlerError {
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
    /// It has given a value that nobody wanted.
    unwanted: AtomicBool,
}

impl Entry {
    pub(crate) fn call(&self, arguments: &Arguments) -> Called {
        (self.handler.call)(arguments)
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
    use signalr_proto::Protocol;

    use super::*;

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
        match (handler.erase().call)(&arguments(with)) {
            Called::Misfit(error) => error.to_string(),
            Called::Done(answer) => text(answer),
            Called::Running(future) => {
                text(futures_util::FutureExt::now_or_never(future).expect("it waits for nothing"))
            }
        }
    }

    #[test]
    fn every_form_of_handler_is_inferred() {
        assert_eq!(run(|(a, b): (i32, i32)| a + b, "[1,2]"), "3");
        assert_eq!(
            run(|(a,): (String,)| async move { a + "!" }, "[\"x\"]"),
            "\"x!\""
        );
        assert_eq!(
            run(
                |(a,): (String,)| -> Result<i32, HandlerError> { Ok(a.parse()?) },
                "[\"7\"]"
            ),
            "7"
        );
        assert_eq!(
            run(
                |(a,): (String,)| async move { Ok::<i32, HandlerError>(a.parse()?) },
                "[\"x\"]"
            ),
            "failed: invalid digit found in string"
        );
        assert_eq!(run(|()| {}, "[]"), "void");
        assert_eq!(run(|(_,): (i32,)| async {}, "[1]"), "void");
        assert_eq!(run(|raw: Arguments| raw.len().unwrap(), "[1,2,3]"), "3");
        assert_eq!(run(|(a,): (Option<i32>,)| a, "[null]"), "null");
    }

    #[test]
    fn arguments_that_do_not_fit_are_told_from_failures() {
        assert_eq!(
            run(|(_, _): (i32, i32)| {}, "[1]"),
            "Invocation provides 1 argument(s) but target expects 2."
        );
    }

    #[test]
    fn a_second_handler_with_a_value_is_refused_and_others_are_not() {
        let registry = Registry::default();
        let first = registry.add("m", (|()| 1).erase()).unwrap();
        assert_eq!(
            registry.add("m", (|()| 2).erase()),
            Err(RegisterError::SecondValue { target: "m".into() })
        );
        registry.add("m", (|()| {}).erase()).unwrap();
        registry.add("M", (|()| 3).erase()).unwrap();
        assert!(registry.remove(&first) && !registry.remove(&first));
        registry.add("m", (|()| 4).erase()).unwrap();
        assert_eq!((registry.remove_all("m"), registry.remove_all("m")), (2, 0));
    }
}

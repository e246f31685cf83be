//! Methods that the server calls on this client.

mod called;
pub mod form;
mod parameter;
mod registry;
mod reply;

pub(crate) use called::{Called, ReplyFuture};
pub use parameter::{Incoming, Parameter};
pub use registry::Subscription;
pub(crate) use registry::{BoundHandler, Entries, Entry, Found, Observers, Registry};
pub(crate) use reply::Reply;
pub use reply::{AnyReply, HandlerError, IntoReply};

use core::future::Future;
use std::sync::Weak;

use parameter::plus;
use signalr_proto::{Arguments, PayloadError};

use crate::shared::Shared;

/// A closure or function that handles calls of the server.
///
/// Its parameters are the call's arguments, up to 12 [`Parameter`]s, and it is either plain or async. What it returns is the
/// answer, when the server asked for one: nothing, a value, or a `Result`; see [`IntoReply`].
///
/// ```
/// # use signalr_client::{Arguments, Handler, HandlerError, WeakHubConnection};
/// # fn on<M>(_: impl Handler<M>) {}
/// on(|user: String, text: String| println!("{user}: {text}"));
/// on(async |question: String| format!("{question}? 42!"));
/// on(|text: String| -> Result<i32, HandlerError> { Ok(text.parse()?) });
/// on(|| {});
/// on(|arguments: Arguments| println!("{:?}", arguments.len()));
/// on(async |connection: WeakHubConnection, room: String| {
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
    note = "the answer is `()`, serializable, or a `Result` of these whose error is a `HandlerError`, a `std::error::Error` or serializable: others become it with `map_err(HandlerError::display)`, and a future with `.await`",
    note = "the future of an async handler is `Send`: let no lock guard or `Rc` live across an `.await`"
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

type HandlerFn = dyn Fn(&Arguments, &Weak<Shared>) -> Called + Send + Sync;

/// A [`Handler`] without its types.
pub struct ErasedHandler {
    call: Box<HandlerFn>,
    has_value: bool,
}

impl ErasedHandler {
    /// The handler as this connection calls it.
    pub(crate) fn bind(self, connection: Weak<Shared>) -> BoundHandler {
        let Self { call, has_value } = self;
        BoundHandler {
            call: Box::new(move |arguments| call(arguments, &connection)),
            has_value,
        }
    }
}

impl core::fmt::Debug for ErasedHandler {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ErasedHandler")
            .field("has_value", &self.has_value)
            .finish_non_exhaustive()
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
    ($(($count:literal: $($index:tt $parameter:ident $marker:ident $value:ident),*))+) => {$(
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

signalr_proto::for_each_arity!(handlers);

#[cfg(test)]
mod tests {
    use core::convert::Infallible;
    use core::error::Error;
    use core::fmt;
    use std::sync::Arc;

    use serde::Serialize;
    use signalr_proto::{Payload, Protocol};

    use super::*;
    use crate::connection::WeakHubConnection;

    type Boxed = Box<dyn Error + Send + Sync>;

    fn arguments(text: &'static str) -> Arguments {
        Arguments::new(Protocol::Json, text.into())
    }

    fn text(answer: Reply) -> String {
        match answer {
            Reply::Void => "void".into(),
            Reply::Failed(error) => format!("failed: {error}"),
            Reply::Value(value) => {
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
                |n: i32, connection: WeakHubConnection, m: i32| {
                    (connection.upgrade().is_none(), n, m)
                },
                "[1,2]"
            ),
            "[true,1,2]"
        );
        assert_eq!(
            run(
                |_: WeakHubConnection, raw: Arguments, n: i32| (raw.len().unwrap(), n),
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

    /// An error of an application that knows nothing of errors.
    #[derive(Serialize)]
    enum Refusal {
        Busy(u32),
    }

    /// Words to people, data to serde, and no error to Rust.
    #[derive(Serialize)]
    enum Shown {
        Full,
    }

    /// Words to people, data to serde, and an error to Rust.
    #[derive(Debug, Serialize)]
    struct Both;

    #[derive(Debug)]
    struct Plain;

    macro_rules! words {
        ($($name:ident $words:literal)+) => {$(
            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str($words)
                }
            }
        )+};
    }
    words!(Shown "shown" Both "both" Plain "plain");

    impl Error for Both {}
    impl Error for Plain {}

    fn both() -> Result<i32, HandlerError> {
        Err(Both)?
    }

    #[test]
    fn a_result_is_an_outcome_and_never_a_value() {
        assert_eq!(run(|| Err::<i32, _>("no".to_owned()), "[]"), "failed: no");
        assert_eq!(run(|| Err::<i32, _>("no"), "[]"), "failed: no");
        assert_eq!(run(async || Err::<(), _>("no"), "[]"), "failed: no");
        assert_eq!(
            run(|| Err::<i32, _>(Refusal::Busy(3)), "[]"),
            "failed: {\"Busy\":3}"
        );
        assert_eq!(run(|| Err::<i32, _>(Shown::Full), "[]"), "failed: Full");
        assert_eq!(run(|| Err::<i32, _>(Plain), "[]"), "failed: plain");
        assert_eq!(run(both, "[]"), "failed: both");
        assert_eq!(
            run(|| Err::<i32, _>(HandlerError::display(Shown::Full)), "[]"),
            "failed: shown"
        );
        assert_eq!(
            run(async || Err::<i32, Boxed>("boxed".into()), "[]"),
            "failed: boxed"
        );
        assert_eq!(
            run(|| Err::<i32, _>(anyhow::anyhow!("any")), "[]"),
            "failed: any"
        );
        assert_eq!(run(|| Ok::<_, String>(7), "[]"), "7");
        assert_eq!(run(|| Ok::<(), String>(()), "[]"), "void");
        assert_eq!(run(|| Ok::<_, Boxed>(7), "[]"), "7");
        assert_eq!(run(|| Ok::<_, anyhow::Error>(7), "[]"), "7");
        assert_eq!(run(|| Ok::<_, Infallible>(7), "[]"), "7");
        assert_eq!(run(async || Ok::<(), Infallible>(()), "[]"), "void");
    }
}

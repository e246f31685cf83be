//! Functions with which tests answer calls.

use core::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Arguments, Payload};

/// A function with which a test answers calls, of a hub or a client that it plays: `FnMut(parameters) -> Result<value, String>`.
///
/// Its parameters are the call's arguments, up to 12, each deserializable, or [`Arguments`] as they came; the error is what the
/// caller is told.
///
/// `Form` describes the parameters and is always inferred.
///
/// ```
/// # use signalr_proto::codec::{Answer, Arguments, Protocol};
/// fn answer<F>(mut answer: impl Answer<F>, list: &'static str) -> Result<String, String> {
///     let result = answer.answer(&Arguments::new(Protocol::Json, list.into()))?;
///     Ok(String::from_utf8_lossy(result.as_bytes()).into_owned())
/// }
/// assert_eq!(answer(|a: i32, b: i32| Ok(a + b), "[1,2]"), Ok("3".into()));
/// assert_eq!(answer(|| Err::<(), _>("never".to_owned()), "[]"), Err("never".into()));
/// ```
#[diagnostic::on_unimplemented(
    message = "this cannot answer calls",
    label = "not an answer",
    note = "an answer is `FnMut(parameters) -> Result<value, String>`, `Send + 'static`, with at most 12 parameters",
    note = "each parameter has its type written, and is deserializable (`Deserialize` without borrowing), or is `Arguments` for the whole list"
)]
pub trait Answer<Form>: Send + 'static {
    /// Gives the result.
    ///
    /// # Errors
    /// The function's own, or that the arguments do not fit it.
    fn answer(&mut self, arguments: &Arguments) -> Result<Payload, String>;
}

/// Marks functions whose parameters are arguments.
#[derive(Debug)]
pub struct Parameters<P>(PhantomData<P>);

/// Marks functions that take the list whole.
#[derive(Debug)]
pub struct WholeList;

/// Marks a tuple where parameters belong. It makes the tuple ambiguous, so that `|(a, b): (i32, i32)|` does not compile, instead of
/// waiting for one argument that is an array.
#[derive(Debug)]
pub struct WriteParametersInsteadOfOneTuple<P>(PhantomData<P>);

fn payload<R: Serialize>(
    arguments: &Arguments,
    answered: Result<R, String>,
) -> Result<Payload, String> {
    Payload::from_value(arguments.protocol(), &answered?).map_err(|error| error.to_string())
}

impl<F, R> Answer<WholeList> for F
where
    F: FnMut(Arguments) -> Result<R, String> + Send + 'static,
    R: Serialize,
{
    fn answer(&mut self, arguments: &Arguments) -> Result<Payload, String> {
        payload(arguments, self(arguments.clone()))
    }
}

macro_rules! answers {
    ($(($count:literal: $($index:tt $type:ident $marker:ident $value:ident),*))+) => {$(
        impl<F, R, $($type),*> Answer<Parameters<($($type,)*)>> for F
        where
            F: FnMut($($type),*) -> Result<R, String> + Send + 'static,
            R: Serialize,
            $($type: DeserializeOwned),*
        {
            fn answer(&mut self, arguments: &Arguments) -> Result<Payload, String> {
                let ($($value,)*) = arguments.decode().map_err(|error| error.to_string())?;
                payload(arguments, self($($value),*))
            }
        }

        #[diagnostic::do_not_recommend]
        impl<F, R, $($type),*> Answer<WriteParametersInsteadOfOneTuple<($($type,)*)>> for F
        where
            F: FnMut(($($type,)*)) -> Result<R, String> + Send + 'static,
            R: Serialize,
            $($type: DeserializeOwned),*
        {
            fn answer(&mut self, arguments: &Arguments) -> Result<Payload, String> {
                let list = arguments.decode().map_err(|error| error.to_string())?;
                payload(arguments, self(list))
            }
        }
    )+};
}

for_each_arity!(answers);

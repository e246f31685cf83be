//! Forms of handlers, their parameters and answers: types without values, by which the compiler tells implementations apart.

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
/// `Result<R, E>`, with an error that serde can serialize too. It is the third way to a failure, which never is the one that the
/// compiler takes: its name is there to be read among the others.
#[derive(Debug)]
pub struct WriteMapErrHandlerErrorDisplayForThisError;

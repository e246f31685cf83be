//! Calls to the server, as futures and streams.

mod backlog;
mod invoke;
mod name;
mod request;
mod send;
mod stream;
mod write;

pub use invoke::Invoke;
pub(crate) use request::Caller;
pub use send::Sending;
pub use stream::{ItemStream, OpenStream};

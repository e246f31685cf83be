//! What comes of calling a handler.

use core::future::Future;
use core::pin::Pin;

use signalr_proto::PayloadError;

use super::reply::Reply;

pub(crate) type ReplyFuture = Pin<Box<dyn Future<Output = Reply> + Send>>;

/// A handler that was called.
pub(crate) enum Called {
    Misfit(PayloadError),
    Done(Reply),
    Running(ReplyFuture),
}

//! A call as those see it who may have to wait for its end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Context;

use futures_util::task::AtomicWaker;
use signalr_proto::server::CallId;
use tokio_util::sync::CancellationToken;

use super::Connection;
use super::mailbox::Order;
use crate::error::InvokeError;

/// One running call, or one welcome or farewell.
#[derive(Debug)]
pub(crate) struct CallHandle {
    /// None while a client is welcomed or has left: nothing that it sends is read then.
    id: Option<CallId>,
    cancelled: AtomicBool,
    /// Made when somebody wants to wait for the end.
    token: OnceLock<CancellationToken>,
    /// The stream that ends with the call.
    job: AtomicWaker,
}

impl CallHandle {
    pub(crate) fn new(id: Option<CallId>) -> Arc<Self> {
        Arc::new(Self {
            id,
            cancelled: AtomicBool::new(false),
            token: OnceLock::new(),
            job: AtomicWaker::new(),
        })
    }

    pub(crate) fn running(id: CallId) -> Arc<Self> {
        Self::new(Some(id))
    }

    pub(crate) fn welcoming() -> Arc<Self> {
        Self::new(None)
    }

    /// Which of the machine's calls it is.
    pub(crate) const fn id(&self) -> Option<CallId> {
        self.id
    }

    /// The client wants no answer any more.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        if let Some(token) = self.token.get() {
            token.cancel();
        }
        self.job.wake();
    }

    pub(crate) fn poll_cancelled(&self, cx: &Context<'_>) -> bool {
        self.job.register(cx.waker());
        self.cancelled.load(Ordering::SeqCst)
    }

    /// Fires when the client cancels the call or the connection ends.
    pub(crate) fn cancellation(&self, connection: &Connection) -> CancellationToken {
        let token = self.token.get_or_init(|| connection.aborted.child_token());
        // The call may have been cancelled before there was a token to tell.
        if self.cancelled.load(Ordering::SeqCst) {
            token.cancel();
        }
        token.clone()
    }

    /// Gives the permit back for good: this call is about to wait for its client.
    pub(crate) fn let_others_run(&self, connection: &Connection) -> Result<(), InvokeError> {
        match self.id {
            Some(id) => connection.mailbox.order(Order::Release(id)),
            // Nothing is read of a client that has left, and nobody waits for it.
            None if connection.aborted.is_cancelled() => {}
            None => return Err(InvokeError::NotYet),
        }
        Ok(())
    }
}

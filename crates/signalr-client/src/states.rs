//! The states of a connection, as a stream.

use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::Arc;

use futures_core::Stream;
use futures_util::StreamExt;
use signalr_proto::client::ConnectionState;

use crate::shared::{DriverState, Shared};

/// The states of a connection: what [`HubConnection::states`](crate::HubConnection::states) returns. It does not keep the
/// connection.
#[derive(Debug)]
#[must_use = "a stream does nothing unless it is polled"]
pub struct States {
    shared: Arc<Shared>,
    seen: Option<ConnectionState>,
}

impl States {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared, seen: None }
    }
}

impl States {
    /// The next state; `None` when the driver is gone. As that of `StreamExt`, without its import.
    pub async fn next(&mut self) -> Option<ConnectionState> {
        StreamExt::next(self).await
    }
}

impl Stream for States {
    type Item = ConnectionState;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let state = {
            let mut inner = self.shared.lock();
            let state = inner.state();
            if self.seen == Some(state) {
                if matches!(inner.driver, DriverState::Gone) {
                    return Poll::Ready(None);
                }
                inner.watch.wait(cx);
                return Poll::Pending;
            }
            state
        };
        self.seen = Some(state);
        Poll::Ready(Some(state))
    }
}

//! The state of a connection, for those who wait for it.

use core::task::{Context, Waker};

use signalr_proto::client::ConnectionState;

/// The state that was told last, and who wants to hear of the next.
#[derive(Debug)]
pub(crate) struct Watch {
    told: ConnectionState,
    waiting: Vec<Waker>,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            told: ConnectionState::Disconnected,
            waiting: Vec::new(),
        }
    }
}

impl Watch {
    /// The machine was told something: whoever waits hears of another state.
    pub(crate) fn update(&mut self, state: ConnectionState, wakers: &mut Vec<Waker>) {
        if self.told != state {
            self.told = state;
            wakers.append(&mut self.waiting);
        }
    }

    pub(crate) fn end(&mut self, wakers: &mut Vec<Waker>) {
        wakers.append(&mut self.waiting);
    }

    pub(crate) fn wait(&mut self, cx: &Context<'_>) {
        if !self.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.waiting.push(cx.waker().clone());
        }
    }
}

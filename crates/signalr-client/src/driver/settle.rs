//! Behind the lock: what was decided is told to those who wait for it.

use core::task::Waker;

use signalr_proto::client::{Event, Input, Output};
use signalr_proto::{Instant, OpId};

use crate::shared::{DriverState, Inner};

/// What comes first whenever the driver looks behind the lock.
pub(super) fn wake_up(inner: &mut Inner, now: Instant, sent: Option<OpId>) {
    inner.now = now;
    inner.driver = DriverState::Awake;
    if inner.dirty {
        // What handles did counts from now on, and not from the last input: so before the next one.
        inner.machine.catch_up(now);
    }
    if let Some(op) = sent {
        inner.machine.handle_input(now, Input::Sent { op });
    }
}

/// Takes everything the machine has decided, tells it to those who wait for it, and gives the next deadline.
pub(super) fn settle(
    inner: &mut Inner,
    outputs: &mut Vec<Output>,
    wakers: &mut Vec<Waker>,
) -> Option<Instant> {
    let deadline = collect(inner, outputs, wakers);
    let position = inner.machine.sent_position();
    inner.sends.sent(position, wakers);
    let state = inner.machine.state();
    inner.watch.update(state, wakers);
    deadline
}

/// Takes the machine's outputs, and tells its next deadline. Answers to calls are delivered right here, under the lock, without
/// another list.
fn collect(
    inner: &mut Inner,
    outputs: &mut Vec<Output>,
    wakers: &mut Vec<Waker>,
) -> Option<Instant> {
    loop {
        match inner.machine.poll_output() {
            Output::Wait(deadline) => return deadline,
            Output::Event(Event::Completion {
                invocation_id,
                outcome,
            }) => {
                tracing::trace!(
                    id = invocation_id.number(),
                    ok = outcome.is_ok(),
                    "completed"
                );
                inner.complete(invocation_id, outcome, wakers);
            }
            Output::Event(Event::StreamItem {
                invocation_id,
                item,
            }) => {
                tracing::trace!(
                    id = invocation_id.number(),
                    size = item.as_bytes().len(),
                    "item"
                );
                inner.item(invocation_id, item, wakers);
            }
            output @ (Output::Event(_) | Output::Action(_)) => {
                if let Output::Event(
                    Event::Reconnecting { reason }
                    | Event::Closed { reason }
                    | Event::StartFailed { reason },
                ) = &output
                {
                    // Before anything is told of what the next connection takes.
                    inner.lose(reason, wakers);
                }
                outputs.push(output);
            }
        }
    }
}

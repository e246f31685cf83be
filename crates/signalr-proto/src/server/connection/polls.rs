//! Long polling as the transport ([requirements](crate::spec::transports#long-polling)).

use bytes::Bytes;
use http::StatusCode;

use super::link::{Link, Poll};
use super::{ServerConnection, Timer};
use crate::server::answers::{self, not_cached, text};
use crate::server::{Action, Arrival};
use crate::transport::{EndCause, OpId};

const MESSAGES: &str = "application/octet-stream";
const NOTHING: &str = "text/plain";

impl ServerConnection {
    pub(super) fn poll_arrived(&mut self, arrival: Arrival) {
        let op = arrival.op;
        match self.link {
            Link::None => {
                // The first poll only tells that there is a client.
                self.attach(arrival.identity, Link::Polls(Poll::Away));
                self.answer_poll(op, StatusCode::OK, MESSAGES);
                self.start(Timer::Disconnect, self.config.disconnect_timeout);
            }
            Link::Polls(_) if self.must_apply(&arrival) => self.apply(arrival),
            Link::Polls(_) => {
                self.follow_expiry(&arrival);
                self.poll(op);
            }
            Link::WebSocket { .. }
            | Link::Events { .. }
            | Link::Lost { .. }
            | Link::Over { .. } => {
                self.respond(op, not_cached(answers::other_transport()));
            }
        }
    }

    /// A poll has come and is welcome: it waits, and whatever waited before it does not.
    pub(super) fn poll(&mut self, op: OpId) {
        let Link::Polls(poll) = &mut self.link else {
            return;
        };
        let older = match poll {
            Poll::Delivering { next, .. } => next.replace(op),
            Poll::Waiting(waiting) => Some(core::mem::replace(waiting, op)),
            Poll::Away => {
                *poll = Poll::Waiting(op);
                None
            }
        };
        self.stop(Timer::Disconnect);
        self.watch_poll();
        if let Some(older) = older {
            self.answer_poll(older, StatusCode::NO_CONTENT, NOTHING);
        }
    }

    /// Sets the timers for what the client has open.
    fn watch_poll(&mut self) {
        self.stop(Timer::Poll);
        match &self.link {
            Link::Polls(Poll::Waiting(_)) => self.start(Timer::Poll, self.config.poll_timeout),
            Link::Polls(Poll::Away) => {
                self.start(Timer::Disconnect, self.config.disconnect_timeout);
            }
            Link::Polls(Poll::Delivering { .. })
            | Link::None
            | Link::WebSocket { .. }
            | Link::Events { .. }
            | Link::Lost { .. }
            | Link::Over { .. } => {}
        }
    }

    /// What waits, as the answer to the poll that waits for it, or the end.
    pub(super) fn next_delivery(&mut self) -> Option<Action> {
        let Link::Polls(Poll::Waiting(op)) = self.link else {
            return None;
        };
        if let Some(batch) = self.outbox.next_batch(op) {
            self.link = Link::Polls(Poll::Delivering {
                op,
                batch: batch.clone(),
                next: None,
            });
            self.stop(Timer::Poll);
            self.start(Timer::Send, self.config.send_timeout);
            let response = Box::new(answers::poll(StatusCode::OK, MESSAGES, batch));
            return Some(Action::Deliver { op, response });
        }
        let reason = self.farewell()?;
        self.link = Link::None;
        self.over(reason);
        let response = Box::new(end_of_polls());
        Some(Action::Respond { op, response })
    }

    pub(super) fn delivered(&mut self, op: OpId) {
        self.sent(op);
        self.delivery_is_over();
    }

    /// The client left its poll while it was answered: it has not got the messages.
    pub(super) fn not_delivered(&mut self, op: OpId) {
        if let Link::Polls(Poll::Delivering { batch, .. }) = &self.link {
            self.outbox.take_back(op, batch);
        }
        self.stop(Timer::Send);
        self.delivery_is_over();
    }

    fn delivery_is_over(&mut self) {
        if let Link::Polls(poll @ Poll::Delivering { .. }) = &mut self.link {
            let Poll::Delivering { next, .. } = core::mem::replace(poll, Poll::Away) else {
                return;
            };
            if let Some(next) = next {
                *poll = Poll::Waiting(next);
            }
            self.watch_poll();
        }
    }

    /// The client left the poll that waits.
    pub(super) fn poll_left(&mut self) {
        self.link = Link::Polls(Poll::Away);
        self.watch_poll();
    }

    pub(super) fn next_poll_left(&mut self) {
        if let Link::Polls(Poll::Delivering { next, .. }) = &mut self.link {
            *next = None;
        }
    }

    /// There was nothing to say for the poll timeout.
    pub(super) fn poll_timed_out(&mut self) {
        if let Link::Polls(Poll::Waiting(op)) = self.link {
            self.poll_left();
            self.answer_poll(op, StatusCode::OK, NOTHING);
        }
    }

    pub(super) fn delete_arrived(&mut self, arrival: &Arrival) {
        if !matches!(self.link, Link::Polls(_)) {
            let words = "Cannot terminate this connection using the DELETE endpoint.";
            return self.respond(arrival.op, text(StatusCode::BAD_REQUEST, words));
        }
        self.respond(arrival.op, text(StatusCode::ACCEPTED, ""));
        let link = core::mem::replace(
            &mut self.link,
            Link::Over {
                cause: EndCause::Clean,
            },
        );
        if let Link::Polls(poll) = link {
            self.dismiss(poll);
        }
        self.transport_ended(EndCause::Clean);
    }

    /// Answers the polls that wait. The one that is being answered goes on by itself.
    pub(super) fn dismiss(&mut self, poll: Poll) {
        if let Poll::Waiting(op) | Poll::Delivering { next: Some(op), .. } = poll {
            self.respond(op, end_of_polls());
        }
    }

    fn answer_poll(&mut self, op: OpId, status: StatusCode, content_type: &'static str) {
        self.respond(op, answers::poll(status, content_type, Bytes::new()));
    }
}

/// The answer that ends a client's polling.
fn end_of_polls() -> http::Response<Bytes> {
    answers::poll(StatusCode::NO_CONTENT, NOTHING, Bytes::new())
}

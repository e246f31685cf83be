//! An event stream as the transport ([requirements](crate::spec::transports#server-sent-events)).

use bytes::{Bytes, BytesMut};
use http::StatusCode;

use super::link::Link;
use super::{ServerConnection, Timer};
use crate::server::answers::{self, text};
use crate::server::{Action, Arrival};
use crate::transport::OpId;
use crate::transport::event_stream;

/// What an event is longer than its payload, when that has one line.
const FRAMING: usize = 16;

impl ServerConnection {
    pub(super) fn events_arrived(&mut self, arrival: Arrival) {
        let op = arrival.op;
        match self.link {
            Link::None => {
                self.attach(arrival.identity, Link::Events { op, opening: true });
                self.open_stream(op);
            }
            Link::Events { .. } => self.respond(op, text(StatusCode::CONFLICT, "")),
            Link::WebSocket { .. } | Link::Polls(_) | Link::Lost { .. } | Link::Over { .. } => {
                self.respond(op, answers::other_transport());
            }
        }
    }

    fn open_stream(&mut self, op: OpId) {
        let head = Box::new(answers::event_stream());
        self.action(Action::Stream { op, head });
        let bytes = Bytes::from_static(event_stream::OPENING);
        self.action(Action::Chunk { op, bytes });
        self.start(Timer::Send, self.config.send_timeout);
    }

    /// What waits, as one event, or the end of the stream.
    pub(super) fn next_chunk(&mut self, op: OpId) -> Option<Action> {
        if let Some(batch) = self.outbox.next_batch(op) {
            self.start(Timer::Send, self.config.send_timeout);
            let mut event = BytesMut::with_capacity(batch.len().saturating_add(FRAMING));
            event_stream::encode(&mut event, &batch);
            let bytes = event.freeze();
            return Some(Action::Chunk { op, bytes });
        }
        let reason = self.farewell()?;
        self.link = Link::None;
        self.over(reason);
        Some(Action::Finish { op })
    }

    pub(super) fn chunk_taken(&mut self, op: OpId) {
        if let Link::Events { opening, .. } = &mut self.link {
            *opening = false;
        }
        self.sent(op);
    }
}

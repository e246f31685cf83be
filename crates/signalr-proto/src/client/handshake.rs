//! From a transport to a connection.

use bytes::Bytes;

use super::ClientConnection;
use super::api::Event;
use super::connecting::{Attempt, AttemptContext, Negotiated, Step};
use super::link::Link;
use super::session::Refresh;
use super::session::Session;
use super::state::State;
use super::timer::Timer;
use crate::codec::frame::FrameDecoder;
use crate::codec::handshake::{self, HandshakeDecoder};
use crate::error::CloseReason;

/// The version of the handshake, the second while stateful reconnect is not negotiated ([HP-27](crate::spec::hub_protocol#hp-27)).
const STATEFUL_VERSION: i32 = 2;
const PLAIN_VERSION: i32 = 1;

impl ClientConnection {
    /// The transport stands: the handshake begins.
    pub(super) fn link_opened(&mut self) {
        let Some(Attempt { step, context }) =
            self.take_step(|step| matches!(step, Step::Opening(..)))
        else {
            return;
        };
        let Step::Opening(link, negotiated) = step else {
            return;
        };
        let version = if is_stateful(&link, &negotiated) {
            STATEFUL_VERSION
        } else {
            PLAIN_VERSION
        };
        let decoder = HandshakeDecoder::new(self.config.limits.max_handshake_size);
        self.enter(Step::Handshaking(link, negotiated, decoder), context);
        let protocol = self.config.protocol;
        self.stats.shaking_hands(self.now);
        self.outbox
            .write_control(|out| handshake::encode_request(out, protocol, version));
    }

    /// Bytes came during the handshake.
    pub(super) fn handle_handshake_bytes(&mut self, mut attempt: Box<Attempt>, mut bytes: Bytes) {
        let Step::Handshaking(_, _, decoder) = &mut attempt.step else {
            return;
        };
        let response = match decoder.decode(&mut bytes) {
            Ok(Some(frame)) => handshake::decode_response(&frame),
            Ok(None) => {
                self.state = State::Connecting(attempt);
                return;
            }
            Err(error) => Err(error),
        };
        let Attempt { step, context } = *attempt;
        let Step::Handshaking(link, negotiated, _) = step else {
            return;
        };
        let reason = match response {
            Ok(response) => match response.error {
                None => return self.establish(link, negotiated, context, bytes),
                Some(error) => CloseReason::HandshakeRefused {
                    error: (&*error).into(),
                },
            },
            Err(error) => CloseReason::Protocol(error),
        };
        self.leave(link);
        self.attempt_failed(context.outage, reason);
    }

    /// The handshake succeeded: ping at once, so that the server knows that this client pings, and take the rest of the chunk.
    fn establish(
        &mut self,
        link: Link,
        negotiated: Negotiated,
        context: AttemptContext,
        rest: Bytes,
    ) {
        let connection_id = negotiated.as_ref().map(|offer| offer.id());
        let transport = link.kind();
        let is_new = context.outage.is_none_or(|outage| outage.first);
        let lifetime = negotiated.as_ref().and_then(|offer| offer.token_lifetime);
        let offered = context.location.offered;
        let stateful = is_stateful(&link, &negotiated).then(|| self.begin_stateful());
        self.epoch = self.epoch.wrapping_add(1);
        self.state = State::Connected(Box::new(Session {
            link,
            negotiated,
            frames: FrameDecoder::new(self.config.protocol, self.config.limits.max_message_size),
            location: context.location,
            refresh: Refresh::Idle,
            refresh_at: None,
            stateful: stateful.flatten(),
        }));
        // The send that carried the handshake may still wait for its answer, which nothing else would miss.
        let post = self.timers.get(Timer::Post);
        self.timers.clear();
        self.timers.set(Timer::Post, post);
        self.begin_keep_alive();
        self.schedule_refresh(lifetime, offered);
        self.send_parked();
        self.stats.established(self.now, !is_new);
        self.tell(if is_new {
            Event::Connected {
                connection_id,
                transport,
            }
        } else {
            Event::Reconnected {
                connection_id,
                transport,
            }
        });
        self.enqueue(rest);
    }
}

/// Stateful reconnect is for WebSockets alone, whatever was granted ([CB-80](crate::spec::client_behaviour#cb-80)).
fn is_stateful(link: &Link, negotiated: &Negotiated) -> bool {
    matches!(link, Link::WebSocket(_))
        && negotiated
            .as_ref()
            .is_some_and(|offer| offer.stateful_reconnect)
}

//! What the client sends: handshake, frames, messages.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{HANDSHAKE_CANCELED, HANDSHAKE_MALFORMED, ServerConnection, State, Timer};
use crate::codec::handshake::{self, HandshakeRequest};
use crate::codec::{HubMessage, Protocol, Role};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::server::{DisconnectReason, ServerEvent};
use crate::transport::EndCause;

impl ServerConnection {
    /// Reads one message, if there is one to read. `false` when there is not.
    pub(super) fn read_one(&mut self) -> bool {
        match &mut self.state {
            State::Handshaking(decoder) => {
                match pull(&mut self.incoming, &mut self.incoming_bytes, |bytes| {
                    decoder.decode(bytes)
                }) {
                    Ok(None) => false,
                    Ok(Some(record)) => {
                        self.read_handshake(&record);
                        true
                    }
                    Err(_) => {
                        self.refuse_handshake(HANDSHAKE_CANCELED);
                        true
                    }
                }
            }
            State::Open(decoder) if !self.paused => {
                match pull(&mut self.incoming, &mut self.incoming_bytes, |bytes| {
                    decoder.decode(bytes)
                }) {
                    Ok(None) => self.no_more_bytes(),
                    Ok(Some(frame)) => {
                        self.read_frame(&frame);
                        true
                    }
                    Err(error) => {
                        self.fail(DisconnectReason::Protocol(error));
                        true
                    }
                }
            }
            State::Greeting | State::Open(_) => self.held_back(),
            State::Closing(_) | State::Closed => false,
        }
    }

    /// The application takes nothing now. It may later, even after the client has left, but not once the transport has failed.
    fn held_back(&mut self) -> bool {
        let later = match &self.ended {
            None | Some(EndCause::Clean | EndCause::WebSocketClose { .. }) => {
                self.paused || !self.incoming.is_empty()
            }
            Some(EndCause::Refused { .. } | EndCause::Failed { .. }) => false,
        };
        !later && self.no_more_bytes()
    }

    /// Nothing can be read now. When the transport is over that is the end.
    fn no_more_bytes(&mut self) -> bool {
        let Some(cause) = self.ended.take() else {
            return false;
        };
        let mid_frame = matches!(&self.state, State::Open(decoder) if decoder.is_mid_frame());
        self.over(match cause {
            EndCause::Clean | EndCause::WebSocketClose { .. } if mid_frame => {
                DisconnectReason::Protocol(DecodeError::new(DecodeErrorKind::Truncated, 0))
            }
            EndCause::Clean | EndCause::WebSocketClose { .. } => DisconnectReason::TransportEnded,
            EndCause::Refused { status } => DisconnectReason::TransportFailed {
                detail: format!("refused with status {status}").into(),
            },
            EndCause::Failed { detail } => DisconnectReason::TransportFailed { detail },
        });
        true
    }

    fn read_handshake(&mut self, record: &Bytes) {
        let agreed = handshake::decode_request(record)
            .map_err(|_| HANDSHAKE_MALFORMED.to_owned())
            .and_then(|request| self.agree(&request));
        match agreed {
            Ok((protocol, version)) => self.shake_hands(protocol, version),
            Err(error) => self.refuse_handshake(&error),
        }
    }

    /// The protocol to speak and its version, or the words of the refusal (`SB-3`).
    fn agree(&self, request: &HandshakeRequest) -> Result<(Protocol, i32), String> {
        let name = &request.protocol;
        let protocol =
            Protocol::from_name(name).filter(|protocol| self.config.protocols.contains(protocol));
        let protocol =
            protocol.ok_or_else(|| format!("The protocol '{name}' is not supported."))?;
        if request.version > Protocol::VERSION {
            return Err(format!(
                "The server does not support version {} of the '{name}' protocol.",
                request.version
            ));
        }
        Ok((protocol, request.version))
    }

    fn shake_hands(&mut self, protocol: Protocol, version: i32) {
        // Version 2 says that the client knows Ack and Sequence (`SB-54`, `TR-93`).
        if self.config.stateful_reconnect && version >= 2 {
            self.outbox
                .enable_replay(self.config.stateful_reconnect_buffer_size);
        }
        self.protocol = protocol;
        self.state = State::Greeting;
        self.timers.set(Timer::Handshake, None);
        self.timers.set(
            Timer::KeepAlive,
            Some(self.now.after(self.config.keep_alive_interval)),
        );
        self.outbox
            .write_control(|out| handshake::encode_response(out, None));
        self.event(ServerEvent::Handshaken { protocol });
    }

    pub(super) fn refuse_handshake(&mut self, error: &str) {
        self.outbox
            .write_control(|out| handshake::encode_response(out, Some(error)));
        self.wind_up(DisconnectReason::HandshakeFailed {
            error: error.into(),
        });
    }

    fn read_frame(&mut self, frame: &Bytes) {
        match self.protocol.decode(Role::Server, frame) {
            Ok(message) => {
                self.read_message(message);
                self.restart_client_timeout();
            }
            Err(error) => self.fail(DisconnectReason::Protocol(error)),
        }
    }

    fn read_message(&mut self, message: Option<HubMessage>) {
        // Types from the future mean nothing (`SB-11`).
        let Some(message) = message else { return };
        if self.is_repetition(&message) {
            return;
        }
        let event = match message {
            HubMessage::Invocation(invocation) => ServerEvent::Invocation {
                streaming: false,
                invocation,
            },
            HubMessage::StreamInvocation(invocation) => ServerEvent::Invocation {
                streaming: true,
                invocation,
            },
            HubMessage::StreamItem {
                invocation_id,
                item,
                ..
            } => ServerEvent::StreamItem {
                stream_id: invocation_id,
                item,
            },
            HubMessage::Completion {
                invocation_id,
                outcome,
                ..
            } => ServerEvent::Completion {
                id: invocation_id,
                outcome,
            },
            HubMessage::CancelInvocation { invocation_id, .. } => {
                ServerEvent::Cancel { invocation_id }
            }
            HubMessage::Ping => {
                self.pings = true;
                return;
            }
            HubMessage::Close { error, .. } => {
                let error = error.map(|error| (*error).into());
                return self.say_goodbye(DisconnectReason::ClosedByClient { error }, None, false);
            }
            HubMessage::Ack { sequence_id } => return self.acknowledged(sequence_id),
            HubMessage::Sequence { sequence_id } => return self.sequence(sequence_id),
        };
        self.event(event);
    }
}

/// Takes one frame from the pieces that wait.
pub(super) fn pull<T>(
    incoming: &mut VecDeque<Bytes>,
    incoming_bytes: &mut usize,
    mut decode: impl FnMut(&mut Bytes) -> Result<Option<T>, DecodeError>,
) -> Result<Option<T>, DecodeError> {
    while let Some(piece) = incoming.front_mut() {
        let before = piece.len();
        let frame = decode(piece);
        let left = piece.len();
        *incoming_bytes = incoming_bytes.saturating_sub(before.saturating_sub(left));
        if left == 0 {
            incoming.pop_front();
        }
        match frame {
            // A decoder that wants more has used up the piece, so the loop ends.
            Ok(None) if left == 0 => {}
            done => return done,
        }
    }
    Ok(None)
}

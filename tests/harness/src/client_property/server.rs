//! The good server and the good driver, who do what the machine hopes for; and what a server says.

use core::time::Duration;

use bytes::{Bytes, BytesMut};
use signalr_proto::client::{ConnectionState, Input};
use signalr_proto::transport::event_stream;
use signalr_proto::transport::negotiate::{AccessToken, TransportKind};
use signalr_proto::{EndCause, OpId, Protocol};

use super::Run;
use super::world::{self, OperationKind, Pending};
use crate::script::{Wish, Words, offer_with};

impl Run {
    /// Gives one of the things that are under way a good end, or its next step.
    pub(super) fn help(&mut self, how: u8) {
        self.poll_all();
        if let Some(op) = self.world.in_flight().filter(|_| how & 1 == 0) {
            return self.input(Input::Sent { op });
        }
        let index = usize::from(how >> 1) % self.world.all().len().max(1);
        if let Some(one) = self.world.all().get(index).copied() {
            self.help_with(one, how);
        }
    }

    /// Up to a connection, if nothing is in the way.
    pub(super) fn play_server(&mut self, how: u8) {
        for _ in 0..12 {
            self.poll_all();
            if let Some(op) = self.world.in_flight() {
                self.input(Input::Sent { op });
                self.poll_all();
            }
            if self.client.state() == ConnectionState::Connected {
                return;
            }
            if let Some(one) = self.world.all().last().copied() {
                self.help_with(one, how);
            }
        }
    }

    pub(super) fn help_with(&mut self, one: Pending, how: u8) {
        let op = one.op;
        match one.kind {
            OperationKind::Token => {
                let token = Ok(AccessToken::new("token"));
                self.input(Input::AccessToken { op, token });
            }
            OperationKind::Delay => {
                let delay = Some(Duration::ZERO);
                self.input(Input::RetryDelay { op, delay });
            }
            OperationKind::Opening => {
                self.input(Input::Opened { op });
                self.greet(how);
            }
            OperationKind::Socket | OperationKind::Reading(Wish::Events) => self.greet(how),
            OperationKind::Asked(Wish::Negotiate) => self.answer(one, &self.offer(how)),
            OperationKind::Asked(Wish::Refresh) => {
                self.answer(one, "{\"tokenLifetimeSeconds\":60}")
            }
            OperationKind::Asked(Wish::Poll) => {
                self.answer(one, "");
                self.greet(how);
                self.finish_body(op);
            }
            OperationKind::Closing => {
                let cause = EndCause::Clean;
                self.input(Input::Ended { op, cause });
            }
            OperationKind::Reading(_) => self.finish_body(op),
            OperationKind::Asked(Wish::Events | Wish::Post | Wish::Delete) => self.answer(one, ""),
        }
    }

    fn answer(&mut self, one: Pending, body: &str) {
        let response = world::response(200, Bytes::copy_from_slice(body.as_bytes()));
        let op = one.op;
        self.input(Input::Response { op, response });
    }

    /// The body of an answer is complete, if anybody still wants it.
    fn finish_body(&mut self, op: OpId) {
        self.poll_all();
        if !self.world.is_over(op) {
            let cause = EndCause::Clean;
            self.input(Input::Ended { op, cause });
        }
    }

    fn offer(&self, how: u8) -> String {
        if how >= 250 {
            return r#"{"url":"http://host/other","accessToken":"theirs"}"#.into();
        }
        let kinds = TransportKind::ALL;
        let kinds = kinds.get(usize::from(how >> 5) % 3..).unwrap_or_default();
        let stateful = self.client.config().stateful_reconnect.is_some();
        offer_with(kinds, |offer| {
            offer.stateful_reconnect = stateful;
            offer.token_lifetime = (how & 16 == 0).then_some(Duration::from_secs(u64::from(how)));
            if how & 24 == 24 {
                offer.version = 0;
                offer.connection_token = None;
            }
        })
    }

    /// What a server says first: on a new connection, and on a new socket of an old one.
    fn greet(&mut self, how: u8) {
        self.poll_all();
        if let Some(op) = self.world.in_flight() {
            self.input(Input::Sent { op });
            self.poll_all();
        }
        match self.client.state() {
            ConnectionState::Connecting | ConnectionState::Reconnecting => {
                self.deliver(Bytes::from_static(b"{}\x1e"), 0);
            }
            ConnectionState::Connected if how & 32 == 0 => {
                let words = Words(self.client.config().protocol);
                self.deliver(words.sequence(1).into(), 0);
            }
            _ => {}
        }
    }

    /// Messages that mean something, cut in two now and then.
    pub(super) fn receive_sense(&mut self, how: u8) {
        const JSON: [&str; 12] = [
            "{}\u{1e}",
            "{\"type\":6}\u{1e}{\"type\":3,\"invocationId\":\"1\",\"result\":1}\u{1e}",
            "{\"type\":1,\"target\":\"a\",\"arguments\":[1]}\u{1e}{\"type\":3,\"invocationId\":\"2\",\"error\":\"no\"}\u{1e}",
            "{\"type\":1,\"invocationId\":\"s1\",\"target\":\"q\",\"arguments\":[]}\u{1e}",
            "{\"type\":2,\"invocationId\":\"1\",\"item\":1}\u{1e}{\"type\":2,\"invocationId\":\"3\",\"item\":1}\u{1e}",
            "{\"type\":7,\"allowReconnect\":true}\u{1e}",
            "{\"type\":7}\u{1e}",
            "{\"error\":\"no\"}\u{1e}",
            "{\"type\":8,\"sequenceId\":2}\u{1e}",
            "{\"type\":8,\"sequenceId\":5}\u{1e}",
            "{\"type\":9,\"sequenceId\":1}\u{1e}{\"type\":1,\"target\":\"a\",\"arguments\":[1]}\u{1e}",
            "{\"type\":9,\"sequenceId\":3}\u{1e}",
        ];
        const MESSAGE_PACK: [&[u8]; 12] = [
            b"{}\x1e",
            b"\x02\x91\x06\x07\x95\x03\x80\xa11\x03\x01",
            b"\x09\x96\x01\x80\xc0\xa1a\x91\x01\x90",
            b"\x0a\x96\x01\x80\xa2s1\xa1q\x90\x90",
            b"\x06\x94\x02\x80\xa11\x01",
            b"\x04\x93\x07\xc0\xc3",
            b"\x04\x93\x07\xc0\xc2",
            b"{\"error\":\"no\"}\x1e",
            b"\x03\x92\x08\x02",
            b"\x03\x92\x08\x05",
            b"\x03\x92\x09\x01\x09\x96\x01\x80\xc0\xa1a\x91\x01\x90",
            b"\x03\x92\x09\x03",
        ];
        self.poll_all();
        let index = usize::from(how % 12);
        let json = JSON.get(index).map(|text| text.as_bytes());
        let text = if self.client.config().protocol == Protocol::Json {
            json
        } else {
            MESSAGE_PACK.get(index).copied()
        };
        let bytes = Bytes::from_static(text.unwrap_or_default());
        let cut = if how & 16 == 0 {
            bytes.len()
        } else {
            usize::from(how >> 4).min(bytes.len())
        };
        self.deliver(bytes.slice(..cut), how);
        self.deliver(bytes.slice(cut..), how);
    }

    /// Lets bytes come in on whatever way there is.
    pub(super) fn deliver(&mut self, bytes: Bytes, how: u8) {
        let is_way = |kind| {
            matches!(
                kind,
                OperationKind::Socket
                    | OperationKind::Reading(_)
                    | OperationKind::Asked(Wish::Poll)
            )
        };
        let Some(one) = self.world.find(is_way) else {
            return;
        };
        match one.kind {
            OperationKind::Socket => self.input(Input::Received { op: one.op, bytes }),
            OperationKind::Reading(Wish::Events) => {
                let mut event = BytesMut::new();
                event_stream::encode(&mut event, &bytes);
                let (op, bytes) = (one.op, event.freeze());
                self.input(Input::Chunk { op, bytes });
            }
            _ => self.deliver_body(one, bytes, how),
        }
        self.poll_all();
    }

    fn deliver_body(&mut self, one: Pending, bytes: Bytes, how: u8) {
        let op = one.op;
        if one.kind == OperationKind::Asked(Wish::Poll) {
            self.answer(one, "");
        }
        self.input(Input::Chunk { op, bytes });
        if how & 2 == 0 {
            self.finish_body(op);
        }
    }
}

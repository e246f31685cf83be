//! From nothing to a connection: tokens, negotiation, redirects, the WebSocket, the handshake.

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};

use super::ClientConnection;
use super::api::{Action, Event};
use super::state::{Attempt, Outage, Route, Session, State, Step, Timer};
use crate::codec::frame::FrameDecoder;
use crate::codec::handshake::{self, HandshakeDecoder};
use crate::error::{CloseReason, NegotiateError};
use crate::transport::negotiate::{
    self, AccessToken, MAX_REDIRECTS, NegotiateResponse, Offer, TransportKind,
};
use crate::transport::web_socket::{Opening, WebSocket};
use crate::transport::{BodyMode, HubUrl, OpId};

/// The version of the handshake while stateful reconnect is not negotiated (`HP-27`).
const HANDSHAKE_VERSION: i32 = 1;

impl ClientConnection {
    /// Starts over at the address the user gave (`CB-77`).
    pub(super) fn begin_attempt(&mut self, outage: Option<Outage>) {
        let route = Route {
            url: self.config.url.clone(),
            token: None,
            foreign: false,
            requests: 0,
        };
        self.outbox.clear();
        self.incoming.clear();
        if self.config.skip_negotiation {
            self.prepare_socket(outage, route, None)
        } else {
            self.prepare_negotiate(outage, route)
        }
    }

    fn prepare_negotiate(&mut self, outage: Option<Outage>, route: Route) {
        let op = self.ops.next();
        if self.asks_for_token(&route) {
            self.act(Action::GetAccessToken { op });
            self.enter(Step::NegotiateToken(op), outage, route);
        } else {
            self.negotiate(outage, route, None);
        }
    }

    /// Whether the user's provider has a say here: a redirect's token replaces it, and another origin must not see its tokens.
    fn asks_for_token(&self, route: &Route) -> bool {
        self.config.has_access_token && route.token.is_none() && !route.foreign
    }

    fn enter(&mut self, step: Step, outage: Option<Outage>, route: Route) {
        let timer = if matches!(step, Step::Handshaking { .. }) {
            Timer::Handshake
        } else {
            Timer::Connect
        };
        let timeout = if timer == Timer::Handshake {
            self.config.handshake_timeout
        } else {
            self.config.connect_timeout
        };
        self.timers.clear();
        self.timers.set(timer, Some(self.now.after(timeout)));
        self.state = State::Connecting(Box::new(Attempt {
            step,
            outage,
            route,
        }));
    }

    fn negotiate(&mut self, outage: Option<Outage>, mut route: Route, token: Option<&AccessToken>) {
        route.requests += 1;
        let token = token.or(route.token.as_ref());
        let request = negotiate::request(&route.url, self.headers_for(&route), token, false);
        let Ok(request) = request else {
            return self.attempt_failed(outage, NegotiateError::RedirectUrl.into());
        };
        let op = self.ops.next();
        let body = BodyMode::Whole {
            limit: self.config.limits.max_response_size,
        };
        self.act(Action::Request { op, request, body });
        self.enter(Step::Negotiate(op), outage, route);
    }

    fn headers_for(&self, route: &Route) -> Option<&HeaderMap> {
        (!route.foreign).then_some(&self.config.headers)
    }

    pub(super) fn handle_access_token(
        &mut self,
        op: OpId,
        token: Result<Option<AccessToken>, Box<str>>,
    ) {
        let Some(Attempt {
            step,
            outage,
            route,
        }) = self.take_step(op, |step| {
            matches!(step, Step::NegotiateToken(_) | Step::SocketToken(..))
        })
        else {
            return;
        };
        let token = token.and_then(|token| match token {
            Some(token) if token.header().is_none() => {
                Err("the token holds characters that HTTP does not allow in a header".into())
            }
            token => Ok(token),
        });
        match (token, step) {
            (Err(detail), _) => self.attempt_failed(outage, CloseReason::AccessToken { detail }),
            (Ok(token), Step::SocketToken(_, offer)) => {
                self.open_socket(outage, route, offer, token.as_ref())
            }
            (Ok(token), _) => self.negotiate(outage, route, token.as_ref()),
        }
    }

    /// Takes the attempt out when it waits for `op` at such a step.
    fn take_step(&mut self, op: OpId, is_step: impl FnOnce(&Step) -> bool) -> Option<Attempt> {
        let waits = |state: &State| matches!(state, State::Connecting(attempt) if attempt.step.op() == op && is_step(&attempt.step));
        self.take_attempt_if(waits).map(|attempt| *attempt)
    }

    pub(super) fn handle_response(&mut self, op: OpId, response: &Response<Bytes>) {
        let Some(Attempt { outage, route, .. }) =
            self.take_step(op, |step| matches!(step, Step::Negotiate(_)))
        else {
            return;
        };
        match Self::read_response(response) {
            Ok(NegotiateResponse::Connect(offer)) => match self.choose_transport(&offer) {
                Ok(()) => self.prepare_socket(outage, route, Some(offer)),
                Err(error) => self.attempt_failed(outage, error.into()),
            },
            Ok(NegotiateResponse::Redirect { url, access_token }) => {
                self.redirect(outage, route, &url, access_token)
            }
            Ok(NegotiateResponse::Refused { error }) => {
                self.attempt_failed(outage, NegotiateError::Refused { error }.into())
            }
            Err(error) => self.attempt_failed(outage, error.into()),
        }
    }

    fn read_response(response: &Response<Bytes>) -> Result<NegotiateResponse, NegotiateError> {
        if response.status() != StatusCode::OK {
            return Err(NegotiateError::Status {
                status: response.status().as_u16(),
            });
        }
        NegotiateResponse::decode(response.body())
    }

    fn redirect(
        &mut self,
        outage: Option<Outage>,
        mut route: Route,
        url: &str,
        token: Option<AccessToken>,
    ) {
        if route.requests >= MAX_REDIRECTS {
            return self.attempt_failed(
                outage,
                NegotiateError::RedirectLimit {
                    limit: MAX_REDIRECTS,
                }
                .into(),
            );
        }
        let Ok(url) = HubUrl::parse(url) else {
            return self.attempt_failed(outage, NegotiateError::RedirectUrl.into());
        };
        route.foreign =
            !self.config.credentials_across_origins && !url.same_origin(&self.config.url);
        route.url = url;
        // A token of an earlier redirect was meant for that place alone, unless this one is of the same origin.
        route.token = token.or_else(|| route.token.take().filter(|_| !route.foreign));
        self.prepare_negotiate(outage, route);
    }

    /// The server's order decides, the first usable transport wins (`TR-27` to `TR-29`).
    fn choose_transport(&self, offer: &Offer) -> Result<(), NegotiateError> {
        if offer.stateful_reconnect && !self.config.url.has_parameter("useStatefulReconnect") {
            return Err(NegotiateError::UnsolicitedStatefulReconnect);
        }
        let format = self.config.protocol.transfer_format().name();
        let mut skipped = Vec::new();
        for transport in &offer.transports {
            let name = &transport.transport;
            if name != TransportKind::WebSockets.name() {
                skipped
                    .push(format!("'{}' is not supported by this client", Printable(name)).into());
            } else if !transport
                .transfer_formats
                .iter()
                .any(|offered| offered == format)
            {
                skipped.push(format!("'{name}' does not support {format}").into());
            } else {
                return Ok(());
            }
        }
        Err(NegotiateError::NoTransport { skipped })
    }

    /// Every WebSocket gets a fresh token (`TR-40`).
    fn prepare_socket(&mut self, outage: Option<Outage>, route: Route, offer: Option<Offer>) {
        if self.asks_for_token(&route) {
            let op = self.ops.next();
            self.act(Action::GetAccessToken { op });
            self.enter(Step::SocketToken(op, offer), outage, route);
        } else {
            self.open_socket(outage, route, offer, None);
        }
    }

    fn open_socket(
        &mut self,
        outage: Option<Outage>,
        route: Route,
        offer: Option<Offer>,
        token: Option<&AccessToken>,
    ) {
        let opening = Opening {
            url: &route.url,
            id: offer.as_ref().map(Offer::token),
            headers: self.headers_for(&route),
            access_token: token.or(route.token.as_ref()),
            token_in_query: self.config.token_in_query,
        };
        let Ok(request) = opening.request() else {
            return self.attempt_failed(outage, NegotiateError::RedirectUrl.into());
        };
        let op = self.ops.next();
        self.act(Action::OpenWebSocket { op, request });
        self.enter(Step::Opening(op, offer), outage, route);
    }

    pub(super) fn handle_opened(&mut self, op: OpId) {
        let Some(Attempt {
            step,
            outage,
            route,
        }) = self.take_step(op, |step| matches!(step, Step::Opening(..)))
        else {
            return;
        };
        let Step::Opening(_, offer) = step else {
            return;
        };
        let socket = WebSocket::new(op, self.config.protocol);
        let connection_id = offer.map(|offer| offer.connection_id);
        let decoder = HandshakeDecoder::new(self.config.limits.max_handshake_size);
        self.enter(
            Step::Handshaking {
                socket,
                connection_id,
                decoder,
            },
            outage,
            route,
        );
        let protocol = self.config.protocol;
        self.outbox
            .write_control(|out| handshake::encode_request(out, protocol, HANDSHAKE_VERSION));
    }

    /// Bytes came during the handshake.
    pub(super) fn handle_handshake_bytes(&mut self, mut attempt: Box<Attempt>, mut bytes: Bytes) {
        let Step::Handshaking {
            socket,
            connection_id,
            decoder,
        } = &mut attempt.step
        else {
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
        let session = Session {
            socket: *socket,
            connection_id: connection_id.take(),
            frames: FrameDecoder::new(self.config.protocol, self.config.limits.max_message_size),
        };
        let reason = match response {
            Ok(response) => match response.error {
                None => return self.establish(session, attempt.outage, bytes),
                Some(error) => CloseReason::HandshakeRefused {
                    error: (&*error).into(),
                },
            },
            Err(error) => CloseReason::Protocol(error),
        };
        self.abort(session.socket.op);
        self.attempt_failed(attempt.outage, reason);
    }

    /// The handshake succeeded: ping at once, so that the server knows that this client pings, and take the rest of the chunk.
    fn establish(&mut self, session: Session, outage: Option<Outage>, rest: Bytes) {
        let connection_id = session.connection_id.clone();
        self.epoch = self.epoch.wrapping_add(1);
        self.state = State::Connected(Box::new(session));
        self.timers.clear();
        self.listen();
        let protocol = self.config.protocol;
        self.write_control(|out| protocol.encode_ping(out));
        self.tell(if outage.is_some() {
            Event::Reconnected { connection_id }
        } else {
            Event::Connected { connection_id }
        });
        self.enqueue(rest);
    }
}

/// A name from the peer, short and without control characters, as it may stand in an error.
struct Printable<'a>(&'a str);

impl core::fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0
            .chars()
            .filter(|c| !c.is_control())
            .take(64)
            .try_for_each(|c| core::fmt::Write::write_char(f, c))
    }
}

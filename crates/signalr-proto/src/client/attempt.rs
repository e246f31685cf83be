//! From nothing to a transport: tokens, negotiation, redirects, the choice.

use bytes::Bytes;
use http::Response;

use super::ClientConnection;
use super::api::{Action, Event};
use super::connecting::{Attempt, AttemptContext, HubLocation, Negotiated, Step};
use super::link::{Down, HttpLink, Link};
use super::outage::Outage;
use super::state::State;
use super::timer::Timer;
use crate::error::{CloseReason, NegotiateError};
use crate::transport::choice;
use crate::transport::event_stream::EventStream;
use crate::transport::http::Requests;
use crate::transport::negotiate::{
    self, AccessToken, MAX_REDIRECTS, NegotiateResponse, Offer, TransportKind,
};
use crate::transport::web_socket::{Opening, WebSocket};
use crate::transport::{
    BodyMode, EndCause, HubUrl, OpId, TransportFailure, TransportFailureReason,
};

impl ClientConnection {
    /// Starts over at the address the user gave ([CB-77](crate::spec::client_behaviour#cb-77)).
    pub(super) fn begin_attempt(&mut self, outage: Option<Outage>) {
        let location = HubLocation {
            url: self.config.url.clone(),
            token: None,
            cached: None,
            foreign: false,
            requests: 0,
            offered: self.now,
        };
        let context = AttemptContext {
            outage,
            location,
            offered: Vec::new(),
            failures: Vec::new(),
        };
        self.outbox.clear();
        self.incoming.clear();
        if self.config.skip_negotiation {
            self.prepare_socket(context, None)
        } else {
            self.prepare_negotiate(context)
        }
    }

    fn prepare_negotiate(&mut self, context: AttemptContext) {
        if self.asks_for_token(&context.location) {
            let op = self.ask_for_token();
            self.enter(Step::NegotiateToken(op), context);
        } else {
            self.negotiate(context, None);
        }
    }

    /// Whether the user's provider has a say here: a redirect's token replaces it, and another origin must not see its tokens.
    pub(super) fn asks_for_token(&self, location: &HubLocation) -> bool {
        self.config.has_access_token && location.token.is_none() && !location.foreign
    }

    pub(super) fn ask_for_token(&mut self) -> OpId {
        let op = self.ops.next();
        self.act(Action::GetAccessToken { op });
        op
    }

    pub(super) fn enter(&mut self, step: Step, context: AttemptContext) {
        let (timer, timeout) = if matches!(step, Step::Handshaking(..)) {
            (Timer::Handshake, self.config.handshake_timeout)
        } else {
            (Timer::Connect, self.config.connect_timeout)
        };
        self.timers.clear();
        self.timers.set(timer, Some(self.now.after(timeout)));
        self.state = State::Connecting(Box::new(Attempt { step, context }));
    }

    fn negotiate(&mut self, mut context: AttemptContext, token: Option<AccessToken>) {
        let location = &mut context.location;
        location.requests += 1;
        location.cached = token;
        let token = location.cached.as_ref().or(location.token.as_ref());
        let stateful = self.config.asks_for_stateful_reconnect();
        let headers = location.headers(&self.config.headers);
        let Ok(request) = negotiate::request(&location.url, headers, token, stateful) else {
            return self.attempt_failed(context.outage, NegotiateError::RedirectUrl.into());
        };
        let op = self.ops.next();
        let body = BodyMode::Whole {
            limit: self.config.limits.max_response_size,
        };
        self.act(Action::request(op, request, body));
        self.enter(Step::Negotiate(op), context);
    }

    /// The user's answer to the question of an attempt.
    pub(super) fn attempt_token(&mut self, token: Result<Option<AccessToken>, Box<str>>) {
        let asks = |step: &Step| matches!(step, Step::NegotiateToken(_) | Step::SocketToken(..));
        let Some(Attempt { step, context }) = self.take_step(asks) else {
            return;
        };
        match (token, step) {
            (Err(detail), _) => {
                self.attempt_failed(context.outage, CloseReason::AccessToken { detail })
            }
            (Ok(token), Step::SocketToken(_, negotiated)) => {
                self.open_socket(context, negotiated, token.as_ref())
            }
            (Ok(token), _) => self.negotiate(context, token),
        }
    }

    /// What comes before a transport is over without an answer.
    pub(super) fn attempt_ended(&mut self, cause: EndCause) {
        if let Some(Attempt { context, .. }) = self.take_step(|step| step.link().is_none()) {
            self.fall_back(context, cause.into());
        }
    }

    /// Takes the attempt out when it is at such a step.
    pub(super) fn take_step(&mut self, is_step: impl FnOnce(&Step) -> bool) -> Option<Attempt> {
        let is_there =
            |state: &State| matches!(state, State::Connecting(attempt) if is_step(&attempt.step));
        self.take_attempt_if(is_there).map(|attempt| *attempt)
    }

    /// The answer to negotiate.
    pub(super) fn negotiated(&mut self, response: &Response<Bytes>) {
        let waits = |step: &Step| matches!(step, Step::Negotiate(_));
        let Some(Attempt { context, .. }) = self.take_step(waits) else {
            return;
        };
        match NegotiateResponse::read(response) {
            Ok(NegotiateResponse::Connect(offer)) => self.take_offer(context, offer),
            Ok(NegotiateResponse::Redirect { url, access_token }) => {
                self.redirect(context, &url, access_token)
            }
            Ok(NegotiateResponse::Refused { error }) => {
                self.negotiate_failed(context, NegotiateError::Refused { error })
            }
            Err(error) => self.negotiate_failed(context, error),
        }
    }

    fn negotiate_failed(&mut self, context: AttemptContext, error: NegotiateError) {
        self.fall_back(context, error.into());
    }

    /// After transports have failed, the failure of the negotiation that was to follow is one more reason.
    pub(super) fn fall_back(&mut self, context: AttemptContext, reason: CloseReason) {
        self.attempt_failed(context.outage, with_failures(context.failures, reason));
    }

    fn redirect(&mut self, mut context: AttemptContext, url: &str, token: Option<AccessToken>) {
        if context.location.requests >= MAX_REDIRECTS {
            let limit = MAX_REDIRECTS;
            return self.negotiate_failed(context, NegotiateError::RedirectLimit { limit });
        }
        let ascii = self.config.ascii_address.map(|ascii| ascii(url));
        let Ok(url) = HubUrl::parse(ascii.as_deref().unwrap_or(url)) else {
            return self.negotiate_failed(context, NegotiateError::RedirectUrl);
        };
        let location = &mut context.location;
        location.foreign =
            !self.config.credentials_across_origins && !url.same_origin(&self.config.url);
        // A token of an earlier redirect was meant for that place alone.
        let stays = self.config.credentials_across_origins || url.same_origin(&location.url);
        location.token = token.or_else(|| location.token.take().filter(|_| stays));
        location.url = url;
        self.prepare_negotiate(context);
    }

    fn take_offer(&mut self, mut context: AttemptContext, mut offer: Offer) {
        if offer.stateful_reconnect && !self.config.asks_for_stateful_reconnect() {
            return self.negotiate_failed(context, NegotiateError::UnsolicitedStatefulReconnect);
        }
        context.location.offered = self.now;
        if let Some(token) = offer.access_token.take() {
            context.location.token = Some(token);
            context.location.cached = None;
        }
        context.offered = core::mem::take(&mut offer.transports);
        let negotiated = Some(Box::new(offer));
        let choice = self.next_transport(&context);
        if let (Ok(to), Some(failure)) = (&choice, context.failures.last()) {
            self.tell_of_fallback(failure.clone(), *to);
        }
        match choice {
            Ok(TransportKind::WebSockets) => self.prepare_socket(context, negotiated),
            Ok(TransportKind::ServerSentEvents) => {
                let events = EventStream::new(self.config.limits.max_batch_size());
                self.open_http(context, negotiated, Down::Events(events))
            }
            Ok(TransportKind::LongPolling) => self.open_http(context, negotiated, Down::Polls),
            Err(failures) => {
                let error = NegotiateError::NoTransport { failures };
                self.attempt_failed(context.outage, error.into())
            }
        }
    }

    fn tell_of_fallback(&mut self, failure: TransportFailure, to: TransportKind) {
        if let (Some(from), TransportFailureReason::Failed(reason)) =
            (TransportKind::named(&failure.transport), failure.reason)
        {
            let reason = *reason;
            self.tell(Event::Fallback { from, to, reason });
        }
    }

    fn next_transport(
        &self,
        context: &AttemptContext,
    ) -> Result<TransportKind, Vec<TransportFailure>> {
        let format = self.config.protocol.transfer_format();
        let wanted = &self.config.transports;
        choice::choose(&context.offered, wanted, format, &context.failures)
    }

    /// A transport did not start: the next one gets its chance, with a connection of its own
    /// ([TR-30](crate::spec::transports#tr-30)). Without a next one there is no other connection to ask for, which would be left
    /// unused on the server ([TR-31](crate::spec::transports#tr-31)).
    pub(super) fn transport_failed(
        &mut self,
        mut context: AttemptContext,
        kind: TransportKind,
        reason: CloseReason,
    ) {
        if self.config.skip_negotiation {
            return self.attempt_failed(context.outage, reason);
        }
        context
            .failures
            .push(TransportFailure::failed(kind, reason));
        if let Err(failures) = self.next_transport(&context) {
            let error = NegotiateError::NoTransport { failures };
            return self.attempt_failed(context.outage, error.into());
        }
        context.location.requests = 0;
        self.prepare_negotiate(context);
    }

    /// Every WebSocket gets a fresh token ([TR-40](crate::spec::transports#tr-40)).
    fn prepare_socket(&mut self, context: AttemptContext, negotiated: Negotiated) {
        if self.asks_for_token(&context.location) {
            let op = self.ask_for_token();
            self.enter(Step::SocketToken(op, negotiated), context);
        } else {
            self.open_socket(context, negotiated, None);
        }
    }

    fn open_socket(
        &mut self,
        context: AttemptContext,
        negotiated: Negotiated,
        token: Option<&AccessToken>,
    ) {
        let id = negotiated.as_deref().map(Offer::token);
        let Some(op) = self.request_socket(&context.location, id, token) else {
            return self.attempt_failed(context.outage, NegotiateError::RedirectUrl.into());
        };
        let link = Link::WebSocket(WebSocket::new(op));
        self.enter(Step::Opening(link, negotiated), context);
    }

    /// Asks for a WebSocket; `None` when the addresses do not make one.
    pub(super) fn request_socket(
        &mut self,
        location: &HubLocation,
        id: Option<&str>,
        token: Option<&AccessToken>,
    ) -> Option<OpId> {
        let opening = Opening {
            url: &location.url,
            id,
            headers: location.headers(&self.config.headers),
            access_token: token.or(location.token.as_ref()),
            token_in_query: self.config.token_in_query,
        };
        let request = Box::new(opening.request().ok()?);
        let op = self.ops.next();
        self.act(Action::OpenWebSocket { op, request });
        Some(op)
    }

    fn open_http(&mut self, context: AttemptContext, negotiated: Negotiated, down: Down) {
        let location = &context.location;
        let token = location.cached.clone().or_else(|| location.token.clone());
        let requests = Requests::new(
            &location.url,
            negotiated.as_deref().map(Offer::token).unwrap_or_default(),
            location.headers(&self.config.headers),
            token,
            self.config.protocol.transfer_format(),
        );
        let link = HttpLink::new(requests, down, self.asks_for_token(location));
        self.enter(
            Step::Opening(Link::Http(Box::new(link)), negotiated),
            context,
        );
        self.receive();
    }
}

/// The reason, with the transports that failed before it.
fn with_failures(mut failures: Vec<TransportFailure>, reason: CloseReason) -> CloseReason {
    if failures.is_empty() {
        return reason;
    }
    failures.push(TransportFailure::unreachable(reason));
    NegotiateError::NoTransport { failures }.into()
}

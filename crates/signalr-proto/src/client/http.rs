//! Server-sent events and long polling at work ([requirements](crate::spec::transports#long-polling)).

use core::time::Duration;

use ::http::{HeaderMap, Request, Response, StatusCode, header};
use bytes::Bytes;

use super::ClientConnection;
use super::api::{Action, Misuse};
use super::connecting::Step;
use super::link::{AfterUnauthorized, Down, Exchange, HttpLink, Side, Stage};
use super::owner::Owner;
use super::state::State;
use super::timer::Timer;
use crate::error::{CloseReason, HttpRequest, NegotiateError};
use crate::transport::negotiate::AccessToken;
use crate::transport::{BodyMode, EndCause, OpId, answer};

/// After a send was refused, the server may still say why on the other way. So long a stop believes in a send, and in a server that
/// has taken the Close message and does not end its stream.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(1);

impl ClientConnection {
    /// Asks for the event stream, or for what the server has to say next.
    pub(super) fn receive(&mut self) {
        let op = self.ops.next();
        let Some(link) = self.state.http_mut() else {
            return;
        };
        let request = link.receive(op);
        self.request(op, request, BodyMode::Streamed);
        if self.is_poll_timed() {
            self.arm_poll();
        }
    }

    /// Whether polls have a time of their own. What makes a connection has that of its step, and event streams have none.
    fn is_poll_timed(&mut self) -> bool {
        let connecting = matches!(self.state, State::Connecting(_));
        !connecting && self.state.http_mut().is_some_and(|link| link.is_polling())
    }

    /// A poll hangs until there is something to say, but not for ever. It stands still while nobody reads its answer.
    pub(super) fn arm_poll(&mut self) {
        let deadline = (!self.read_paused).then(|| self.now.after(self.config.request_timeout));
        self.timers.set(Timer::Poll, deadline);
    }

    /// A send may take so long and no longer.
    pub(super) fn arm_post(&mut self) {
        let deadline = self.now.after(self.config.request_timeout);
        self.timers.set(Timer::Post, Some(deadline));
        self.hurry_post();
    }

    /// A stop does not wait long for a send that hangs: the `DELETE` of long polling must have its time as well.
    pub(super) fn hurry_post(&mut self) {
        let State::Stopping(session) = &mut self.state else {
            return;
        };
        let patience = LAST_WORDS.min(self.config.close_timeout / 2);
        let link = session.link.http_mut().filter(|link| link.is_polling());
        if let Some(post) = link.and_then(|link| link.post.as_ref()) {
            let deadline = post.since.after(patience);
            self.timers.set(Timer::Post, Some(deadline));
        }
    }

    fn request(&mut self, op: OpId, request: Result<Request<Bytes>, http::Error>, body: BodyMode) {
        match request {
            Ok(request) => self.act(Action::request(op, request, body)),
            Err(_) => self.link_failed(NegotiateError::RedirectUrl.into()),
        }
    }

    /// What waits to be sent, as a `POST`, one at a time ([TR-37](crate::spec::transports#tr-37)).
    pub(super) fn next_post(&mut self) -> Option<Action> {
        let link = self.state.open_link_mut()?.http_mut()?;
        if link.post.is_some() || link.delete.is_some() || link.doomed {
            return None;
        }
        let op = self.ops.next();
        let batch = self.outbox.next_batch(op)?;
        let size = batch.len();
        let request = link.post(op, batch, self.now).ok()?;
        self.handing_over(size);
        self.arm_post();
        Some(Action::request(op, request, self.whole_body()))
    }

    fn whole_body(&self) -> BodyMode {
        BodyMode::Whole {
            limit: self.config.limits.max_response_size,
        }
    }

    /// The head of an event stream or of the answer to a poll.
    pub(super) fn head_came(&mut self, op: OpId, response: &Response<Bytes>) {
        let (status, headers) = (response.status(), response.headers());
        if status == StatusCode::OK && !response.body().is_empty() {
            self.misused(op, Misuse::BodyWithHead);
        }
        let Some(link) = self.state.http_mut() else {
            return;
        };
        let request = link.receiving_request();
        let polling = link.is_polling();
        let Some(exchange) = link
            .receiving
            .as_mut()
            .filter(|exchange| exchange.stage == Stage::Asked)
        else {
            return;
        };
        let compressed = answer::content_coding(headers).filter(|_| status == StatusCode::OK);
        let problem = match (status, compressed) {
            (StatusCode::OK, Some(coding)) => CloseReason::Compressed { request, coding },
            (StatusCode::OK, None) if polling || is_event_stream(headers) => {
                exchange.stage = Stage::Reading;
                self.bytes_of_poll_come();
                return self.link_opened();
            }
            (StatusCode::OK, None) => CloseReason::NotAnEventStream,
            // The server has ended the connection; to delete it is needless (`TR-60`).
            (StatusCode::NO_CONTENT, _) if polling => {
                link.receiving = None;
                link.ended = true;
                return self.link_ended(EndCause::Clean);
            }
            (StatusCode::UNAUTHORIZED, _) if self.remedy(Side::Receiving, op) => return,
            _ => refusal(request, status, headers),
        };
        if let Some(link) = self.state.http_mut() {
            // A server that does not know the connection has nothing to delete either.
            link.ended |= status == StatusCode::NOT_FOUND;
        }
        self.link_failed(problem);
    }

    /// The answer to a send.
    pub(super) fn posted(&mut self, op: OpId, status: StatusCode, headers: &HeaderMap) {
        if status == StatusCode::UNAUTHORIZED && self.remedy(Side::Sending, op) {
            return;
        }
        self.timers.set(Timer::Post, None);
        let Some(post) = self.state.http_mut().and_then(|link| link.post.take()) else {
            return;
        };
        if status.is_success() {
            self.handle_sent(post.batch);
        } else {
            self.post_failed(refusal(HttpRequest::Send, status, headers));
        }
    }

    /// A send came to nothing. When the server has ended the connection it has said why on the other way, or is about to.
    fn post_failed(&mut self, reason: CloseReason) {
        self.timers.set(Timer::Post, None);
        let gone = matches!(reason, CloseReason::RequestRefused { status: 404, .. });
        if let Some(link) = self.state.http_mut() {
            link.ended |= gone;
        }
        if matches!(self.state, State::Stopping(_)) {
            // Nobody is there to take our Close message any more (`TR-96`).
            self.outbox.clear();
            return self.finish_stopping(false);
        }
        let connected = matches!(self.state, State::Connected(_));
        match self.state.http_mut() {
            Some(link) if gone && connected && link.receiving.is_some() => {
                link.doomed = true;
                let deadline = self.now.after(LAST_WORDS);
                self.timers.set(Timer::Post, Some(deadline));
            }
            Some(_) => self.link_failed(reason),
            None => {}
        }
    }

    pub(super) fn post_timed_out(&mut self) {
        if matches!(self.state, State::Stopping(_)) {
            // It may still arrive, but is waited for no longer.
            self.outbox.clear();
            return self.finish_stopping(false);
        }
        let doomed = self.state.http_mut().is_some_and(|link| link.doomed);
        self.link_failed(if doomed {
            CloseReason::RequestRefused {
                request: HttpRequest::Send,
                status: 404,
            }
        } else {
            CloseReason::RequestTimeout {
                request: HttpRequest::Send,
                timeout: self.config.request_timeout,
            }
        });
    }

    /// A poll that hangs for too long is repeated without a word ([TR-65](crate::spec::transports#tr-65)); one that broke off half
    /// way is not.
    pub(super) fn poll_timed_out(&mut self) {
        let Some(Exchange { op, stage, .. }) =
            self.state.http_mut().and_then(|link| link.receiving)
        else {
            return;
        };
        // Nor is one whose token was refused, while no other is to be had.
        if stage != Stage::Asked {
            return self.link_failed(CloseReason::RequestTimeout {
                request: HttpRequest::Poll,
                timeout: self.config.request_timeout,
            });
        }
        self.abort(op);
        self.receive();
    }

    /// The answer to a poll comes in: it has as much time again for its next piece.
    fn bytes_of_poll_come(&mut self) {
        if self.timers.get(Timer::Poll).is_some() {
            self.arm_poll();
        }
    }

    /// The next piece of an event stream or of a poll's answer. What belongs to a refused request is not looked at.
    pub(super) fn chunk_came(&mut self, op: OpId, mut bytes: Bytes) {
        // A piece without a byte is none.
        while !bytes.is_empty() && self.state.owner(op) == Owner::Body {
            let Some(link) = self.state.http_mut() else {
                return;
            };
            let data = match &mut link.down {
                Down::Polls => {
                    self.bytes_of_poll_come();
                    return self.handle_bytes(bytes);
                }
                Down::Events(events) => {
                    let before = events.data_bytes();
                    let event = events.decode(&mut bytes);
                    event.map(|event| event.ok_or_else(|| events.data_bytes() > before))
                }
            };
            match data {
                Ok(Ok(data)) => self.handle_bytes(data),
                // A part of a message is a sign of life (`CB-10`). A comment may come from whoever stands between.
                Ok(Err(true)) => self.listen(),
                Ok(Err(false)) => {}
                Err(error) => return self.link_failed(CloseReason::Protocol(error)),
            }
        }
    }

    /// The event stream or the poll is over.
    pub(super) fn receiving_ended(&mut self, cause: EndCause) {
        let Some(link) = self.state.http_mut() else {
            return;
        };
        let answered = link.is_reading() && cause == EndCause::Clean;
        link.receiving = None;
        if answered && link.is_polling() {
            self.poll_again();
        } else {
            self.link_ended(cause);
        }
    }

    /// The send is over without an answer.
    pub(super) fn post_ended(&mut self, cause: EndCause) {
        if let Some(link) = self.state.http_mut() {
            link.post = None;
            self.post_failed(cause.into());
        }
    }

    /// The next poll follows at once, unless one is under way, nobody can take what it brings, or the connection is over.
    pub(super) fn poll_again(&mut self) {
        // What belongs to the beginning or the end of a connection does not wait for the application.
        let paused = self.read_paused && matches!(self.state, State::Connected(_));
        let Some(link) = self.state.http_mut().filter(|link| link.is_polling()) else {
            return;
        };
        let over = link.delete.is_some();
        if link.is_refused(Side::Receiving) {
            return;
        }
        if link.receiving.is_some() {
            return self.arm_poll();
        }
        self.timers.set(Timer::Poll, None);
        if !paused && !over {
            self.receive();
        }
    }

    /// What to do about a 401. `true` when something is done ([TR-76](crate::spec::transports#tr-76)).
    fn remedy(&mut self, side: Side, op: OpId) -> bool {
        let Some(remedy) = self.state.http_mut().and_then(|link| link.refused(side)) else {
            return false;
        };
        if side == Side::Receiving {
            // Nobody wants the rest of the answer.
            self.abort(op);
            self.arm_question();
        }
        match remedy {
            AfterUnauthorized::Wait => {}
            AfterUnauthorized::Repeat => self.repeat(side),
            AfterUnauthorized::Ask => {
                let op = self.ask_for_token();
                if let Some(link) = self.state.http_mut() {
                    link.token_request = Some(op);
                }
            }
        }
        true
    }

    /// The question for a token has its own time, also while nobody reads: it is no poll.
    fn arm_question(&mut self) {
        if self.is_poll_timed() {
            let deadline = self.now.after(self.config.request_timeout);
            self.timers.set(Timer::Poll, Some(deadline));
        }
    }

    /// The user's answer after a 401.
    pub(super) fn renew_token(&mut self, token: Result<Option<AccessToken>, Box<str>>) {
        let Some(link) = self.state.http_mut() else {
            return;
        };
        link.token_request = None;
        match token {
            Ok(token) => self.adopt_token(token),
            Err(detail) => self.link_failed(CloseReason::AccessToken { detail }),
        }
    }

    /// All further requests carry this token, and those that were refused are repeated with it.
    pub(super) fn adopt_token(&mut self, token: Option<AccessToken>) {
        let Some(link) = self.state.http_mut() else {
            return;
        };
        link.requests.set_token(token);
        link.generation += 1;
        // A refresh may have been quicker than the answer to a refusal, which nobody needs any more.
        if let Some(op) = link.token_request.take() {
            self.abort(op);
        }
        for side in [Side::Receiving, Side::Sending] {
            if self
                .state
                .http_mut()
                .is_some_and(|link| link.is_refused(side))
            {
                self.repeat(side);
            }
        }
    }

    fn repeat(&mut self, side: Side) {
        let op = self.ops.next();
        let request = self.state.http_mut().and_then(|link| link.repeat(side, op));
        let body = if side == Side::Sending {
            self.whole_body()
        } else {
            BodyMode::Streamed
        };
        if let Some(request) = request {
            self.request(op, request, body);
        }
        if side == Side::Receiving && self.is_poll_timed() {
            self.arm_poll();
        }
    }

    /// Tells the server that long polling is over, unless it knows. The poll under way ends before, as with the official
    /// clients. The answer matters to nobody but `stop`.
    pub(super) fn delete(&mut self, link: &mut HttpLink) {
        if !link.is_polling() || link.ended || link.delete.is_some() {
            return;
        }
        let Ok(request) = link.requests.delete() else {
            return;
        };
        if let Some(op) = link.receiving.take().and_then(Exchange::under_way) {
            self.abort(op);
        }
        let op = self.ops.next();
        link.delete = Some(op);
        let body = self.whole_body();
        self.act(Action::request(op, request, body));
    }

    /// The transport failed by a decision of ours.
    pub(super) fn link_failed(&mut self, reason: CloseReason) {
        match &self.state {
            State::Connecting(attempt) if matches!(attempt.step, Step::Opening(..)) => {
                self.opening_failed(reason, true)
            }
            State::Connecting(_) => self.handshake_failed(reason, true),
            State::Connected(_) | State::Stopping(_) => {
                self.drain_incoming();
                self.connection_lost(reason, true);
            }
            State::Disconnected | State::Deciding(_) | State::Waiting { .. } => {}
        }
    }
}

/// What a status means that ends the connection.
fn refusal(request: HttpRequest, status: StatusCode, headers: &HeaderMap) -> CloseReason {
    let code = status.as_u16();
    match answer::redirect_target(status, headers) {
        Some(target) => CloseReason::Redirected {
            status: code,
            target,
        },
        None => CloseReason::RequestRefused {
            request,
            status: code,
        },
    }
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
}

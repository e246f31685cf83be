//! Authentication refresh: a new token for a connection that lives on
//! ([requirements](crate::spec::transports#authentication-refresh)).

use core::time::Duration;

use ::http::{Response, StatusCode};
use bytes::Bytes;

use super::ClientConnection;
use super::api::{Action, Event};
use super::session::{Refresh, Session};
use super::state::State;
use super::timer::Timer;
use crate::error::{HttpRequest, RefreshError, UsageError};
use crate::time::Instant;
use crate::transport::negotiate::{AccessToken, RefreshResponse};
use crate::transport::{BodyMode, EndCause, http};

/// The soonest an automatic refresh follows the last one.
const SOONEST: Duration = Duration::from_secs(1);

impl ClientConnection {
    /// Gives the server a new token of the application's, without reconnecting. Ends in
    /// [`Event::AuthenticationRefreshed`] or [`Event::AuthenticationRefreshFailed`]; joins a refresh that is under way.
    ///
    /// On the wire: `POST <path>/refresh?id=<connection token>` with the new token as bearer.
    ///
    /// # Errors
    /// [`UsageError::NotConnected`] outside of `Connected`, and [`UsageError::NoRefresh`] when the connection has no secret
    /// token (negotiation of version 0, or skipped, [TR-97](crate::spec::transports#tr-97)) or no provider of access tokens that
    /// the server may see.
    pub fn refresh_authentication(&mut self, now: Instant) -> Result<(), UsageError> {
        self.advance(now);
        let State::Connected(session) = &self.state else {
            return Err(UsageError::NotConnected);
        };
        let has_token = session
            .negotiated
            .as_ref()
            .is_some_and(|offer| offer.connection_token.is_some());
        if !has_token || !self.asks_for_token(&session.location) {
            return Err(UsageError::NoRefresh);
        }
        if session.refresh.op().is_none() {
            let op = self.ask_for_token();
            self.begin_refresh_step(Refresh::Asking(op));
        }
        Ok(())
    }

    fn session_mut(&mut self) -> Option<&mut Session> {
        match &mut self.state {
            State::Connected(session) => Some(session),
            State::Disconnected
            | State::Connecting(_)
            | State::Deciding(_)
            | State::Waiting { .. }
            | State::Stopping(_) => None,
        }
    }

    fn begin_refresh_step(&mut self, step: Refresh) {
        let deadline = self.now.after(self.config.request_timeout);
        if let Some(session) = self.session_mut() {
            session.refresh = step;
            self.timers.set(Timer::Refresh, Some(deadline));
        }
    }

    /// The next automatic refresh: some time before the token expires, or at half its life when that is shorter
    /// ([TR-86](crate::spec::transports#tr-86)).
    pub(super) fn schedule_refresh(&mut self, lifetime: Option<Duration>, since: Instant) {
        let delay = self
            .config
            .refresh_before_expiration
            .zip(lifetime.filter(|lifetime| !lifetime.is_zero()))
            .map(|(lead, lifetime)| {
                let early = lifetime.saturating_sub(lead);
                if early.is_zero() { lifetime / 2 } else { early }.max(SOONEST)
            });
        let moment = delay.map(|delay| since.after(delay));
        if let Some(session) = self.session_mut() {
            session.refresh_at = moment;
            self.timers.set(Timer::Refresh, moment);
        }
    }

    /// The scheduled moment, or the end of our patience.
    pub(super) fn refresh_timer(&mut self) {
        let Some(session) = self.session_mut() else {
            return;
        };
        match session.refresh.op() {
            None => {
                session.refresh_at = None;
                // What cannot be refreshed was not scheduled by anything that matters.
                let _ = self.refresh_authentication(self.now);
            }
            Some(op) => {
                self.abort(op);
                let timeout = self.config.request_timeout;
                self.refresh_failed(RefreshError::Timeout { timeout });
            }
        }
    }

    /// The application's new token.
    pub(super) fn refresh_with(&mut self, token: Result<Option<AccessToken>, Box<str>>) {
        let limit = self.config.limits.max_response_size;
        let headers = &self.config.headers;
        let State::Connected(session) = &mut self.state else {
            return;
        };
        let token = match token {
            Ok(Some(token)) => token,
            Ok(None) => return self.refresh_failed(RefreshError::NoToken),
            Err(detail) => return self.refresh_failed(RefreshError::Provider { detail }),
        };
        let id = session
            .negotiated
            .as_ref()
            .map_or("", |offer| offer.token());
        let headers = session.location.headers(headers);
        let Ok(request) = http::refresh(&session.location.url, id, headers, Some(&token)) else {
            return self.refresh_failed(RefreshError::NoToken);
        };
        let op = self.ops.next();
        let body = BodyMode::Whole { limit };
        self.act(Action::request(op, request, body));
        self.begin_refresh_step(Refresh::Telling(op, token));
    }

    /// The server's answer. The new token counts from now on
    /// ([TR-84](crate::spec::transports#tr-84)).
    pub(super) fn refreshed(&mut self, response: &Response<Bytes>) {
        let Some(session) = self.session_mut() else {
            return;
        };
        let Refresh::Telling(_, token) = core::mem::take(&mut session.refresh) else {
            return;
        };
        let status = response.status();
        match RefreshResponse::decode(response.body()) {
            Some(answer) if status.is_success() => {
                let token = answer.access_token.unwrap_or(token);
                session.location.cached = Some(token.clone());
                self.adopt_token(Some(token));
                self.schedule_refresh(answer.lifetime, self.now);
                self.tell(Event::AuthenticationRefreshed {
                    lifetime: answer.lifetime,
                });
            }
            Some(answer) => self.refresh_failed(RefreshError::Refused {
                status: status.as_u16(),
                error: answer.error,
            }),
            None if status == StatusCode::OK => self.refresh_failed(RefreshError::Invalid),
            None => self.refresh_failed(RefreshError::Refused {
                status: status.as_u16(),
                error: None,
            }),
        }
    }

    /// The question or the request is over without an answer.
    pub(super) fn refresh_ended(&mut self, cause: &EndCause) {
        self.refresh_failed(RefreshError::Failed {
            request: HttpRequest::Refresh,
            detail: cause.words(),
        });
    }

    /// The old token stays, and the connection too, for as long as the server lets it.
    fn refresh_failed(&mut self, error: RefreshError) {
        if let Some(session) = self.session_mut() {
            session.refresh = Refresh::Idle;
            // What the application tried in between does not cancel what is to come.
            let moment = session.refresh_at;
            self.timers.set(Timer::Refresh, moment);
        }
        self.tell(Event::AuthenticationRefreshFailed { error });
    }
}

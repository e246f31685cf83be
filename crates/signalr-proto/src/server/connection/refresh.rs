//! Newer tokens for a connection that lives on ([requirements](crate::spec::transports#authentication-refresh)).

use http::StatusCode;

use super::{ServerConnection, Timer};
use crate::server::answers::{self, not_cached, text};
use crate::server::{Arrival, DisconnectReason, Event, Identity, Port};
use crate::time::Instant;
use crate::transport::OpId;

/// Requests with a newer token that may wait for the application's judgement.
const MAX_APPLICANTS: usize = 16;

const REJECTED: &str = "permission_change_rejected";

/// Newer tokens.
impl ServerConnection {
    /// Answers [`Event::Reauthenticate`]: whether the newer token takes the place of the old one. When the request is gone
    /// meanwhile, or a yet newer token was accepted, nothing is changed.
    pub fn reauthenticate(&mut self, now: Instant, op: OpId, accepted: bool) {
        self.advance(now);
        let Some(arrival) = self.applicants.take(op) else {
            return;
        };
        let overtaken = self.is_overtaken(&arrival);
        if accepted && !overtaken {
            self.adopt(arrival.identity.clone());
        }
        match arrival.port {
            Port::Refresh if accepted => self.respond(op, self.lifetime()),
            Port::Refresh => self.respond(op, rejected()),
            Port::Poll if accepted || overtaken => self.poll(op),
            Port::WebSocket if accepted || overtaken => self.resume(op),
            Port::WebSocket | Port::Poll | Port::Events | Port::Post | Port::Delete => {
                self.respond(op, not_cached(rejected()));
                self.over(DisconnectReason::AuthenticationRejected);
            }
        }
    }

    fn adopt(&mut self, identity: Option<Identity>) {
        if let Some(identity) = identity.filter(|theirs| self.identity() != Some(theirs)) {
            self.options.identity = Some(identity.clone());
            self.watch_expiry();
            self.event(Event::Reauthenticated { identity });
        }
    }

    /// Whether a newer token than this one was accepted meanwhile.
    fn is_overtaken(&self, arrival: &Arrival) -> bool {
        let (Some(theirs), Some(ours)) = (&arrival.identity, self.identity()) else {
            return false;
        };
        theirs.is_older_than(ours)
    }

    pub(super) fn refresh_arrived(&mut self, arrival: Arrival) {
        let refused = if !self.state.is_live() {
            arrival.gone()
        } else if !self.options.refreshable {
            answers::refresh_error(StatusCode::NOT_FOUND, "refresh_disabled")
        } else if arrival.identity.is_none() {
            answers::refresh_error(StatusCode::UNAUTHORIZED, "invalid_token")
        } else {
            return self.apply(arrival);
        };
        self.respond(arrival.op, refused);
    }

    /// Whether a poll or a WebSocket brings a token that the application has to judge. An older one than the present is ignored.
    pub(super) fn must_apply(&self, arrival: &Arrival) -> bool {
        let Some(theirs) = arrival.identity.as_ref() else {
            return false;
        };
        self.options.refreshable
            && self.state.is_live()
            && self
                .identity()
                .is_none_or(|ours| theirs != ours && !theirs.is_older_than(ours))
    }

    pub(super) fn apply(&mut self, arrival: Arrival) {
        let op = arrival.op;
        let Some(identity) = arrival.identity.clone() else {
            return;
        };
        if self.applicants.len() >= MAX_APPLICANTS {
            let response = text(StatusCode::TOO_MANY_REQUESTS, "");
            return self.respond(op, not_cached(response));
        }
        self.applicants.push(arrival);
        self.event(Event::Reauthenticate { op, identity });
    }

    /// Without refresh a token's expiry still follows what the client presents, so that polling with fresh tokens is enough.
    pub(super) fn follow_expiry(&mut self, arrival: &Arrival) {
        let theirs = arrival.identity.as_ref();
        if let (Some(theirs), Some(ours)) = (theirs, self.options.identity.as_mut()) {
            if !self.options.refreshable && !theirs.is_older_than(ours) {
                ours.expires_at = theirs.expires_at;
                self.watch_expiry();
            }
        }
    }

    /// Nobody judges any more.
    pub(super) fn refuse_applicants(&mut self) {
        for arrival in self.applicants.drain() {
            self.respond(arrival.op, arrival.gone());
        }
    }

    pub(super) fn watch_expiry(&mut self) {
        if self.options.close_on_expiration && self.state.is_live() {
            let expiry = self.identity().and_then(|identity| identity.expires_at);
            self.timers.set(Timer::Expiry, expiry);
        }
    }

    /// How long the token lasts: `{"tokenLifetimeSeconds":1800}`, or `{}`.
    fn lifetime(&self) -> http::Response<bytes::Bytes> {
        let expiry = self.identity().and_then(|identity| identity.expires_at);
        let seconds = expiry
            .map(|expiry| expiry.since(self.now).as_secs())
            .map(|seconds| seconds.min(u64::from(i32::MAX.unsigned_abs())))
            .filter(|seconds| *seconds > 0);
        let body = seconds.map_or_else(
            || "{}".to_owned(),
            |seconds| format!("{{\"tokenLifetimeSeconds\":{seconds}}}"),
        );
        answers::whole(StatusCode::OK, "application/json", body.into())
    }
}

fn rejected() -> http::Response<bytes::Bytes> {
    answers::refresh_error(StatusCode::FORBIDDEN, REJECTED)
}

//! Answers to negotiation ([requirements](crate::spec::transports#negotiation-server)).

use core::time::Duration;

use bytes::Bytes;
use http::{Method, Response, StatusCode};

use super::table::Entry;
use super::{Endpoint, FreshIds, RequestHead, unavailable};
use crate::server::answers::{text, whole};
use crate::server::query::{query_parameter, query_parameters};
use crate::transport::negotiate::{NegotiateResponse, Offer, TransportKind, VERSION};

impl Endpoint {
    pub(super) fn negotiate(
        &mut self,
        ids: impl FnOnce() -> FreshIds,
        head: &RequestHead<'_>,
    ) -> Response<Bytes> {
        if head.method != Method::POST {
            return text(StatusCode::METHOD_NOT_ALLOWED, "");
        }
        match self.negotiate_version(head.query) {
            Ok(version) => self.offer(version, ids, head),
            Err(error) => json(&NegotiateResponse::Refused {
                error: error.into(),
            }),
        }
    }

    /// The version to answer with, or the words of the refusal.
    fn negotiate_version(&self, query: &str) -> Result<u32, String> {
        let asked =
            asked_version(query).ok_or("The client requested a non-integer protocol version.")?;
        if asked < self.config.minimum_negotiate_version {
            return Err(format!(
                "The client requested version '{asked}', but the server does not support this version."
            ));
        }
        Ok(u32::try_from(asked).unwrap_or(0).min(VERSION))
    }

    fn offer(
        &mut self,
        version: u32,
        ids: impl FnOnce() -> FreshIds,
        head: &RequestHead<'_>,
    ) -> Response<Bytes> {
        if self.waiting() >= self.config.max_waiting || self.check_room().is_err() {
            return *unavailable();
        }
        let FreshIds {
            connection_id,
            connection_token,
        } = ids();
        let stateful_reconnect = self.grants_stateful_reconnect(head.query);
        let mut entry = Entry::new(version, connection_id.clone(), stateful_reconnect);
        if let Some(identity) = head.identity {
            let cap = self.config.maximum_authentication_expiration;
            entry.claim(self.now, identity, cap);
        }
        let token_lifetime = self.lifetime(&entry);
        let lapse = self.now.after(self.connection.disconnect_timeout);
        let secret = (version > 0).then_some(connection_token);
        let token = secret.as_deref().unwrap_or(&connection_id);
        if !self.table.wait(token, entry, lapse) {
            return *unavailable();
        }
        let mut offer = Offer::new(connection_id, secret, &self.offered());
        offer.stateful_reconnect = stateful_reconnect;
        offer.token_lifetime = token_lifetime;
        json(&NegotiateResponse::Connect(offer))
    }

    fn offered(&self) -> Vec<TransportKind> {
        let mut offered = TransportKind::ALL.to_vec();
        offered.retain(|kind| self.config.transports.contains(kind));
        offered
    }

    fn grants_stateful_reconnect(&self, query: &str) -> bool {
        self.config.stateful_reconnect
            && self.config.transports.contains(&TransportKind::WebSockets)
            && query_parameter(query, "useStatefulReconnect")
                .is_some_and(|asked| asked.trim().eq_ignore_ascii_case("true"))
    }

    /// How long the client's own token lasts, in whole seconds, if it may be replaced and has an end
    /// ([TR-80](crate::spec::transports#tr-80)).
    fn lifetime(&self, entry: &Entry) -> Option<Duration> {
        let identity = entry.identity();
        let identity = identity.filter(|_| self.config.authentication_refresh)?;
        let left = identity.expires_at?.since(self.now).as_secs();
        let seconds = left.min(u64::from(i32::MAX.unsigned_abs()));
        (seconds > 0).then(|| Duration::from_secs(seconds))
    }
}

/// `None` for a version that is no integer, or more than one version.
fn asked_version(query: &str) -> Option<i32> {
    let mut versions = query_parameters(query, "negotiateVersion");
    let Some(version) = versions.next() else {
        return Some(0);
    };
    if versions.next().is_some() {
        return None;
    }
    version.trim().parse().ok()
}

fn json(body: &NegotiateResponse) -> Response<Bytes> {
    whole(StatusCode::OK, "application/json", body.encode())
}

//! Newer tokens ([TR-81](crate::spec::transports#tr-81)): what is refused here never reaches the connection, which judges the rest.

use http::{Method, StatusCode};

use super::{Endpoint, RequestHead, Verdict};
use crate::server::Port;
use crate::server::answers::{Refused, refresh_error, refuse};

impl Endpoint {
    /// Every row of the table of refresh requests but the last ones ([TR-81](crate::spec::transports#tr-81)).
    pub(super) fn refresh(&mut self, head: &RequestHead<'_>) -> Result<Verdict, Refused> {
        if head.method != Method::POST {
            return Err(refuse(StatusCode::METHOD_NOT_ALLOWED, ""));
        }
        if !self.config.authentication_refresh {
            return Err(no(StatusCode::NOT_FOUND, "refresh_disabled"));
        }
        let token = head
            .token()
            .ok_or_else(|| no(StatusCode::BAD_REQUEST, "missing_connection_token"))?;
        let (token, entry) = self
            .table
            .get(&token)
            .ok_or_else(|| no(StatusCode::NOT_FOUND, "connection_not_found"))?;
        if entry.version == 0 {
            let code = "unsupported_negotiate_version";
            return Err(no(StatusCode::BAD_REQUEST, code));
        }
        let identity = head
            .identity
            .ok_or_else(|| no(StatusCode::UNAUTHORIZED, "invalid_token"))?;
        // The user of a connection is for ever, even when it is nobody.
        if !entry.owner.admits(Some(identity)) || !entry.owner.heeds(identity) {
            return Err(no(StatusCode::FORBIDDEN, "permission_change_rejected"));
        }
        self.enter(&token, Port::Refresh, Some(identity))
    }
}

fn no(status: StatusCode, code: &str) -> Refused {
    Box::new(refresh_error(status, code))
}

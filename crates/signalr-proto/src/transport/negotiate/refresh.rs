//! The answer to a refresh of the access token.

use core::time::Duration;

use super::access_token::AccessToken;
use super::members::{lifetime, members};

/// The answer to a refresh of the access token: `{"tokenLifetimeSeconds":1800}`, `{}`, or `{"error":"invalid_token"}`.
pub(crate) struct RefreshResponse {
    pub(crate) lifetime: Option<Duration>,
    /// A token to use instead of the one that was sent, as one hosted service gives it.
    pub(crate) access_token: Option<AccessToken>,
    pub(crate) error: Option<Box<str>>,
}

members! {
    struct RefreshMembers {
        token_lifetime_seconds: i64 = "tokenLifetimeSeconds",
        access_token: Box<str> = "accessToken",
        error: Box<str> = "error",
    }
}

impl RefreshResponse {
    /// Reads a body; none when it is not a JSON object of this kind.
    pub(crate) fn decode(body: &[u8]) -> Option<Self> {
        let members: RefreshMembers = serde_json::from_slice(body).ok()?;
        Some(Self {
            lifetime: lifetime(members.token_lifetime_seconds),
            access_token: members.access_token.and_then(AccessToken::new),
            error: members.error.filter(|error| !error.is_empty()),
        })
    }
}

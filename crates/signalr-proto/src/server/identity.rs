//! Who a client is, as far as a connection has to know.

use bytestring::ByteString;

use crate::time::Instant;

/// What the authentication of a request says about its sender.
#[derive(Clone, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "built by drivers")]
pub struct Identity {
    /// The user. One connection is one user's for all its life.
    pub user_id: Option<ByteString>,
    /// Tells one token or set of claims from another.
    pub claims: u64,
    /// When the token expires.
    pub expires_at: Option<Instant>,
}

impl Identity {
    /// Whether this was issued before `other`, as far as the expiries tell: racing refreshes must not roll back
    /// ([TR-82](crate::spec::transports#tr-82)).
    pub(super) fn is_older_than(&self, other: &Self) -> bool {
        match (self.expires_at, other.expires_at) {
            (Some(this), Some(other)) => this < other,
            (None | Some(_), None) | (None, Some(_)) => false,
        }
    }
}

/// Shows neither the user nor the claims.
impl core::fmt::Debug for Identity {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Identity")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

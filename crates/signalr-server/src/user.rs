//! Who is at the other end of a connection.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;

/// A user, as [`authorize`](crate::HubServerBuilder::authorize) found out. Cheap to clone.
///
/// The id is what [`Clients::user`](crate::Clients::user) names; one user may have many connections. What else is known goes
/// into claims of the application's own type:
///
/// ```
/// use std::time::Duration;
/// use signalr_server::User;
///
/// #[derive(Debug)]
/// struct Claims { admin: bool }
///
/// let user = User::new("alice")
///     .with_claims(Claims { admin: true })
///     .expires_after(Duration::from_secs(3600));
/// assert!(user.claims::<Claims>().is_some_and(|claims| claims.admin));
/// ```
#[derive(Clone)]
pub struct User {
    id: ByteString,
    claims: Option<Arc<dyn Any + Send + Sync>>,
    expires_after: Option<Duration>,
}

impl User {
    /// A user. The id is compared exactly.
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self {
            id: id.into(),
            claims: None,
            expires_after: None,
        }
    }

    /// The same user, of whom this is known too.
    #[must_use]
    pub fn with_claims<T: Send + Sync + 'static>(self, claims: T) -> Self {
        Self {
            claims: Some(Arc::new(claims)),
            ..self
        }
    }

    /// The same user, whose authentication ends this long from now.
    ///
    /// By itself that does nothing. Connections end with it when
    /// [`close_on_authentication_expiration`](crate::EndpointConfig::close_on_authentication_expiration) is on, and clients are told
    /// when a newer token is due when [`authentication_refresh`](crate::EndpointConfig::authentication_refresh) is.
    #[must_use]
    pub fn expires_after(self, duration: Duration) -> Self {
        Self {
            expires_after: Some(duration),
            ..self
        }
    }

    /// The id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The claims, if they are of this type.
    #[must_use]
    pub fn claims<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.claims.as_deref()?.downcast_ref()
    }

    pub(crate) const fn lifetime(&self) -> Option<Duration> {
        self.expires_after
    }

    pub(crate) const fn id_string(&self) -> &ByteString {
        &self.id
    }
}

/// Shows no claims: they are the application's.
impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("id", &self.id)
            .field("expires_after", &self.expires_after)
            .finish_non_exhaustive()
    }
}

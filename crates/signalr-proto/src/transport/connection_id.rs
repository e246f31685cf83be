//! The id of a connection.

use core::fmt;
use core::ops::Deref;

/// The id under which the server knows a connection: a text that anybody may see.
///
/// Servers that negotiate in version 0 know connections by it alone, so that whoever has it can speak for the client. It is a
/// secret then, and `Debug` does not show it ([TR-79](crate::spec::transports#tr-79)). `Display` always does.
#[derive(Clone)]
pub struct ConnectionId {
    text: Box<str>,
    is_secret: bool,
}

impl ConnectionId {
    pub(crate) const fn new(text: Box<str>, is_secret: bool) -> Self {
        Self { text, is_secret }
    }

    /// The id.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether requests are let in by this id.
    #[must_use]
    pub const fn is_secret(&self) -> bool {
        self.is_secret
    }
}

impl Deref for ConnectionId {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl AsRef<str> for ConnectionId {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl From<&str> for ConnectionId {
    fn from(text: &str) -> Self {
        Self::new(text.into(), false)
    }
}

impl From<ConnectionId> for Box<str> {
    fn from(id: ConnectionId) -> Self {
        id.text
    }
}

impl PartialEq for ConnectionId {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for ConnectionId {}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_secret {
            f.write_str("(secret)")
        } else {
            self.text.fmt(f)
        }
    }
}

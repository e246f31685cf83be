//! Who has to answer which question, over all connections of a hub.

use std::collections::HashMap;
use std::sync::Arc;

use bytestring::ByteString;

use super::DisconnectReason;

/// Which connection has to give each client result that is waited for.
///
/// A [`ServerConnection`](super::ServerConnection) knows what its own client was asked. That an answer belongs to somebody else can
/// only be seen from above all connections of a hub, so there is one of these for each hub, and each connection's
/// [`UnknownCompletion`](super::Event::UnknownCompletion) is handed to [`judge`](Self::judge). It holds a question until its
/// [`end`](Self::end), so it is as large as there are questions open.
///
/// ```
/// use std::sync::Arc;
/// use signalr_proto::server::{DisconnectReason, ResultOwners};
///
/// let mut owners = ResultOwners::default();
/// let id = owners.begin(Arc::from("ann's connection"));
/// assert_eq!(id, "s1");
/// assert_eq!(owners.judge(&id, "bob's connection"), Err(DisconnectReason::ForeignAnswer));
/// owners.end(&id);
/// assert_eq!(owners.judge(&id, "bob's connection"), Ok(()));
/// ```
#[derive(Debug, Default)]
pub struct ResultOwners {
    begun: u64,
    /// The id of each question that is open, and of the connection that it was put to.
    open: HashMap<ByteString, Arc<str>>,
}

impl ResultOwners {
    /// Begins a question to this connection and gives it its id: `s1`, `s2` and so on
    /// ([SB-41](crate::spec::server_behaviour#sb-41)).
    pub fn begin(&mut self, connection_id: Arc<str>) -> ByteString {
        self.begun = self.begun.wrapping_add(1);
        let id = ByteString::from(format!("s{}", self.begun));
        self.expect(id.clone(), connection_id);
        id
    }

    /// Begins a question that has its id already: one of another server of a farm, or to a client of one.
    pub fn expect(&mut self, id: ByteString, connection_id: Arc<str>) {
        self.open.insert(id, connection_id);
    }

    /// The question has its answer, or nobody waits for it any more.
    pub fn end(&mut self, id: &str) {
        self.open.remove(id);
    }

    /// What to make of an answer from a connection that was not asked, or not any more. One that is too late is passed over
    /// ([SB-45](crate::spec::server_behaviour#sb-45)).
    ///
    /// # Errors
    /// [`ForeignAnswer`](DisconnectReason::ForeignAnswer) when another connection was asked: what to
    /// [close](super::ServerConnection::close_for) this one for ([SB-42](crate::spec::server_behaviour#sb-42)).
    pub fn judge(&self, id: &str, connection_id: &str) -> Result<(), DisconnectReason> {
        match self.open.get(id) {
            Some(asked) if **asked != *connection_id => Err(DisconnectReason::ForeignAnswer),
            Some(_) | None => Ok(()),
        }
    }
}

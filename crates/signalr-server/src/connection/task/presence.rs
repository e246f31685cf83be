//! A connection's place among the others of its hub.

use std::sync::Arc;

use crate::call::CallContext;
use crate::connection::mailbox::Order;
use crate::connection::{CallHandle, Connection};
use crate::limit::ConnectionPermit;
use crate::shared::Shared;

/// A connection's place in the hub's tables, given up however its task ends.
pub(super) struct Presence {
    pub(super) shared: Arc<Shared>,
    pub(super) connection: Arc<Connection>,
    /// Its places under the limits of connections.
    pub(super) _permits: Vec<ConnectionPermit>,
}

impl Presence {
    pub(super) fn context(&self, call: Arc<CallHandle>) -> CallContext {
        CallContext {
            shared: Arc::clone(&self.shared),
            connection: Arc::clone(&self.connection),
            call,
        }
    }

    /// Lets everybody know that the connection is over, while it still has its groups.
    pub(super) fn over(&self) {
        self.shared.forget(&self.connection);
        for order in self.connection.mailbox.close() {
            if let Order::Arrived(exchange) = order {
                exchange.gone();
            }
        }
        self.connection.aborted.cancel();
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.over();
        self.shared.registry.remove(&self.connection);
        if let Some(farm) = &self.shared.farm {
            farm.disconnect(&self.connection.id);
        }
    }
}

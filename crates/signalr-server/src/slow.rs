//! What clients that take too little have cost, of the whole hub.

use std::sync::atomic::{AtomicU64, Ordering};

use signalr_proto::server::DisconnectReason;

/// What clients that did not take what was sent to them have cost since the hub was built ([`HubServer::slow_client_stats`]).
///
/// [`HubServer::slow_client_stats`]: crate::HubServer::slow_client_stats
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlowClientStats {
    /// Messages that were dropped because more than the outgoing budget waited: the oldest ones with
    /// [`SlowClients::DropOldest`](crate::SlowClients), with [`SlowClients::Disconnect`](crate::SlowClients) the one that was too
    /// much. Connections that are over since count, too. What still waits when a connection ends is not counted.
    pub dropped_messages: u64,
    /// Connections that were ended because more than the outgoing budget waited, or because their transport took nothing for the
    /// send timeout.
    pub dropped_connections: u64,
}

/// The same while it is counted.
#[derive(Debug, Default)]
pub(crate) struct SlowCounters {
    dropped_messages: AtomicU64,
    dropped_connections: AtomicU64,
}

impl SlowCounters {
    pub(crate) fn message_dropped(&self) {
        self.dropped_messages.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection is over; it counts if it was too slow.
    pub(crate) fn connection_over(&self, reason: &DisconnectReason) {
        let slow = matches!(
            reason,
            DisconnectReason::SlowClient { .. } | DisconnectReason::SendTimeout { .. }
        );
        if slow {
            self.dropped_connections.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn stats(&self) -> SlowClientStats {
        SlowClientStats {
            dropped_messages: self.dropped_messages.load(Ordering::Relaxed),
            dropped_connections: self.dropped_connections.load(Ordering::Relaxed),
        }
    }
}

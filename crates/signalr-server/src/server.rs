//! A hub that is served, as the application holds it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use signalr_proto::backplane::BackplaneError;

use crate::backplane::BackplaneHandle;
use crate::clients::Clients;
use crate::connection::{Connection, Order};
use crate::groups::Groups;
use crate::locks::lock;
use crate::shared::Shared;
use crate::slow::SlowClientStats;

/// How long [`HubServer::shutdown`] waits for clients to take their Close message.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// A hub and its clients. Cheap to clone, and usable from anywhere in the application.
#[derive(Clone, Debug)]
pub struct HubServer {
    pub(crate) shared: Arc<Shared>,
}

impl HubServer {
    /// The hub's place in its farm. `None` without a [`backplane`](crate::HubServerBuilder::backplane).
    #[must_use]
    pub fn backplane(&self) -> Option<BackplaneHandle> {
        let farm = Arc::clone(self.shared.farm.as_ref()?);
        Some(BackplaneHandle { farm })
    }

    /// The clients, to send to.
    #[must_use]
    pub fn clients(&self) -> Clients {
        Clients {
            shared: Arc::clone(&self.shared),
            caller: None,
        }
    }

    /// The groups.
    #[must_use]
    pub fn groups(&self) -> Groups {
        Groups {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Ends a connection of this server with a Close message. `allow_reconnect` invites the client to come back. `false` when this
    /// server has no such connection: what servers of a farm say to each other has no word for it, so that those of other servers
    /// are not reached.
    ///
    /// # Errors
    /// None yet. They are for a backplane that carries it.
    #[expect(clippy::unused_async, reason = "so that a backplane can carry it")]
    pub async fn close(
        &self,
        connection_id: &str,
        allow_reconnect: bool,
    ) -> Result<bool, BackplaneError> {
        Ok(self.with(connection_id, |connection| {
            connection.close(allow_reconnect)
        }))
    }

    /// Loses a connection's transport without a word, as a broken network would. With stateful reconnect the client may come
    /// back. `false` when this server has no such connection. No backplane will carry it: it is for tests and operators, and sockets
    /// are where they are.
    pub fn cut(&self, connection_id: &str) -> bool {
        self.with(connection_id, |connection| {
            connection.mailbox.order(Order::Cut)
        })
    }

    /// Messages to this connection that were dropped because it did not take them. `None` when this server has no such
    /// connection. No backplane will carry it: only where a connection's messages wait is it known.
    #[must_use]
    pub fn dropped_messages(&self, connection_id: &str) -> Option<u64> {
        let connection = self.shared.registry.get(connection_id)?;
        Some(connection.mailbox.dropped())
    }

    /// What clients that did not take what was sent to them have cost this hub so far, those that are gone included. Every server
    /// of a farm counts its own.
    #[must_use]
    pub fn slow_client_stats(&self) -> SlowClientStats {
        self.shared.slow_counters.stats()
    }

    fn with(&self, connection_id: &str, act: impl FnOnce(&Connection)) -> bool {
        self.shared
            .registry
            .get(connection_id)
            .map(|connection| act(&connection))
            .is_some()
    }

    /// Takes no more clients, sends Close to those that are there, inviting them to reconnect, and waits until they are gone;
    /// who is still there after 5 seconds is cut. Other servers of a farm go on.
    ///
    /// Calls under way are not waited for. Their clients are told that the connection is over, streams are dropped, and methods go
    /// on unless they look out for [`cancelled`](crate::CallContext::cancelled) or the program ends.
    ///
    /// Together with axum's graceful shutdown, which waits for connections that would never end by themselves:
    ///
    /// ```no_run
    /// # use signalr_server::HubServer;
    /// # #[cfg(feature = "axum")]
    /// # async fn run(hub: HubServer, listener: tokio::net::TcpListener, app: axum::Router) -> std::io::Result<()> {
    /// axum::serve(listener, app)
    ///     .with_graceful_shutdown(async move {
    ///         drop(tokio::signal::ctrl_c().await);
    ///         hub.shutdown().await;
    ///     })
    ///     .await
    /// # }
    /// ```
    pub async fn shutdown(&self) {
        self.shared.shutting_down.store(true, Ordering::SeqCst);
        for connection in self.connections() {
            connection.close(true);
        }
        let gone = self.all_gone();
        if self
            .shared
            .clock
            .timeout(SHUTDOWN_TIMEOUT, gone)
            .await
            .is_none()
        {
            self.connections()
                .iter()
                .for_each(|connection| connection.abort());
        }
    }

    fn connections(&self) -> Vec<Arc<Connection>> {
        let routes = lock(&self.shared.routes);
        routes.connections.values().map(Arc::clone).collect()
    }

    async fn all_gone(&self) {
        loop {
            let removed = self.shared.registry.removed.notified();
            let mut removed = std::pin::pin!(removed);
            removed.as_mut().enable();
            if self.shared.registry.count() == 0 {
                return;
            }
            removed.await;
        }
    }
}

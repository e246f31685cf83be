//! What a hub method knows about its caller.

use std::fmt;
use std::sync::Arc;

use signalr_proto::TransportKind;
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::clients::{Audiences, Clients};
use crate::connection::{CallHandle, Connection};
use crate::error::GroupError;
use crate::extensions::Extensions;
use crate::groups::Groups;
use crate::request::HubRequest;
use crate::server::HubServer;
use crate::shared::Shared;
use crate::user::User;

/// The caller of a hub method and its surroundings: a parameter of hub methods that want it. Cheap to clone.
#[derive(Clone)]
pub struct CallContext {
    pub(crate) shared: Arc<Shared>,
    pub(crate) connection: Arc<Connection>,
    pub(crate) call: Arc<CallHandle>,
}

impl CallContext {
    /// The public id of the connection.
    #[must_use]
    pub fn connection_id(&self) -> &str {
        &self.connection.id
    }

    /// The user, if the hub authorizes users. After a refresh of the authentication it is the new one.
    #[must_use]
    pub fn user(&self) -> Option<User> {
        self.connection.user()
    }

    /// The id of the user.
    #[must_use]
    pub fn user_id(&self) -> Option<String> {
        self.user().map(|user| user.id().to_owned())
    }

    /// Values that the application keeps with the connection.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        &self.connection.extensions
    }

    /// The transport of the connection.
    #[must_use]
    pub fn transport(&self) -> Option<TransportKind> {
        self.connection.transport.get().copied()
    }

    /// The HTTP request that opened the connection.
    #[must_use]
    pub fn request(&self) -> &HubRequest {
        &self.connection.request
    }

    /// The first value of a header of that request, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.connection.request.header(name)
    }

    /// The first value of a query parameter of that request.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<String> {
        self.connection.request.parameter(name)
    }

    /// Ends the connection: what waits is sent, then a Close message that asks the client not to come back by itself. The caller's
    /// connection is always this server's, so no backplane has to carry it.
    pub fn close(&self) {
        self.connection.close(false);
    }

    /// Whether the connection, which is this server's, has ended or is ending.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.connection.aborted.is_cancelled()
    }

    /// Fires when the client cancels this very call, or the connection ends.
    #[must_use]
    pub fn cancellation(&self) -> CancellationToken {
        self.call.cancellation(&self.connection)
    }

    /// Waits until the connection ends, or the client cancels this very call.
    pub async fn cancelled(&self) {
        self.cancellation().cancelled().await;
    }

    /// The server of the hub, for what concerns other connections, such as to [close](HubServer::close) them.
    #[must_use]
    pub fn server(&self) -> HubServer {
        HubServer {
            shared: Arc::clone(&self.shared),
        }
    }

    /// The clients of the hub.
    #[must_use]
    pub fn clients(&self) -> Clients {
        Clients {
            shared: Arc::clone(&self.shared),
            caller: Some((Arc::clone(&self.connection), Arc::clone(&self.call))),
        }
    }

    /// The groups of the hub.
    #[must_use]
    pub fn groups(&self) -> Groups {
        Groups {
            shared: Arc::clone(&self.shared),
        }
    }

    /// The caller.
    #[must_use]
    pub fn caller(&self) -> Client {
        self.clients().client(&self.connection.id)
    }

    /// Everybody but the caller.
    #[must_use]
    pub fn others(&self) -> Audiences {
        self.clients().all_except([&*self.connection.id])
    }

    /// The members of a group but the caller.
    #[must_use]
    pub fn others_in_group(&self, name: &str) -> Audiences {
        self.clients().group(name).except([&*self.connection.id])
    }

    /// Adds the caller to a group. Done when messages to the group reach it.
    ///
    /// # Errors
    /// When a limit does not allow it, or the backplane cannot be reached.
    pub async fn join_group(&self, name: &str) -> Result<(), GroupError> {
        if self.is_gone() {
            return Ok(());
        }
        self.groups().join(&self.connection.id, name).await
    }

    /// Removes the caller from a group.
    ///
    /// # Errors
    /// None: this needs no other server.
    pub async fn leave_group(&self, name: &str) -> Result<(), GroupError> {
        if self.is_gone() {
            return Ok(());
        }
        self.groups().leave(&self.connection.id, name).await
    }
}

impl CallContext {
    /// Whether the caller has left for good. No other server of a farm need be asked for it then.
    fn is_gone(&self) -> bool {
        let id = &self.connection.id;
        self.shared.farm.is_some() && self.shared.registry.get(id).is_none()
    }
}

impl fmt::Debug for CallContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallContext")
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}

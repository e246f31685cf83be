//! What a hub method knows about its caller.

use std::fmt;
use std::sync::{Arc, Mutex};

use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use crate::clients::{Audiences, Client, Clients};
use crate::connection::{Connection, lock};
use crate::error::AskError;
use crate::request::HubRequest;
use crate::server::Shared;

/// One running call, or one welcome or farewell.
#[derive(Debug)]
pub(crate) struct Call {
    /// The right to run while further calls of the client wait.
    permit: Mutex<Option<OwnedSemaphorePermit>>,
    /// The client wants no answer any more.
    pub(crate) cancel: CancellationToken,
    /// While a client is welcomed, nothing that it sends is read.
    welcoming: bool,
}

impl Call {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            permit: Mutex::new(None),
            cancel: CancellationToken::new(),
            welcoming: false,
        })
    }

    pub(crate) fn welcoming() -> Arc<Self> {
        Arc::new(Self {
            permit: Mutex::new(None),
            cancel: CancellationToken::new(),
            welcoming: true,
        })
    }

    pub(crate) fn permit(&self, permit: OwnedSemaphorePermit) {
        *lock(&self.permit) = Some(permit);
    }

    /// Gives the permit back for good: this call is about to wait for its client.
    pub(crate) fn let_others_run(&self) -> Result<(), AskError> {
        if self.welcoming {
            return Err(AskError::NotYet);
        }
        drop(lock(&self.permit).take());
        Ok(())
    }
}

/// The caller of a hub method and its surroundings: a parameter of hub methods that want it. Cheap to clone.
#[derive(Clone)]
pub struct CallContext {
    pub(crate) shared: Arc<Shared>,
    pub(crate) connection: Arc<Connection>,
    pub(crate) call: Arc<Call>,
}

impl CallContext {
    /// The public id of the connection.
    #[must_use]
    pub fn connection_id(&self) -> &str {
        &self.connection.id
    }

    /// The id of the user, if the hub authorizes users.
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        self.connection.user_id()
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

    /// Ends the connection: what waits is sent, then a Close message that asks the client not to come back by itself.
    pub fn abort(&self) {
        self.connection.close(None, false);
    }

    /// Whether the connection has ended or is ending.
    #[must_use]
    pub fn is_aborted(&self) -> bool {
        self.connection.aborted.is_cancelled()
    }

    /// Waits until the connection ends, or the client cancels this very call.
    pub async fn cancelled(&self) {
        tokio::select! {
            () = self.call.cancel.cancelled() => {}
            () = self.connection.aborted.cancelled() => {}
        }
    }

    /// The clients of the hub.
    #[must_use]
    pub fn clients(&self) -> Clients {
        Clients {
            shared: Arc::clone(&self.shared),
            call: Some(Arc::clone(&self.call)),
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

    /// Adds the caller to a group.
    pub fn join_group(&self, name: &str) {
        self.shared.registry.join(&self.connection.id, name);
    }

    /// Removes the caller from a group.
    pub fn leave_group(&self, name: &str) {
        self.shared.registry.leave(&self.connection.id, name);
    }
}

impl fmt::Debug for CallContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallContext")
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}

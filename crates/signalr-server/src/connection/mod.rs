//! One client, as everybody but its own task sees it.

mod call_handle;
mod client_results;
pub(crate) mod mailbox;
mod memberships;
pub(crate) mod running;
mod task;
mod wires;

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, RwLock};

use signalr_proto::server::{ConnectionKey, DisconnectReason};
use signalr_proto::{Protocol, TransportKind};
use tokio_util::sync::CancellationToken;

use crate::extensions::Extensions;
use crate::locks::{read, write};
use crate::request::HubRequest;
use crate::user::User;

pub(crate) use call_handle::CallHandle;
pub(crate) use mailbox::{Mailbox, Order};
pub(crate) use memberships::{Joined, Memberships};
pub(crate) use task::Task;
pub(crate) use wires::{Answered, Exchange, Incoming};

/// What the hub, its methods and the connection's task share.
pub(crate) struct Connection {
    pub(crate) key: ConnectionKey,
    pub(crate) id: Arc<str>,
    pub(crate) request: HubRequest,
    user: RwLock<Option<User>>,
    pub(crate) protocol: OnceLock<Protocol>,
    pub(crate) transport: OnceLock<TransportKind>,
    pub(crate) extensions: Extensions,
    pub(crate) groups: Mutex<Memberships>,
    /// Fires when the connection is over, or has been told to end.
    pub(crate) aborted: CancellationToken,
    pub(crate) mailbox: Mailbox,
}

impl Connection {
    pub(crate) fn new(
        key: ConnectionKey,
        id: &str,
        request: HubRequest,
        user: Option<User>,
        mailbox: Mailbox,
    ) -> Self {
        Self {
            key,
            id: id.into(),
            request,
            user: RwLock::new(user),
            protocol: OnceLock::new(),
            transport: OnceLock::new(),
            extensions: Extensions::default(),
            groups: Mutex::default(),
            aborted: CancellationToken::new(),
            mailbox,
        }
    }

    pub(crate) fn user(&self) -> Option<User> {
        read(&self.user).clone()
    }

    pub(crate) fn set_user(&self, user: Option<User>) {
        *write(&self.user) = user;
    }

    /// Ends the connection with a Close message.
    pub(crate) fn close(&self, allow_reconnect: bool) {
        self.mailbox.order(Order::Close { allow_reconnect });
        self.aborted.cancel();
    }

    /// Ends the connection and drops its transport without a word and for good.
    pub(crate) fn abort(&self) {
        let reason = DisconnectReason::ClosedByServer;
        self.mailbox.order(Order::Abort(reason));
        self.aborted.cancel();
    }
}

/// Shows the public id only: the request may hold tokens, the mailbox payloads.
impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

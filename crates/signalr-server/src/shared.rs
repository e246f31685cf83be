//! What all parts of a served hub share.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use futures_core::future::BoxFuture;
use signalr_proto::server::{ConnectionKey, Endpoint, Identity, ResultOwners, ServerConnection};

use crate::authorize::Denial;
use crate::backplane::Farm;
use crate::connection::Connection;
use crate::limit::{ConnectionLimit, ConnectionPermit};
use crate::locks::lock;
use crate::options::HubOptions;
use crate::registry::Registry;
use crate::request::HubRequest;
use crate::runtime::Clock;
use crate::slow::SlowCounters;
use crate::user::User;

pub(crate) type Authorize =
    Box<dyn Fn(HubRequest) -> BoxFuture<'static, Result<Option<User>, Denial>> + Send + Sync>;

/// Spawns the task of a new connection, with its machine and its permits. Tasks run methods and filters; those see contexts, clients
/// and the server, all of which are made of what is shared. So what is shared knows no more of the application than this.
pub(crate) type Attend = Box<
    dyn Fn(&Arc<Shared>, &Arc<Connection>, Box<ServerConnection>, Vec<ConnectionPermit>)
        + Send
        + Sync,
>;

/// The machine of the route and the way to each connection.
pub(crate) struct Routes {
    pub(crate) endpoint: Endpoint,
    pub(crate) connections: HashMap<ConnectionKey, Arc<Connection>>,
    /// Somebody waits for negotiations to lapse.
    pub(crate) swept: bool,
}

/// What all parts of a served hub share: its connections and how they are reached, and nothing of the hub itself.
pub(crate) struct Shared {
    pub(crate) options: HubOptions,
    pub(crate) clock: Clock,
    pub(crate) registry: Registry,
    pub(crate) result_owners: Mutex<ResultOwners>,
    /// The other servers, if there may be any.
    pub(crate) farm: Option<Arc<Farm>>,
    pub(crate) routes: Mutex<Routes>,
    /// The hub's type, by which logs and metrics name it.
    pub(crate) name: &'static str,
    pub(crate) limits: Vec<ConnectionLimit>,
    pub(crate) authorize: Option<Authorize>,
    pub(crate) attend: Attend,
    pub(crate) shutting_down: AtomicBool,
    pub(crate) slow_counters: Arc<SlowCounters>,
    /// Tells tokens apart without keeping them.
    pub(crate) fingerprints: RandomState,
}

impl Shared {
    /// A connection is over: its tokens lead nowhere from now on.
    pub(crate) fn forget(&self, connection: &Connection) {
        let mut routes = lock(&self.routes);
        routes.endpoint.closed(connection.key);
        routes.connections.remove(&connection.key);
    }

    /// A user as the machines know them.
    pub(crate) fn identity(&self, request: &HubRequest, user: Option<&User>) -> Option<Identity> {
        let user = user?;
        let expires_at = user
            .lifetime()
            .map(|lifetime| self.clock.now().after(lifetime));
        let claims = self.fingerprints.hash_one(request.bearer_token());
        Some(Identity {
            user_id: Some(user.id_string().clone()),
            claims,
            expires_at,
        })
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(farm) = &self.farm {
            farm.stop();
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

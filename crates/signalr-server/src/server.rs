//! A hub that is served.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_core::future::BoxFuture;
use signalr_proto::backplane::{BackplaneConfig, BackplaneError};
use signalr_proto::server::{ConnectionKey, Endpoint, Identity};

use crate::authorize::Denial;
use crate::backplane::{Backplane, BackplaneDriver, BackplaneHandle, Farm};
use crate::call::CallContext;
use crate::clients::Clients;
use crate::connection::{Connection, Order};
use crate::error::{BuildError, HubError};
use crate::filter::{Filters, HubFilter, NextConnected, NextDisconnected};
use crate::groups::Groups;
use crate::hub::{AnyHub, Hub, HubMethods, Served};
use crate::ids::random;
use crate::limit::ConnectionLimit;
use crate::locks::lock;
use crate::options::HubOptions;
use crate::registry::{Registry, ResultOwners};
use crate::request::HubRequest;
use crate::runtime::{Clock, Runtime};
use crate::slow::{SlowClientStats, SlowCounters};
use crate::user::User;
use signalr_proto::server::DisconnectReason;

/// How long [`HubServer::shutdown`] waits for clients to take their Close message.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

type Authorize =
    Box<dyn Fn(HubRequest) -> BoxFuture<'static, Result<Option<User>, Denial>> + Send + Sync>;

type OnRefresh = Box<dyn Fn(CallContext, Option<User>) -> BoxFuture<'static, bool> + Send + Sync>;

/// The machine of the route and the way to each connection.
pub(crate) struct Routes {
    pub(crate) endpoint: Endpoint,
    pub(crate) connections: HashMap<ConnectionKey, Arc<Connection>>,
    /// Somebody waits for negotiations to lapse.
    pub(crate) swept: bool,
}

/// What all parts of a served hub share.
pub(crate) struct Shared {
    pub(crate) hub: Box<dyn AnyHub>,
    pub(crate) options: HubOptions,
    pub(crate) clock: Clock,
    pub(crate) registry: Registry,
    pub(crate) result_owners: ResultOwners,
    /// The other servers, if there may be any.
    pub(crate) farm: Option<Arc<Farm>>,
    pub(crate) routes: Mutex<Routes>,
    /// The hub's type, by which logs and metrics name it.
    pub(crate) name: &'static str,
    pub(crate) limits: Vec<ConnectionLimit>,
    pub(crate) filters: Filters,
    pub(crate) authorize: Option<Authorize>,
    pub(crate) on_authentication_refresh: Option<OnRefresh>,
    pub(crate) shutting_down: AtomicBool,
    pub(crate) slow_counters: Arc<SlowCounters>,
    /// Tells tokens apart without keeping them.
    fingerprints: RandomState,
}

impl Shared {
    /// A connection is over: its tokens lead nowhere from now on.
    pub(crate) fn forget(&self, connection: &Connection) {
        let mut routes = lock(&self.routes);
        routes.endpoint.closed(connection.key);
        routes.connections.remove(&connection.key);
    }

    pub(crate) async fn on_connected(
        self: Arc<Self>,
        context: CallContext,
    ) -> Result<(), HubError> {
        NextConnected::first(&self).run(context).await
    }

    pub(crate) async fn on_disconnected(
        self: Arc<Self>,
        context: CallContext,
        reason: DisconnectReason,
    ) {
        NextDisconnected::first(&self).run(context, reason).await;
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

/// Puts a [`HubServer`] together.
pub struct HubServerBuilder<H> {
    hub: H,
    options: HubOptions,
    limits: Vec<ConnectionLimit>,
    filters: Filters,
    authorize: Option<Authorize>,
    on_authentication_refresh: Option<OnRefresh>,
    backplane: Option<Joining>,
}

type ChangeBackplane = Box<dyn FnOnce(&mut BackplaneConfig) + Send>;

/// The farm that a hub shall be part of.
struct Joining {
    hub: Box<str>,
    backplane: Arc<dyn Backplane>,
    changes: Vec<ChangeBackplane>,
}

impl Joining {
    fn config(hub: Box<str>, options: &HubOptions) -> BackplaneConfig {
        let mut config = BackplaneConfig::new(hub, server_name());
        config.maximum_group_name_length = options.maximum_group_name_length;
        config.maximum_groups_per_connection = options.maximum_groups_per_connection;
        config
    }
}

/// As the official servers name themselves: the machine, and something that no other server has.
fn server_name() -> String {
    let machine = std::env::var("HOSTNAME").unwrap_or_else(|_| "server".to_owned());
    format!("{machine}_{:032x}", random())
}

impl<H: Hub> HubServerBuilder<H> {
    /// Sets the options.
    #[must_use]
    pub fn options(self, options: HubOptions) -> Self {
        Self { options, ..self }
    }

    /// Changes the options.
    #[must_use]
    pub fn configure(mut self, change: impl FnOnce(&mut HubOptions)) -> Self {
        change(&mut self.options);
        self
    }

    /// Takes at most so many connections for each key; further ones get the status 429. A request without a key is not limited.
    ///
    /// ```
    /// # use signalr_server::{Hub, HubMethods, HubRequest, HubServer, User};
    /// # struct Chat;
    /// # impl Hub for Chat { fn methods(_: &mut HubMethods<Self>) {} }
    /// let server = HubServer::builder(Chat)
    ///     .limit_connections(10, |_, user| user.map(|user| user.id().to_owned()))
    ///     .limit_connections(100, |request, _| Some(request.peer_address()?.ip().to_string()));
    /// # server.build().unwrap();
    /// ```
    #[must_use]
    pub fn limit_connections(
        mut self,
        most: usize,
        key: impl Fn(&HubRequest, Option<&User>) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.limits.push(ConnectionLimit::new(most, Box::new(key)));
        self
    }

    /// Adds a filter, further in than those that were added before.
    #[must_use]
    pub fn filter(mut self, filter: impl HubFilter) -> Self {
        self.filters.push(Box::new(filter));
        self
    }

    /// Decides who may connect, and who they are. Asked for every HTTP request and every WebSocket; an error is the HTTP
    /// status or the whole response of the refusal.
    ///
    /// ```
    /// use http::StatusCode;
    /// use signalr_server::{Hub, HubMethods, HubRequest, HubServer, User};
    ///
    /// # struct Chat;
    /// # impl Hub for Chat { fn methods(_: &mut HubMethods<Self>) {} }
    /// let server = HubServer::builder(Chat).authorize(|request: HubRequest| async move {
    ///     match request.bearer_token().as_deref() {
    ///         Some("correct horse") => Ok(Some(User::new("alice"))),
    ///         _ => Err(StatusCode::UNAUTHORIZED),
    ///     }
    /// });
    /// # server.build().unwrap();
    /// ```
    #[must_use]
    pub fn authorize<F, Fut, E>(mut self, authorize: F) -> Self
    where
        F: Fn(HubRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Option<User>, E>> + Send + 'static,
        E: Into<Denial> + 'static,
    {
        self.authorize = Some(Box::new(move |request| {
            let decision = authorize(request);
            Box::pin(async move { decision.await.map_err(Into::into) })
        }));
        self
    }

    /// Decides whether a connection goes on as the user whom a newer token names. Without it, every token that
    /// [`authorize`](Self::authorize) accepts for the same user is taken.
    #[must_use]
    pub fn on_authentication_refresh<F, Fut>(mut self, decide: F) -> Self
    where
        F: Fn(CallContext, Option<User>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = bool> + Send + 'static,
    {
        self.on_authentication_refresh = Some(Box::new(move |context, user| {
            Box::pin(decide(context, user))
        }));
        self
    }

    /// Makes this server one of a farm, whose servers reach each other's clients over a broker.
    ///
    /// `hub` is the full name of the hub's .NET type, such as `My.Chat.ChatHub`: what a farm's servers have in common, also those
    /// that run ASP.NET Core. The server connects to the broker when it is built, which has to happen where tasks can be spawned,
    /// and again whenever it loses it.
    #[must_use]
    pub fn backplane(mut self, hub: impl Into<Box<str>>, backplane: impl Backplane) -> Self {
        self.backplane = Some(Joining {
            hub: hub.into(),
            backplane: Arc::new(backplane),
            changes: Vec::new(),
        });
        self
    }

    /// Changes how this server takes part in its farm. Without a [`backplane`](Self::backplane) before it, nothing is changed.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use signalr_server::{Hub, HubMethods, HubServer, MemoryBackplane, WhenAway};
    /// # struct Chat;
    /// # impl Hub for Chat { fn methods(_: &mut HubMethods<Self>) {} }
    /// # let runtime = tokio::runtime::Runtime::new().unwrap();
    /// # let _context = runtime.enter();
    /// let server = HubServer::builder(Chat)
    ///     .backplane("My.Chat", MemoryBackplane::default())
    ///     .configure_backplane(|config| {
    ///         config.prefix = "live".into();
    ///         config.when_away = WhenAway::Wait(Duration::from_secs(10));
    ///     });
    /// # server.build().unwrap();
    /// ```
    #[must_use]
    pub fn configure_backplane(
        mut self,
        change: impl FnOnce(&mut BackplaneConfig) + Send + 'static,
    ) -> Self {
        if let Some(joining) = &mut self.backplane {
            joining.changes.push(Box::new(change));
        }
        self
    }

    /// The server, on tokio.
    ///
    /// # Errors
    /// When a method is registered twice, or an option would let nothing happen.
    #[cfg(feature = "tokio")]
    pub fn build(self) -> Result<HubServer, BuildError> {
        self.build_on(crate::Tokio)
    }

    /// The server, on another runtime.
    ///
    /// # Errors
    /// When a method is registered twice, or an option would let nothing happen.
    pub fn build_on(self, runtime: impl Runtime) -> Result<HubServer, BuildError> {
        self.options.validate()?;
        let hub = Box::new(Served {
            hub: Arc::new(self.hub),
            methods: HubMethods::of()?,
        });
        let endpoint = Endpoint::new(
            self.options.endpoint.clone(),
            self.options.connection.clone(),
        );
        let clock = Clock::start(Arc::new(runtime));
        let joined = self.backplane.map(|joining| {
            let mut config = Joining::config(joining.hub, &self.options);
            joining
                .changes
                .into_iter()
                .for_each(|change| change(&mut config));
            let protocols = self.options.connection.protocols.clone();
            let seed = RandomState::new().hash_one(&config.server_name);
            let farm = Farm::new(config, seed, clock.clone(), protocols);
            (Arc::new(farm), joining.backplane)
        });
        let shared = Shared {
            hub,
            options: self.options,
            clock,
            farm: joined.as_ref().map(|(farm, _)| Arc::clone(farm)),
            registry: Registry::default(),
            result_owners: ResultOwners::default(),
            routes: Mutex::new(Routes {
                endpoint,
                connections: HashMap::new(),
                swept: false,
            }),
            name: std::any::type_name::<H>(),
            limits: self.limits,
            filters: self.filters,
            authorize: self.authorize,
            on_authentication_refresh: self.on_authentication_refresh,
            shutting_down: AtomicBool::new(false),
            slow_counters: Arc::default(),
            fingerprints: RandomState::new(),
        };
        let shared = Arc::new(shared);
        if let Some((farm, backplane)) = joined {
            let driver = BackplaneDriver::new(farm, Arc::downgrade(&shared), backplane);
            shared.clock.spawn(driver.run());
        }
        Ok(HubServer { shared })
    }
}

impl<H> fmt::Debug for HubServerBuilder<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubServerBuilder")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// A hub and its clients. Cheap to clone, and usable from anywhere in the application.
#[derive(Clone, Debug)]
pub struct HubServer {
    pub(crate) shared: Arc<Shared>,
}

impl HubServer {
    /// Serves a hub with the default options, on tokio.
    ///
    /// # Errors
    /// When a method is registered twice.
    #[cfg(feature = "tokio")]
    pub fn new<H: Hub>(hub: H) -> Result<Self, BuildError> {
        Self::builder(hub).build()
    }

    /// Serves a hub with other options.
    #[must_use]
    pub fn builder<H: Hub>(hub: H) -> HubServerBuilder<H> {
        HubServerBuilder {
            hub,
            options: HubOptions::default(),
            limits: Vec::new(),
            filters: Filters::new(),
            authorize: None,
            on_authentication_refresh: None,
            backplane: None,
        }
    }

    /// The hub's place in its farm. `None` without a [`backplane`](HubServerBuilder::backplane).
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
    /// back. `false` when there is no such connection.
    pub fn cut(&self, connection_id: &str) -> bool {
        self.with(connection_id, |connection| {
            connection.mailbox.order(Order::Cut)
        })
    }

    /// Messages to this connection that were dropped because it did not take them. `None` when there is no such connection.
    #[must_use]
    pub fn dropped_messages(&self, connection_id: &str) -> Option<u64> {
        let connection = self.shared.registry.get(connection_id)?;
        Some(connection.mailbox.dropped())
    }

    /// What clients that did not take what was sent to them have cost this hub so far, those that are gone included.
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
    /// who is still there after 5 seconds is cut.
    ///
    /// Calls under way are not waited for. Their clients are told that the connection is over, streams are dropped, and methods go
    /// on unless they look out for [`cancelled`](CallContext::cancelled) or the program ends.
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

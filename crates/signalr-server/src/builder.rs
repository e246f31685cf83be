//! Puts a served hub together.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use signalr_proto::backplane::BackplaneConfig;
use signalr_proto::server::Endpoint;

use crate::application::{Application, OnRefresh};
use crate::authorize::Denial;
use crate::backplane::{Backplane, BackplaneDriver, Farm};
use crate::call::CallContext;
use crate::connection::Task;
use crate::error::BuildError;
use crate::filter::{Filters, HubFilter};
use crate::hub::{Hub, HubMethods, Served};
use crate::ids::random;
use crate::limit::ConnectionLimit;
use crate::options::HubOptions;
use crate::registry::Registry;
use crate::request::HubRequest;
use crate::runtime::{Clock, Runtime};
use crate::server::HubServer;
use crate::shared::{Authorize, Routes, Shared};
use crate::user::User;

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

/// How servers come to be.
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
        let application = Arc::new(Application {
            hub,
            filters: self.filters,
            on_authentication_refresh: self.on_authentication_refresh,
        });
        let shared = Shared {
            options: self.options,
            clock,
            farm: joined.as_ref().map(|(farm, _)| Arc::clone(farm)),
            registry: Registry::default(),
            result_owners: Mutex::default(),
            routes: Mutex::new(Routes {
                endpoint,
                connections: HashMap::new(),
                swept: false,
            }),
            name: std::any::type_name::<H>(),
            limits: self.limits,
            authorize: self.authorize,
            attend: Box::new(move |shared, connection, machine, permits| {
                let task = Task::new(&application, shared, connection, machine, permits);
                shared.clock.spawn(task.run());
            }),
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

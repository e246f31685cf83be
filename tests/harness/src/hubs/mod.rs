//! The test hubs: the methods and administration that the official clients' test suites expect of a server.
//!
//! They mirror the hubs of the reference server that the interoperability tests run against, with .NET's types and texts.

mod dto;
mod http;
mod methods;
mod numbers;
pub mod on_smol;
mod sends;
mod streams;
mod times;
mod values;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::http::StatusCode;
use axum::Router;
use signalr_server::{
    Backplane, BackplaneHandle, BuildError, CallContext, Clients, DisconnectReason, EndpointConfig,
    Hub, HubError, HubMethods, HubOptions, HubRequest, HubServer, Origins, Runtime, Tokio,
    TransportKind, User,
};

/// One path that serves a hub.
#[derive(Clone, Debug)]
struct Place {
    path: &'static str,
    class: Class,
    server: HubServer,
}

/// The farm that the hubs are part of.
#[derive(Clone, Debug)]
struct Farm {
    backplane: Arc<dyn Backplane>,
    prefix: Box<str>,
}

/// What the hubs share: their runtime, counters, and each other.
#[derive(Clone, Debug)]
pub struct World {
    runtime: Arc<dyn Runtime>,
    farm: Option<Farm>,
    counters: Arc<Mutex<BTreeMap<String, i64>>>,
    places: Arc<Mutex<Vec<Place>>>,
}

impl World {
    fn new(runtime: Arc<dyn Runtime>, farm: Option<Farm>) -> Self {
        Self {
            runtime,
            farm,
            counters: Arc::default(),
            places: Arc::default(),
        }
    }

    async fn sleep(&self, duration: Duration) {
        self.runtime.sleep(duration).await;
    }

    fn add(&self, counter: &str) {
        *lock(&self.counters).entry(counter.to_owned()).or_default() += 1;
    }

    fn counters(&self) -> BTreeMap<String, i64> {
        lock(&self.counters).clone()
    }

    fn servers(&self) -> Vec<HubServer> {
        let places = lock(&self.places);
        places.iter().map(|place| place.server.clone()).collect()
    }

    /// The clients of a class of hubs, path by path: for .NET, paths of one class are one hub. In a farm they are one here, too,
    /// and any of the paths leads to all of them.
    fn clients(&self, class: Class) -> Vec<(&'static str, Clients)> {
        let places = lock(&self.places);
        let same = places.iter().filter(|place| place.class == class);
        let paths = if self.farm.is_some() { 1 } else { usize::MAX };
        same.take(paths)
            .map(|place| (place.path, place.server.clients()))
            .collect()
    }

    /// The hub at this path.
    #[must_use]
    pub fn server(&self, path: &str) -> Option<HubServer> {
        let places = lock(&self.places);
        let found = places.iter().find(|place| place.path == path)?;
        Some(found.server.clone())
    }

    /// The hubs' places in their farm.
    #[must_use]
    pub fn backplanes(&self) -> Vec<BackplaneHandle> {
        let servers = self.servers();
        servers.iter().filter_map(HubServer::backplane).collect()
    }

    /// Shuts every hub down.
    pub async fn shutdown(&self) {
        futures_util::future::join_all(self.servers().iter().map(HubServer::shutdown)).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The classes of the reference server's hubs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Test,
    Detailed,
    Parallel,
    Tiny,
    Large,
    Auth,
    /// Calls the client as soon as it is connected.
    Greeting,
    /// Refuses every client after the handshake.
    Failing,
}

impl Class {
    /// The reference server has no namespaces.
    const fn name(self) -> &'static str {
        match self {
            Self::Test => "TestHub",
            Self::Detailed => "DetailedHub",
            Self::Parallel => "ParallelHub",
            Self::Tiny => "TinyHub",
            Self::Large => "LargeHub",
            Self::Auth => "AuthHub",
            Self::Greeting => "GreetingHub",
            Self::Failing => "FailingHub",
        }
    }
}

/// All test hubs are of this type; those that ask clients are the other half of it.
#[derive(Debug)]
pub struct TestHub<const ASKS: bool> {
    world: World,
    path: &'static str,
    class: Class,
}

type This<const ASKS: bool> = Arc<TestHub<ASKS>>;

impl<const ASKS: bool> TestHub<ASKS> {
    /// The clients that .NET would count to this hub, path by path. In a farm, the caller's path leads to all of them.
    fn places(&self, context: &CallContext) -> Vec<(&'static str, Clients)> {
        if self.world.farm.is_some() {
            return vec![(self.path, context.clients())];
        }
        self.world.clients(self.class)
    }
}

/// What .NET's `string` is: it may always be null.
type Text = Option<String>;

/// Errors whose texts clients must not see, under the names that .NET has for such.
macro_rules! exceptions {
    ($($name:ident),+) => {$(
        #[derive(Debug)]
        struct $name(String);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::error::Error for $name {}
    )+};
}

exceptions!(
    ArgumentException,
    ArgumentNullException,
    ArgumentOutOfRangeException,
    InvalidOperationException,
    NullReferenceException
);

/// What using a null as if it were none gives.
fn null_reference() -> HubError {
    NullReferenceException("Object reference not set to an instance of an object.".to_owned())
        .into()
}

/// An argument that must not be null.
fn required(value: Text, parameter: &str) -> Result<String, HubError> {
    value.ok_or_else(|| {
        ArgumentNullException(format!("Value cannot be null. (Parameter '{parameter}')")).into()
    })
}

impl<const ASKS: bool> Hub for TestHub<ASKS> {
    fn methods(methods: &mut HubMethods<Self>) {
        methods::echoes(methods);
        methods::plain(methods);
        methods::about_the_caller(methods);
        streams::streams(methods);
        sends::sends(methods);
        sends::groups(methods);
        if ASKS {
            sends::questions(methods);
        }
    }

    async fn on_connected(&self, context: &CallContext) -> Result<(), HubError> {
        if self.class == Class::Failing {
            return Err(HubError::new("not today"));
        }
        self.world.add("connected");
        if self.class == Class::Greeting {
            for number in 0..3 {
                context.caller().send("Welcome", (number,)).await?;
            }
        }
        Ok(())
    }

    async fn on_disconnected(&self, _: &CallContext, reason: &DisconnectReason) {
        self.world.add(if reason.is_error() {
            "disconnected-with-error"
        } else {
            "disconnected"
        });
    }
}

/// The token is the user's name; `expired` is refused; one that begins with `short` is valid for two seconds.
fn user(request: &HubRequest) -> Option<User> {
    let token = request.bearer_token().filter(|token| token != "expired")?;
    let user = User::new(&token);
    Some(if token.starts_with("short") {
        user.expires_after(Duration::from_secs(2))
    } else {
        user
    })
}

/// The routes, and the world behind them, on tokio.
///
/// # Errors
/// When a hub cannot be served.
pub fn test_hubs() -> Result<(Router, World), BuildError> {
    test_hubs_on(Tokio)
}

/// The same, on another runtime.
///
/// # Errors
/// When a hub cannot be served.
pub fn test_hubs_on(runtime: impl Runtime) -> Result<(Router, World), BuildError> {
    serve_all(World::new(Arc::new(runtime), None))
}

/// The same, on tokio and as one server of a farm: with the reference server's names of channels behind this prefix.
///
/// # Errors
/// When a hub cannot be served.
pub fn test_hubs_in_farm(
    backplane: Arc<dyn Backplane>,
    prefix: &str,
) -> Result<(Router, World), BuildError> {
    let prefix = prefix.into();
    let farm = Farm { backplane, prefix };
    serve_all(World::new(Arc::new(Tokio), Some(farm)))
}

fn serve_all(world: World) -> Result<(Router, World), BuildError> {
    let mut router = Router::new();
    for (path, class, change) in HUBS {
        let server = if *class == Class::Parallel {
            serve::<true>(&world, path, *class, *change)
        } else {
            serve::<false>(&world, path, *class, *change)
        }?;
        router = router.merge(server.router(path));
        lock(&world.places).push(Place {
            path,
            class: *class,
            server,
        });
    }
    let router = router
        .merge(http::services())
        .merge(http::administration(world.clone()))
        .layer(axum::middleware::from_fn(http::cross_origin));
    Ok((router, world))
}

fn serve<const ASKS: bool>(
    world: &World,
    path: &'static str,
    class: Class,
    change: fn(&mut HubOptions),
) -> Result<HubServer, BuildError> {
    let (farm, runtime) = (world.farm.clone(), Arc::clone(&world.runtime));
    let world = world.clone();
    let hub = TestHub::<ASKS> { world, path, class };
    let mut builder = HubServer::builder(hub);
    if let Some(Farm { backplane, prefix }) = farm {
        builder = builder
            .backplane(class.name(), backplane)
            .configure_backplane(move |config| config.prefix = prefix);
    }
    builder
        // Pages of any origin may do anything here, as at the reference server.
        .configure(|options| options.endpoint.origins = Origins::Any)
        .configure(change)
        .authorize(move |request: HubRequest| async move {
            match user(&request) {
                None if class == Class::Auth => Err(StatusCode::UNAUTHORIZED),
                user => Ok(user),
            }
        })
        .build_on(runtime)
}

type Row = (&'static str, Class, fn(&mut HubOptions));

const HUBS: &[Row] = &[
    ("/hub", Class::Test, |options| {
        options.endpoint.stateful_reconnect = true;
    }),
    ("/nostateful", Class::Test, |_| {}),
    ("/detailed", Class::Detailed, |options| {
        options.connection.enable_detailed_errors = true;
    }),
    ("/parallel", Class::Parallel, |options| {
        options.connection.maximum_parallel_invocations = 16;
    }),
    ("/tiny", Class::Tiny, |options| {
        options.connection.limits.max_message_size = 1024;
        options.connection.keep_alive_interval = Duration::from_millis(500);
        options.connection.client_timeout_interval = Duration::from_secs(2);
        options.connection.handshake_timeout = Duration::from_secs(1);
    }),
    ("/large", Class::Large, |options| {
        options.connection.limits.max_message_size = usize::MAX;
        options.connection.limits.max_outgoing_bytes = 64 << 20;
        options.connection.application_max_buffer_size = 64 << 20;
        options.endpoint.stateful_reconnect = true;
    }),
    ("/auth", Class::Auth, |_| {}),
    ("/expiring", Class::Auth, |options| {
        options.endpoint.close_on_authentication_expiration = true;
    }),
    ("/greeting", Class::Greeting, |_| {}),
    ("/failing", Class::Failing, |_| {}),
    ("/websockets", Class::Test, |options| {
        options.endpoint.transports = vec![TransportKind::WebSockets];
    }),
    ("/sse", Class::Test, |options| {
        options.endpoint.transports = vec![TransportKind::ServerSentEvents];
    }),
    ("/longpolling", Class::Test, |options| {
        options.endpoint.transports = vec![TransportKind::LongPolling];
        options.connection.poll_timeout = Duration::from_secs(5);
    }),
    // Not at the reference server: what a hub is like that nobody configured.
    ("/same-origin", Class::Test, |options| {
        options.endpoint.origins = EndpointConfig::default().origins;
    }),
];

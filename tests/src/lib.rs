//! Scenarios that a client and a server must get through together, whatever the runtime and the encoding.
//!
//! They are written once, over any [`Platform`] runtime, and expect the hubs of the reference server. A server that lacks some of
//! them says so with [`Capabilities`], and the scenarios that need them are left out.

pub mod own;
pub mod reference;
mod scenarios;
pub mod session;
pub mod wire;

use core::future::Future;
use core::pin::Pin;
use core::time::Duration;
use std::panic::AssertUnwindSafe;

use futures_util::{FutureExt as _, StreamExt as _, future, stream};
use signalr_client::{Protocol, Spawn, TransportKind};

pub use session::Session;

/// A runtime that scenarios can make for themselves.
pub trait Platform: Spawn + Default {}

impl<R: Spawn + Default> Platform for R {}

/// An error with its causes, which it does not tell by itself.
#[must_use]
pub fn with_causes(error: &(dyn core::error::Error + 'static)) -> String {
    let causes = core::iter::successors(Some(error), |error| error.source());
    let words: Vec<_> = causes.map(ToString::to_string).collect();
    words.join(": ")
}

/// How a scenario ends: well, or with what is wrong.
pub type Outcome = Result<(), Failure>;
/// What is wrong.
pub type Failure = Box<dyn core::error::Error + Send + Sync>;

type Running = Pin<Box<dyn Future<Output = Outcome>>>;

/// Something that must work.
pub struct Scenario<R> {
    /// What must work, as a sentence without a subject.
    pub name: &'static str,
    needs: Need,
    run: fn(Session<R>) -> Running,
}

impl<R> core::fmt::Debug for Scenario<R> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Scenario")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// Any server with the hub `/hub`.
    Basic,
    /// The negotiate answers of a service in front of a hub.
    Redirects,
    /// Tokens.
    Auth,
    /// The texts of the official server's errors and the values of its types.
    DotNet,
    /// `/admin`.
    Admin,
}

/// What a server offers beside the plain hub.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Capabilities {
    /// `/redirect`, `/loop`, `/refused`, `/broken`, `/classic`, `/unavailable`.
    pub redirects: bool,
    /// `/auth` and `/expiring`.
    pub auth: bool,
    /// Behaves as .NET does down to types and texts.
    pub dot_net: bool,
    /// `/admin/cut/ID` and its like.
    pub admin: bool,
}

impl Capabilities {
    /// Those of the reference server.
    pub const ALL: Self = Self {
        redirects: true,
        auth: true,
        dot_net: true,
        admin: true,
    };
    /// Those of a server with just the hubs.
    pub const NONE: Self = Self {
        redirects: false,
        auth: false,
        dot_net: false,
        admin: false,
    };

    const fn cover(self, need: Need) -> bool {
        match need {
            Need::Basic => true,
            Need::Redirects => self.redirects,
            Need::Auth => self.auth,
            Need::DotNet => self.dot_net,
            Need::Admin => self.admin,
        }
    }
}

/// Every transport with every encoding that it can carry.
pub const WAYS: [(TransportKind, Protocol); 5] = [
    (TransportKind::WebSockets, Protocol::Json),
    (TransportKind::WebSockets, Protocol::MessagePack),
    (TransportKind::ServerSentEvents, Protocol::Json),
    (TransportKind::LongPolling, Protocol::Json),
    (TransportKind::LongPolling, Protocol::MessagePack),
];

/// Runs all scenarios in every one of these ways at the same time, or those that `SIGNALR_ONLY` picks, and gives the failures.
pub async fn run_in<R: Platform>(url: &str, ways: &[(TransportKind, Protocol)]) -> Vec<String> {
    let only = std::env::var("SIGNALR_ONLY").ok();
    let runs = ways.iter().map(|(transport, protocol)| {
        run::<R>(
            url,
            *protocol,
            *transport,
            Capabilities::ALL,
            only.as_deref(),
        )
    });
    future::join_all(runs).await.concat()
}

/// How long one scenario may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Scenarios under way at the same time.
const AT_ONCE: usize = 24;

/// Runs all scenarios that the server is capable of and gives the failures, one line for each. `only` picks those whose names
/// contain it.
pub async fn run<R: Platform>(
    url: &str,
    protocol: Protocol,
    transport: TransportKind,
    capabilities: Capabilities,
    only: Option<&str>,
) -> Vec<String> {
    let session = Session::<R>::new(url, protocol, transport);
    let chosen = scenarios::all::<R>().into_iter().filter(|scenario| {
        capabilities.cover(scenario.needs) && only.is_none_or(|only| scenario.name.contains(only))
    });
    let running = chosen.map(|scenario| attempt(scenario, session.clone()));
    stream::iter(running)
        .buffer_unordered(AT_ONCE)
        .filter_map(future::ready)
        .collect()
        .await
}

async fn attempt<R: Platform>(scenario: Scenario<R>, session: Session<R>) -> Option<String> {
    let (protocol, transport) = (session.protocol().name(), session.transport().name());
    let patience = Box::pin(async { R::default().sleep(PATIENCE).await });
    let running = AssertUnwindSafe((scenario.run)(session)).catch_unwind();
    let outcome = match future::select(running, patience).await {
        future::Either::Left((Ok(outcome), _)) => outcome.map_err(|failure| failure.to_string()),
        future::Either::Left((Err(_), _)) => Err("it panicked".into()),
        future::Either::Right(_) => Err(format!("it hung for {PATIENCE:?}")),
    };
    outcome
        .err()
        .map(|failure| format!("{protocol} over {transport}: {}: {failure}", scenario.name))
}

/// Fails the scenario unless both are equal.
#[macro_export]
macro_rules! ensure_eq {
    ($left:expr, $right:expr $(,)?) => {{
        let (left, right) = (&$left, &$right);
        if !(*left == *right) {
            return Err(format!("line {}: {:?} is not {:?}", line!(), left, right).into());
        }
    }};
}

/// Fails the scenario unless this holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($detail:tt)+) => {
        if !$condition {
            return Err(format!("line {}: {}", line!(), format!($($detail)+)).into());
        }
    };
}

/// The loop in the guide is a test.
#[doc = include_str!("../../docs/embedding.md")]
#[cfg(doctest)]
struct Embedding;

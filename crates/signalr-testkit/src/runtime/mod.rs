//! Whose time a test runs in: its own, or tokio's.

mod executor;
mod patience;

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::Arc;

pub(crate) use executor::LIMIT;
pub use executor::run;
pub(crate) use patience::{Patience, words};

use executor::Virtual;

/// More than a paused clock can be behind.
#[cfg(feature = "tokio")]
const BEFORE_EPOCH: Duration = Duration::from_secs(1000 * 24 * 60 * 60);

/// Any moment will do, as long as it is always the same.
#[cfg(any(feature = "tokio", feature = "server"))]
fn epoch() -> std::time::Instant {
    static EPOCH: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    *EPOCH.get_or_init(std::time::Instant::now)
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs a task beside the test: the driver of a connection, say.
///
/// # Panics
/// Outside of [`run`] and of tokio.
pub fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    Clock::current().spawn(Box::pin(task));
}

/// Lets time pass. What is due meanwhile happens meanwhile.
///
/// # Panics
/// Outside of [`run`] and of tokio.
pub fn sleep(duration: Duration) -> Sleep {
    Clock::current().sleep(duration)
}

/// The test's time: since its beginning in [`run`]; within tokio only the difference of two times has a meaning.
///
/// # Panics
/// Outside of [`run`] and of tokio.
#[must_use]
pub fn now() -> Duration {
    Clock::current().now()
}

/// The future of [`sleep`].
#[must_use = "futures do nothing unless they are polled"]
pub struct Sleep(Pin<Box<dyn Future<Output = ()> + Send>>);

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").finish_non_exhaustive()
    }
}

/// Where tasks and time come from, kept for places that are outside of both.
#[derive(Clone)]
pub(crate) enum Clock {
    Virtual(Arc<Virtual>),
    #[cfg(feature = "tokio")]
    Tokio(tokio::runtime::Handle),
}

impl Clock {
    /// That of the test which is running here.
    pub(crate) fn current() -> Self {
        if let Some(shared) = Virtual::current() {
            return Self::Virtual(shared);
        }
        #[cfg(feature = "tokio")]
        if let Ok(handle) = tokio::runtime::Handle::try_current() {
            return Self::Tokio(handle);
        }
        panic!(
            "signalr_testkit needs to know whose time it is: call it inside of signalr_testkit::run(async {{ … }}) or of a tokio test"
        );
    }

    pub(crate) fn spawn(&self, task: Task) {
        match self {
            Self::Virtual(shared) => shared.spawn(task),
            #[cfg(feature = "tokio")]
            Self::Tokio(handle) => drop(handle.spawn(task)),
        }
    }

    pub(crate) fn sleep(&self, duration: Duration) -> Sleep {
        Sleep(match self {
            Self::Virtual(shared) => Box::pin(shared.sleep(duration)),
            #[cfg(feature = "tokio")]
            Self::Tokio(handle) => {
                let _entered = handle.enter();
                Box::pin(tokio::time::sleep(duration))
            }
        })
    }

    pub(crate) fn now(&self) -> Duration {
        match self {
            Self::Virtual(shared) => shared.now(),
            #[cfg(feature = "tokio")]
            Self::Tokio(handle) => {
                let epoch = epoch();
                let _entered = handle.enter();
                let now = tokio::time::Instant::now().into_std();
                // A paused clock may have stopped before this epoch.
                match now.checked_duration_since(epoch) {
                    Some(since) => BEFORE_EPOCH + since,
                    None => BEFORE_EPOCH.saturating_sub(epoch.duration_since(now)),
                }
            }
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Virtual(_) => "Virtual",
            #[cfg(feature = "tokio")]
            Self::Tokio(_) => "Tokio",
        })
    }
}

/// The runtime of hubs that are tested: the time of [`run`] or of tokio, whichever the test runs in.
///
/// ```
/// use signalr_server::{Hub, HubMethods, HubServer};
/// use signalr_testkit::TestRuntime;
///
/// struct Chat;
///
/// impl Hub for Chat {
///     fn methods(_: &mut HubMethods<Self>) {}
/// }
///
/// signalr_testkit::run(async {
///     let hub = HubServer::builder(Chat).build_on(TestRuntime::current()).unwrap();
/// });
/// ```
#[cfg(feature = "server")]
#[derive(Clone, Debug)]
pub struct TestRuntime(Clock);

#[cfg(feature = "server")]
impl TestRuntime {
    /// That of the test which is running here.
    ///
    /// # Panics
    /// Outside of [`run`] and of tokio.
    #[must_use]
    pub fn current() -> Self {
        Self(Clock::current())
    }
}

#[cfg(feature = "server")]
impl signalr_server::Runtime for TestRuntime {
    fn spawn(&self, task: futures_util::future::BoxFuture<'static, ()>) {
        self.0.spawn(task);
    }

    fn sleep(&self, duration: Duration) -> futures_util::future::BoxFuture<'static, ()> {
        self.0.sleep(duration).0
    }

    fn now(&self) -> std::time::Instant {
        epoch() + self.0.now()
    }
}

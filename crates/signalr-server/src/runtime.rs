//! What a served hub needs of an async runtime: time, and somebody to run the tasks of its connections.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_core::future::BoxFuture;

/// An async runtime that can serve hubs. tokio is the default (feature `tokio`); any other takes a few lines:
///
/// ```
/// use std::time::Duration;
/// use futures_util::future::BoxFuture;
/// use signalr_server::Runtime;
///
/// #[derive(Debug)]
/// struct Smol;
///
/// impl Runtime for Smol {
///     fn spawn(&self, task: BoxFuture<'static, ()>) {
///         smol::spawn(task).detach();
///     }
///     fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
///         Box::pin(async move { _ = smol::Timer::after(duration).await })
///     }
/// }
/// # fn main() {}
/// ```
pub trait Runtime: fmt::Debug + Send + Sync + 'static {
    /// Runs a task to its end in the background. One runs for each connection.
    fn spawn(&self, task: BoxFuture<'static, ()>);

    /// Is done after this time.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;

    /// The present time. Override it together with [`sleep`](Self::sleep) where time is simulated.
    fn now(&self) -> Instant {
        Instant::now()
    }
}

impl<R: Runtime + ?Sized> Runtime for Arc<R> {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        (**self).spawn(task);
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        (**self).sleep(duration)
    }

    fn now(&self) -> Instant {
        (**self).now()
    }
}

/// tokio, whose context is needed wherever a hub is served or sent to.
#[cfg(feature = "tokio")]
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "there is nothing to configure")]
pub struct Tokio;

#[cfg(feature = "tokio")]
impl Runtime for Tokio {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}

/// The runtime and the epoch that the machines' times count from.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    runtime: Arc<dyn Runtime>,
    epoch: Instant,
}

impl Clock {
    pub(crate) fn start(runtime: Arc<dyn Runtime>) -> Self {
        let epoch = runtime.now();
        Self { runtime, epoch }
    }

    pub(crate) fn now(&self) -> signalr_proto::Instant {
        signalr_proto::Instant(self.runtime.now().saturating_duration_since(self.epoch))
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(Box::pin(task));
    }

    pub(crate) fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.runtime.sleep(duration)
    }

    /// `None` when the time is up first.
    pub(crate) async fn timeout<T>(
        &self,
        duration: Duration,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        use futures_util::future::{Either, select};
        let future = std::pin::pin!(future);
        match select(future, self.sleep(duration)).await {
            Either::Left((output, _)) => Some(output),
            Either::Right(_) => None,
        }
    }
}

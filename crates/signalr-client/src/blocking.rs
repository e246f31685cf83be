//! Connections for threads without an async runtime: plain programs, and loops that draw frames.
//!
//! ```no_run
//! use signalr_client::HubConnection;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let connection = HubConnection::builder("http://localhost:5000/chat").build_blocking()?;
//!     connection.on("Receive", |user: String, text: String| println!("{user}: {text}"));
//!     connection.start()?;
//!     connection.call("Send", ("me", "hello"))?;
//!     connection.stop();
//!     Ok(())
//! }
//! ```
//!
//! A connection lives on a thread of its own, where its handlers run too. They may not wait for that connection: whatever would is
//! an error there. Async handlers can call it, by the [`WeakHubConnection`](crate::WeakHubConnection) among their parameters.
//! Within an async runtime use the [`HubConnection`](crate::HubConnection) that is async: these would block its threads.

use core::fmt;
use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::Wake;
use std::thread::{self, Thread, ThreadId};

use serde::de::DeserializeOwned;
use signalr_net::{Runtime, Spawn, Task};
use signalr_proto::client::ConnectionState;
use signalr_tokio::Tokio;

use crate::arguments::CallArguments;
use crate::builder::HubConnectionBuilder;
use crate::call::ItemStream;
use crate::error::{BuildError, CallError, CallErrorKind, StartError, StartErrorKind};
use crate::handler::{Handler, Subscription, WithState};

impl HubConnectionBuilder {
    /// A connection for threads without an async runtime, not started yet; see [`blocking`](crate::blocking).
    ///
    /// # Errors
    /// As those of [`build_on`](Self::build_on), and [`BuildError::Thread`] when the system has no room for another thread's sockets.
    pub fn build_blocking(self) -> Result<HubConnection, BuildError> {
        let background = Background::new()?;
        let driver = Arc::clone(&background.driver);
        let hub = self.build_on(background)?;
        Ok(HubConnection {
            hub,
            driver,
            timeout: None,
        })
    }
}

/// A connection to a SignalR hub whose methods wait. Cloning it is cheap and gives another handle to the same connection, for this
/// thread or another.
///
/// When the last handle is dropped the connection is stopped in the background; [`stop`](Self::stop) waits for that, as programs
/// want that end afterwards.
#[derive(Clone)]
pub struct HubConnection {
    hub: crate::HubConnection,
    driver: Arc<OnceLock<ThreadId>>,
    timeout: Option<Duration>,
}

impl HubConnection {
    /// Connects, and waits until that is done or has failed.
    ///
    /// # Errors
    /// As those of the async [`start`](crate::HubConnection::start); within a handler of this connection
    /// [`StartErrorKind::InsideHandler`].
    pub fn start(&self) -> Result<(), StartError> {
        if self.is_inside() {
            let address = self.hub.address();
            return Err(StartError::new(address, StartErrorKind::InsideHandler));
        }
        block_on(self.hub.start())
    }

    /// Connects in the background: for loops that cannot wait. They look at the [`Pending`] now and then.
    pub fn begin_start(&self) -> Pending<Result<(), StartError>> {
        let hub = self.hub.clone();
        Pending::new(async move { hub.start().await })
    }

    /// Closes the connection in an orderly way and waits until that is done; within a handler of this connection it does not wait.
    pub fn stop(&self) {
        if self.is_inside() {
            let hub = self.hub.clone();
            // The first look asks for it.
            let _ = Pending::new(async move { hub.stop().await }).poll();
        } else {
            block_on(self.hub.stop());
        }
    }

    /// What the connection is doing.
    #[must_use]
    pub fn state(&self) -> ConnectionState {
        self.hub.state()
    }

    /// The same connection for async code, and for all that does not wait: events, observers, statistics.
    #[must_use]
    pub const fn as_async(&self) -> &crate::HubConnection {
        &self.hub
    }

    /// A handle whose calls wait this long for their answers, and fail with [`CallErrorKind::Timeout`] then. Default: for as long as
    /// the connection lasts.
    #[must_use]
    pub fn timeout(&self, after: Duration) -> Self {
        let mut other = self.clone();
        other.timeout = Some(after);
        other
    }

    /// Has the server's calls of `target` handled; see the async [`on`](crate::HubConnection::on). Handlers run on the connection's
    /// thread.
    pub fn on<M>(&self, target: impl AsRef<str>, handler: impl Handler<M>) -> Subscription {
        self.hub.on(target, handler)
    }

    /// Like [`on`](Self::on), for a handler whose first parameter is a clone of `state`.
    pub fn on_with<S, F, M>(&self, state: S, target: impl AsRef<str>, handler: F) -> Subscription
    where
        WithState<S, F>: Handler<M>,
    {
        self.hub.on_with(state, target, handler)
    }

    /// Removes a handler; false if it was gone already.
    pub fn off(&self, subscription: &Subscription) -> bool {
        self.hub.off(subscription)
    }

    /// Calls a method and waits for its result, which is read as `T`; `()` takes anything.
    ///
    /// # Errors
    /// As those of the async [`invoke`](crate::HubConnection::invoke); within a handler of this connection
    /// [`CallErrorKind::InsideHandler`].
    pub fn invoke<T: DeserializeOwned + 'static>(
        &self,
        target: impl AsRef<str>,
        arguments: impl CallArguments,
    ) -> Result<T, CallError> {
        let target = target.as_ref();
        self.check(target)?;
        let call = self.hub.invoke(target, arguments);
        block_on(match self.timeout {
            Some(after) => call.timeout(after),
            None => call,
        })
    }

    /// Calls a method and waits until it is done. Its result does not matter, if there is one; its failure does.
    ///
    /// # Errors
    /// As those of [`invoke`](Self::invoke).
    pub fn call(
        &self,
        target: impl AsRef<str>,
        arguments: impl CallArguments,
    ) -> Result<(), CallError> {
        self.invoke(target, arguments)
    }

    /// Calls a method without asking for a result, and waits until the transport has taken the message.
    ///
    /// # Errors
    /// As those of the async [`send`](crate::HubConnection::send); within a handler of this connection
    /// [`CallErrorKind::InsideHandler`].
    pub fn send(
        &self,
        target: impl AsRef<str>,
        arguments: impl CallArguments,
    ) -> Result<(), CallError> {
        let target = target.as_ref();
        self.check(target)?;
        block_on(self.hub.send(target, arguments))
    }

    /// Calls a method whose results are a stream.
    ///
    /// ```no_run
    /// # fn example(connection: signalr_client::blocking::HubConnection) -> Result<(), signalr_client::CallError> {
    /// for number in connection.stream::<i32>("Count", (10, 500))? {
    ///     println!("{}", number?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As those of the async [`stream`](crate::HubConnection::stream); within a handler of this connection
    /// [`CallErrorKind::InsideHandler`].
    pub fn stream<T: DeserializeOwned>(
        &self,
        target: impl AsRef<str>,
        arguments: impl CallArguments,
    ) -> Result<Items<T>, CallError> {
        let target = target.as_ref();
        self.check(target)?;
        let items = block_on(self.hub.stream(target, arguments))?;
        Ok(Items {
            connection: self.clone(),
            items,
            over: false,
        })
    }

    /// Calls a method in the background: for loops that cannot wait. They look at the [`Pending`] now and then; dropping it cancels
    /// the call.
    ///
    /// ```no_run
    /// # fn example(connection: signalr_client::blocking::HubConnection, draw_frame: fn()) -> Result<(), signalr_client::CallError> {
    /// let mut sum = connection.begin::<i32>("Add", (1, 2));
    /// loop {
    ///     if let Some(sum) = sum.poll() {
    ///         println!("{}", sum?);
    ///         break;
    ///     }
    ///     draw_frame();
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn begin<T: DeserializeOwned + 'static>(
        &self,
        target: impl AsRef<str>,
        arguments: impl CallArguments,
    ) -> Pending<Result<T, CallError>> {
        let call = self.hub.invoke(target, arguments);
        Pending::new(match self.timeout {
            Some(after) => call.timeout(after),
            None => call,
        })
    }

    /// Whether this is the connection's own thread, which cannot wait for itself.
    fn is_inside(&self) -> bool {
        self.driver.get() == Some(&thread::current().id())
    }

    fn check(&self, target: &str) -> Result<(), CallError> {
        if self.is_inside() {
            let address = self.hub.address();
            return Err(CallError::new(
                address,
                target,
                CallErrorKind::InsideHandler,
            ));
        }
        Ok(())
    }
}

impl fmt::Debug for HubConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HubConnection").field(&self.hub).finish()
    }
}

/// Items from the server, each waited for. Ends after the last one, or with an error. Dropping it cancels the stream.
pub struct Items<T> {
    connection: HubConnection,
    items: ItemStream<T>,
    over: bool,
}

impl<T: DeserializeOwned> Iterator for Items<T> {
    type Item = Result<T, CallError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        if self.connection.is_inside() {
            self.over = true;
            return Some(Err(self.items.error(CallErrorKind::InsideHandler)));
        }
        block_on(self.items.next())
    }
}

impl<T> fmt::Debug for Items<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Items").field(&self.items).finish()
    }
}

/// Something that goes on in the background, and is looked at now and then.
#[must_use = "dropping it cancels what was begun"]
pub struct Pending<O> {
    future: Option<Pin<Box<dyn Future<Output = O> + Send>>>,
}

impl<O> Pending<O> {
    fn new(future: impl Future<Output = O> + Send + 'static) -> Self {
        Self {
            future: Some(Box::pin(future)),
        }
    }

    /// What came of it, once; `None` before and afterwards. Never waits.
    pub fn poll(&mut self) -> Option<O> {
        let future = self.future.as_mut()?;
        let polled = future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        match polled {
            Poll::Pending => None,
            Poll::Ready(output) => {
                self.future = None;
                Some(output)
            }
        }
    }
}

impl<O> fmt::Debug for Pending<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending")
            .field("done", &self.future.is_none())
            .finish()
    }
}

/// tokio on a thread for one connection.
#[derive(Clone, Debug)]
struct Background {
    runtime: Arc<Mutex<Option<tokio::runtime::Runtime>>>,
    /// The thread, once it runs.
    driver: Arc<OnceLock<ThreadId>>,
}

impl Background {
    fn new() -> Result<Self, BuildError> {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_io().enable_time().build();
        let runtime = runtime.map_err(|error| BuildError::Thread {
            detail: error.to_string().into(),
        })?;
        Ok(Self {
            runtime: Arc::new(Mutex::new(Some(runtime))),
            driver: Arc::default(),
        })
    }
}

impl Runtime for Background {
    type Stream = <Tokio as Runtime>::Stream;
    type Connect = <Tokio as Runtime>::Connect;
    type Sleep = <Tokio as Runtime>::Sleep;

    fn connect(&self, host: &str, port: u16) -> Self::Connect {
        Tokio::default().connect(host, port)
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        Tokio::default().sleep(duration)
    }
}

impl Spawn for Background {
    fn spawn(&self, task: Task) {
        let mut runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(runtime) = runtime.take() else {
            return;
        };
        let driver = Arc::clone(&self.driver);
        let thread = thread::Builder::new().name("signalr".into());
        let spawned = thread.spawn(move || {
            // Before any handler can ask.
            let _ = driver.set(thread::current().id());
            runtime.block_on(task);
        });
        if let Err(error) = spawned {
            // The driver is gone with its closure, which `start` tells.
            tracing::error!("no thread for the connection: {error}");
        }
    }
}

/// Waits for a future on this thread.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        thread::park();
    }
}

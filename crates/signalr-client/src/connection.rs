//! The handle users hold.

use core::time::Duration;
use std::sync::{Arc, Weak};

use futures_channel::oneshot;
use signalr_proto::client::{CallOptions, ConnectionState, Stats};
use signalr_proto::{Arguments, CloseReason, PayloadError, TransportKind};

use crate::arguments::CallArguments;
use crate::call::{Caller, Invoke, OpenStream, Sending};
use crate::error::{RefreshError, RefreshErrorKind, StartError, StartErrorKind};
use crate::handler::{Handler, Incoming, Parameter, Subscription, WithState, form};
use crate::lifecycle::{Events, LifecycleEvent};
use crate::shared::{Command, Handle, Shared};
use crate::states::States;

/// A connection to a SignalR hub. Cloning it is cheap and gives another handle to the same connection.
///
/// When the last handle is dropped the connection is stopped, in an orderly way. Futures and streams of calls count as handles,
/// and so do handles that a handler's closure holds: let such closures hold a [`WeakHubConnection`] instead.
#[derive(Clone)]
pub struct HubConnection {
    handle: Handle,
    /// How calls of this handle meet the loss of the connection.
    options: CallOptions,
}

impl core::fmt::Debug for HubConnection {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("HubConnection")
            .field("machine", &self.handle.shared.lock().machine)
            .finish_non_exhaustive()
    }
}

impl HubConnection {
    pub(crate) fn new(handle: Handle) -> Self {
        Self {
            handle,
            options: CallOptions::default(),
        }
    }

    #[cfg(feature = "net")]
    pub(crate) fn set_launcher(&self, launcher: crate::launch::Launcher) {
        self.handle.shared.set_launcher(launcher);
    }

    /// The address of the hub, without its query.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.handle.shared.address
    }

    /// A handle that does not keep the connection.
    #[must_use]
    pub fn downgrade(&self) -> WeakHubConnection {
        WeakHubConnection {
            shared: Arc::downgrade(&self.handle.shared),
        }
    }
}

/// The life of the connection.
impl HubConnection {
    /// Connects. When it fails, nothing is retried: call it again when you see fit.
    ///
    /// A connection that was stopped or lost can be started again; handlers stay registered. Dropping the future does not stop
    /// the attempt; [`stop`](Self::stop) does.
    ///
    /// # Errors
    /// [`StartErrorKind::NotDisconnected`] in any other state, [`StartErrorKind::Failed`] when no connection could be made,
    /// [`StartErrorKind::NoRuntime`] outside of the runtime, [`StartErrorKind::DriverGone`] after it was shut down.
    pub async fn start(&self) -> Result<(), StartError> {
        let shared = &self.handle.shared;
        let started = async {
            shared.launch()?;
            let (sender, answer) = oneshot::channel();
            shared.command(Command::Start(sender));
            answer.await.unwrap_or(Err(StartErrorKind::DriverGone))
        };
        let started = started.await;
        started.map_err(|kind| StartError::new(&shared.address, kind))
    }

    /// Closes the connection in an orderly way and waits until that is done. What was sent before still goes out; pending calls
    /// fail. In the Disconnected state nothing happens. Handlers may call it.
    pub async fn stop(&self) {
        let shared = &self.handle.shared;
        let (sender, answer) = oneshot::channel();
        if shared.is_launched() {
            shared.command(Command::Stop(sender));
            // An error means that the driver is gone, and the connection with it.
            let _ = answer.await;
        }
    }

    /// What the connection is doing. Disconnected, too, when its driver is gone.
    #[must_use]
    pub fn state(&self) -> ConnectionState {
        self.handle.shared.lock().state()
    }

    /// The state now, then each change of it. Who looks seldom sees the latest only. Ends when the driver is gone for good.
    ///
    /// ```
    /// # async fn example(connection: signalr_client::HubConnection) {
    /// let mut states = connection.states();
    /// while let Some(state) = states.next().await {
    ///     println!("{state:?}");
    /// }
    /// # }
    /// ```
    pub fn states(&self) -> States {
        States::new(Arc::clone(&self.handle.shared))
    }

    /// Waits until the connection is in this state; ready at once if it is. A state that lasts for a moment only may be missed.
    ///
    /// # Errors
    /// [`StartErrorKind::DriverGone`] when it will never be.
    pub async fn wait_until(&self, state: ConnectionState) -> Result<(), StartError> {
        let mut states = self.states();
        while let Some(current) = states.next().await {
            if current == state {
                return Ok(());
            }
        }
        let address = &self.handle.shared.address;
        Err(StartError::new(address, StartErrorKind::DriverGone))
    }

    /// What the connection has done so far: bytes, messages, pings, reconnects, and how long answers take.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.handle.shared.lock().machine.stats()
    }

    /// The id by which the server knows this connection. None while there is no connection, and when negotiation was skipped.
    #[must_use]
    pub fn connection_id(&self) -> Option<String> {
        let inner = self.handle.shared.lock();
        let id = inner.machine.connection_id();
        id.filter(|_| !inner.is_abandoned()).map(Into::into)
    }

    /// The transport in use. None while there is no connection.
    #[must_use]
    pub fn transport(&self) -> Option<TransportKind> {
        let inner = self.handle.shared.lock();
        let transport = inner.machine.transport();
        transport.filter(|_| !inner.is_abandoned())
    }

    /// Does not wait any longer for the next attempt to connect. Without such a wait nothing happens.
    pub fn retry_now(&self) {
        self.handle.shared.command(Command::RetryNow);
    }

    /// Gives the server a new token of the provider's, without connecting again, and tells how long it lives if the server
    /// says so. Servers from .NET 11 on can do this, where they are told to; the client does it by itself before the token
    /// expires, see [`refresh_before_expiration`](crate::HubConnectionBuilder::refresh_before_expiration).
    ///
    /// # Errors
    /// [`RefreshErrorKind::Failed`] when the provider or the server refuses, [`RefreshErrorKind::Usage`] when there is no connection
    /// or none that can be refreshed.
    pub async fn refresh_authentication(&self) -> Result<Option<Duration>, RefreshError> {
        let shared = &self.handle.shared;
        let (sender, answer) = oneshot::channel();
        shared.command(Command::Refresh(sender));
        let refreshed = answer.await.unwrap_or(Err(RefreshErrorKind::DriverGone));
        refreshed.map_err(|kind| RefreshError::new(&shared.address, kind))
    }

    /// What happens to the connection from now on, as a stream. It ends when the driver is gone for good; if there was a
    /// connection then, a [`Closed`](LifecycleEvent::Closed) with [`CloseReason::DriverGone`](signalr_proto::CloseReason::DriverGone)
    /// is the last event.
    ///
    /// ```
    /// # async fn example(connection: signalr_client::HubConnection) {
    /// use signalr_client::LifecycleEvent;
    ///
    /// let mut events = connection.events();
    /// while let Some(event) = events.next().await {
    ///     if let LifecycleEvent::ReconnectAttempt { attempt, delay, reason, .. } = event {
    ///         println!("attempt {attempt} in {delay:?}: {reason}");
    ///     }
    /// }
    /// # }
    /// ```
    pub fn events(&self) -> Events {
        self.handle.shared.listeners.subscribe()
    }

    /// Has `callback` called when the connection was lost and is being made again, with the reason.
    ///
    /// Callbacks run inside the driver: they must not block. For longer work use [`events`](Self::events).
    pub fn on_reconnecting(&self, callback: impl Fn(&CloseReason) + Send + Sync + 'static) {
        self.handle.shared.listeners.add(move |event| {
            if let LifecycleEvent::Reconnecting { reason } = event {
                callback(reason);
            }
        });
    }

    /// Has `callback` called when the connection is back, with its new id. To the server it is a new connection: groups have to
    /// be joined again.
    pub fn on_reconnected(&self, callback: impl Fn(Option<&str>) + Send + Sync + 'static) {
        self.handle.shared.listeners.add(move |event| {
            if let LifecycleEvent::Reconnected { connection_id, .. } = event {
                callback(connection_id.as_deref());
            }
        });
    }

    /// Has `callback` called when the connection is over, with the reason unless it ended in an orderly way. Not called when
    /// [`start`](Self::start) fails.
    pub fn on_close(&self, callback: impl Fn(Option<&CloseReason>) + Send + Sync + 'static) {
        self.handle.shared.listeners.add(move |event| {
            if let LifecycleEvent::Closed { reason } = event {
                callback(Some(reason).filter(|reason| !reason.is_clean()));
            }
        });
    }
}

/// Calls to the server.
///
/// A call is written when the method is called, so calls reach the server in the order in which they were made, and arguments
/// may be borrowed. Awaiting what the method returns waits for the outcome. Arguments are serialized while the connection is
/// locked: a `Serialize` implementation must not use the same connection.
impl HubConnection {
    fn caller(&self) -> Caller {
        Caller {
            handle: self.handle.clone(),
            options: self.options,
        }
    }

    /// A handle whose calls wait while the connection is being made, for the first time or again, instead of failing with
    /// [`CallErrorKind::NotConnected`](crate::CallErrorKind::NotConnected). They fail when the connection is over. Calls with upload streams do not wait.
    ///
    /// ```
    /// # async fn example(connection: signalr_client::HubConnection) -> Result<(), signalr_client::CallError> {
    /// let sum: i32 = connection.waiting().invoke("Add", (1, 2)).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn waiting(&self) -> Self {
        let mut other = self.clone();
        other.options.wait = true;
        other
    }

    /// A handle whose invocations wait as those of [`waiting`](Self::waiting) do, and are made again when the connection is
    /// lost before their answer came and is there again. The server may then carry out a call twice: only for methods that
    /// bear it. Streams, sends and calls with upload streams are refused with [`CallErrorKind::NotRepeatable`](crate::CallErrorKind::NotRepeatable).
    ///
    /// ```
    /// # async fn example(connection: signalr_client::HubConnection) -> Result<(), signalr_client::CallError> {
    /// let names: Vec<String> = connection.idempotent().invoke("ListNames", ()).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn idempotent(&self) -> Self {
        let mut other = self.waiting();
        other.options.repeat = true;
        other
    }

    /// Calls a method and waits for its result.
    ///
    /// `T` is what the result is read as; `()` takes anything, also nothing. Dropping the future cancels the call.
    /// [`Invoke::timeout`] gives it a deadline.
    ///
    /// ```
    /// # use signalr_client::{CallError, HubConnection};
    /// # use std::time::Duration;
    /// # async fn example(connection: HubConnection) -> Result<(), CallError> {
    /// let sum: i32 = connection.invoke("Add", (1, 2)).await?;
    /// let name = connection.invoke::<Option<String>>("FindName", (42,)).timeout(Duration::from_secs(5)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// [`call`](Self::call) needs no type, where the result does not matter.
    pub fn invoke<T>(&self, target: impl AsRef<str>, arguments: impl CallArguments) -> Invoke<T> {
        Invoke::new(self.caller(), target.as_ref(), arguments)
    }

    /// Calls a method and waits until it is done. Its result does not matter, if there is one; its failure does.
    ///
    /// ```
    /// # async fn example(connection: signalr_client::HubConnection) -> Result<(), signalr_client::CallError> {
    /// connection.call("Heartbeat", ()).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn call(&self, target: impl AsRef<str>, arguments: impl CallArguments) -> Invoke<()> {
        self.invoke(target, arguments)
    }

    /// Calls a method without asking for a result. Ready when the transport has taken the message; whether the server could
    /// carry it out is not told.
    ///
    /// ```
    /// # async fn example(connection: signalr_client::HubConnection) -> Result<(), signalr_client::CallError> {
    /// connection.send("Notify", ("everybody", [1, 2, 3])).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn send(&self, target: impl AsRef<str>, arguments: impl CallArguments) -> Sending {
        Sending::new(self.caller(), target.as_ref(), arguments)
    }

    /// Calls a method whose results are a stream.
    ///
    /// ```
    /// # async fn example(connection: signalr_client::HubConnection) -> Result<(), signalr_client::CallError> {
    /// let mut numbers = connection.stream::<i32>("Count", (10, 500)).await?;
    /// while let Some(number) = numbers.next().await {
    ///     println!("{}", number?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn stream<T>(
        &self,
        target: impl AsRef<str>,
        arguments: impl CallArguments,
    ) -> OpenStream<T> {
        OpenStream::new(self.caller(), target.as_ref(), arguments)
    }
}

/// Calls of the server.
impl HubConnection {
    /// Has the server's calls of `target` handled by a closure over their arguments; see [`Handler`].
    ///
    /// Names match exactly, unless [`ignore_case`](crate::HubConnectionBuilder::ignore_case) is set. Several handlers of one method
    /// run one after another. Calls that want no answer are handled strictly in the order in which they came; calls that want one
    /// run at the same time as everything else. Handlers run inside the driver: they must not block the thread, and plain ones
    /// should be short.
    ///
    /// The server wants one answer ([CB-56](signalr_proto::spec::client_behaviour#cb-56)): when it asks and more than one handler
    /// of the method gives a value, it is told the error `Client provided multiple results.`, and the log says so.
    ///
    /// ```
    /// # fn example(connection: signalr_client::HubConnection) {
    /// connection.on("Receive", |user: String, text: String| println!("{user}: {text}"));
    /// connection.on("Ask", async |question: String| question.len());
    /// # }
    /// ```
    pub fn on<M>(&self, target: impl AsRef<str>, handler: impl Handler<M>) -> Subscription {
        let connection = Arc::downgrade(&self.handle.shared);
        let handler = handler.erase().bind(connection);
        self.handle.shared.handlers.add(target.as_ref(), handler)
    }

    /// Like [`on`](Self::on), for a handler whose first parameter is a clone of `state`: an `Arc` of what it works with, a
    /// sender, a counter.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use std::sync::atomic::{AtomicI32, Ordering};
    /// # fn example(connection: signalr_client::HubConnection) {
    /// let sum = Arc::new(AtomicI32::new(0));
    /// connection.on_with(Arc::clone(&sum), "Add", async |sum: Arc<AtomicI32>, n: i32| {
    ///     sum.fetch_add(n, Ordering::Relaxed)
    /// });
    /// # }
    /// ```
    ///
    /// A handler that calls the server asks for the connection: a [`WeakHubConnection`] among its parameters.
    pub fn on_with<S, F, M>(&self, state: S, target: impl AsRef<str>, handler: F) -> Subscription
    where
        WithState<S, F>: Handler<M>,
    {
        self.on(target, WithState::new(state, handler))
    }

    /// Has every call of the server told to `observer`, whatever its name: the method and its arguments, as they come from
    /// the network and before handlers of that method run. For logs, bridges and tools.
    ///
    /// Observers never answer a question and take nothing from handlers. Like those they run inside the driver and must be
    /// short. [`off`](Self::off) removes them.
    ///
    /// ```
    /// # fn example(connection: signalr_client::HubConnection) {
    /// use signalr_client::Arguments;
    ///
    /// connection.on_any(|target: &str, arguments: &Arguments| println!("{target} {:?}", arguments.len()));
    /// # }
    /// ```
    pub fn on_any(
        &self,
        observer: impl Fn(&str, &Arguments) + Send + Sync + 'static,
    ) -> Subscription {
        self.handle.shared.handlers.observe(Arc::new(observer))
    }

    /// Removes a handler; false if it was gone already. Calls under way are not interrupted.
    pub fn off(&self, subscription: &Subscription) -> bool {
        self.handle.shared.handlers.remove(subscription)
    }

    /// Removes all handlers of a method and tells how many there were.
    pub fn off_all(&self, target: impl AsRef<str>) -> usize {
        self.handle.shared.handlers.remove_all(target.as_ref())
    }
}

/// A handle that does not keep the connection; for closures that the connection itself holds.
#[derive(Clone)]
pub struct WeakHubConnection {
    shared: Weak<Shared>,
}

impl WeakHubConnection {
    /// A full handle, unless all of them are gone.
    #[must_use]
    pub fn upgrade(&self) -> Option<HubConnection> {
        let shared = self.shared.upgrade()?;
        Handle::again(&shared).map(HubConnection::new)
    }
}

/// A handler's parameter, which is not sent.
impl Parameter<form::Synthetic> for WeakHubConnection {
    const ARGUMENTS: Option<usize> = Some(0);

    fn take(incoming: &mut Incoming<'_>) -> Result<Self, PayloadError> {
        Ok(Self {
            shared: Weak::clone(incoming.connection()),
        })
    }
}

impl core::fmt::Debug for WeakHubConnection {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("WeakHubConnection").finish_non_exhaustive()
    }
}

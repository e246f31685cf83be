//! What a connection hears and what becomes of it, in the order in which it happens.

use core::fmt;
use core::future::Future;
use core::panic::Location;
use core::task::{Poll, Waker};
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use signalr_client::{
    Arguments, CloseReason, ConnectionState, FromArguments, HubConnection, LifecycleEvent,
};

use crate::describe;
use crate::runtime::{Clock, Patience, words};
use crate::transcript::Transcript;

/// Sees the hub's calls and the events of a connection, for a test to expect them.
///
/// It takes nothing from handlers, and answers no questions. It sees what comes after it was made.
///
/// ```
/// use signalr_client::{HubConnection, ReconnectPolicy};
/// use signalr_testkit::{Observer, ScriptedHub};
///
/// signalr_testkit::run(async {
///     let hub = ScriptedHub::new();
///     let builder = HubConnection::builder("http://test/chat").automatic_reconnect(ReconnectPolicy::standard());
///     let connection = hub.connect(builder).await;
///     let observer = Observer::of(&connection);
///     hub.cut();
///     observer.expect_reconnected().await;
///     hub.send("Receive", ("ann", "hello"));
///     let (user, text): (String, String) = observer.expect_call("Receive").await;
///     assert_eq!((&*user, &*text), ("ann", "hello"));
/// });
/// ```
#[derive(Clone)]
pub struct Observer {
    shared: Arc<Shared>,
    /// Not held, so that a connection that the test lets go is over.
    connection: signalr_client::WeakHubConnection,
}

struct Shared {
    clock: Clock,
    began: Duration,
    state: Mutex<State>,
}

struct State {
    patience: Patience,
    calls: VecDeque<(String, Arguments)>,
    events: VecDeque<LifecycleEvent>,
    transcript: Transcript,
    waiting: Vec<Waker>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, line: impl fmt::Display, change: impl FnOnce(&mut State)) {
        let since = self.clock.now().saturating_sub(self.began);
        let waiting = {
            let mut state = self.lock();
            state.transcript.tell(since, line);
            change(&mut state);
            core::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    async fn until<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> Result<T, Duration> {
        let patience = self.lock().patience;
        let found = core::future::poll_fn(|cx| {
            let mut state = self.lock();
            match look(&mut state) {
                Some(found) => Poll::Ready(found),
                None => {
                    state.waiting.push(cx.waker().clone());
                    Poll::Pending
                }
            }
        });
        patience.wait(&self.clock, found).await
    }

    fn missing(&self, at: &Location<'_>, wanted: &str, waited: Duration) -> ! {
        let waited = words(waited);
        panic!(
            "{at}: expected {wanted}, and it did not come within {waited}\n{}",
            self.lock().transcript
        )
    }
}

impl Observer {
    /// Observes a connection from now on.
    ///
    /// # Panics
    /// Outside of [`run`](crate::run) and of tokio.
    #[must_use]
    pub fn of(connection: &HubConnection) -> Self {
        let clock = Clock::current();
        let shared = Arc::new(Shared {
            began: clock.now(),
            clock: clock.clone(),
            state: Mutex::new(State {
                patience: Patience::DEFAULT,
                calls: VecDeque::new(),
                events: VecDeque::new(),
                transcript: Transcript::default(),
                waiting: Vec::new(),
            }),
        });
        let calls = Arc::clone(&shared);
        connection.on_any(move |target, arguments| {
            let line = format!("call {target}({})", describe::list(arguments));
            calls.change(line, |state| {
                let call = (target.to_owned(), arguments.clone());
                state.calls.push_back(call);
            });
        });
        let (heard, mut events) = (Arc::clone(&shared), connection.events());
        clock.spawn(Box::pin(async move {
            while let Some(event) = events.next().await {
                heard.change(format!("event {event:?}"), |state| {
                    state.events.push_back(event);
                });
            }
        }));
        Self {
            shared,
            connection: connection.downgrade(),
        }
    }

    /// How long expectations wait. Default: 5 minutes of a virtual or paused time, 10 seconds of a real one.
    pub fn set_patience(&self, patience: Duration) {
        self.shared.lock().patience = Patience::of(patience);
    }

    /// The arguments of the hub's next call of this method, as a tuple. Other methods' calls stay.
    ///
    /// # Panics
    /// When none comes, or the arguments are others.
    #[track_caller]
    pub fn expect_call<A: FromArguments>(&self, target: &str) -> impl Future<Output = A> {
        let (at, target) = (Location::caller(), target.to_owned());
        async move {
            let called = self.shared.until(|state| {
                let place = state.calls.iter().position(|(name, _)| *name == target)?;
                state.calls.remove(place)
            });
            match called.await {
                Ok((_, arguments)) => match arguments.decode() {
                    Ok(arguments) => arguments,
                    Err(error) => {
                        panic!("{at}: {target}({}): {error}", describe::list(&arguments))
                    }
                },
                Err(waited) => {
                    let wanted = format!("the hub's call of {target}");
                    self.shared.missing(at, &wanted, waited)
                }
            }
        }
    }

    /// Waits for an event that is looked for; what came before it is passed over.
    ///
    /// ```
    /// # use signalr_client::LifecycleEvent;
    /// # use signalr_testkit::Observer;
    /// # async fn example(observer: Observer) {
    /// observer.expect_event("the third attempt", |event| matches!(event, LifecycleEvent::ReconnectAttempt { attempt: 3, .. })).await;
    /// # }
    /// ```
    ///
    /// # Panics
    /// When it does not come; `wanted` says what did not.
    #[track_caller]
    pub fn expect_event(
        &self,
        wanted: &str,
        is_it: impl Fn(&LifecycleEvent) -> bool,
    ) -> impl Future<Output = LifecycleEvent> {
        let (at, wanted) = (Location::caller(), wanted.to_owned());
        async move {
            let is_wanted = |event: &LifecycleEvent| is_it(event).then(|| event.clone());
            self.find(at, &wanted, is_wanted).await
        }
    }

    /// Waits until the connection was lost and is being made again. Gives the reason.
    ///
    /// # Panics
    /// When that does not happen.
    #[track_caller]
    pub fn expect_reconnecting(&self) -> impl Future<Output = CloseReason> {
        let wanted = "the loss of the connection (Reconnecting)";
        self.find(Location::caller(), wanted, |event| {
            let LifecycleEvent::Reconnecting { reason } = event else {
                return None;
            };
            Some(reason.clone())
        })
    }

    /// Waits until the connection is back.
    ///
    /// # Panics
    /// When that does not happen.
    #[track_caller]
    pub fn expect_reconnected(&self) -> impl Future<Output = ()> {
        let wanted = "the connection to be back (Reconnected)";
        self.find(Location::caller(), wanted, |event| {
            matches!(event, LifecycleEvent::Reconnected { .. }).then_some(())
        })
    }

    /// Waits until the connection is over. Gives the reason.
    ///
    /// # Panics
    /// When that does not happen.
    #[track_caller]
    pub fn expect_closed(&self) -> impl Future<Output = CloseReason> {
        let wanted = "the end of the connection (Closed)";
        self.find(Location::caller(), wanted, |event| {
            let LifecycleEvent::Closed { reason } = event else {
                return None;
            };
            Some(reason.clone())
        })
    }

    /// Waits for the first event of which something is wanted; those before it are passed over.
    async fn find<T>(
        &self,
        at: &Location<'_>,
        wanted: &str,
        want: impl Fn(&LifecycleEvent) -> Option<T>,
    ) -> T {
        let found = self.shared.until(|state| {
            let mut found = None;
            while found.is_none() {
                found = want(&state.events.pop_front()?);
            }
            found
        });
        match found.await {
            Ok(found) => found,
            Err(waited) => self.shared.missing(at, wanted, waited),
        }
    }

    /// Waits until the connection is in this state; ready at once if it is.
    ///
    /// # Panics
    /// When it is not going to be.
    #[track_caller]
    pub fn expect_state(&self, wanted: ConnectionState) -> impl Future<Output = ()> {
        let at = Location::caller();
        async move {
            let patience = self.shared.lock().patience;
            let reached = async {
                match self.connection.upgrade() {
                    Some(connection) => connection.wait_until(wanted).await.is_ok(),
                    None => wanted == ConnectionState::Disconnected,
                }
            };
            match patience.wait(&self.shared.clock, reached).await {
                Ok(true) => {}
                Ok(false) => {
                    panic!("{at}: expected the state {wanted:?}, and the connection is gone")
                }
                Err(waited) => {
                    let wanted = format!("the state {wanted:?}");
                    self.shared.missing(at, &wanted, waited)
                }
            }
        }
    }

    /// The hub's calls that were not looked at yet, by their methods.
    #[must_use]
    pub fn calls(&self) -> Vec<String> {
        let state = self.shared.lock();
        state
            .calls
            .iter()
            .map(|(target, _)| target.clone())
            .collect()
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer").finish_non_exhaustive()
    }
}

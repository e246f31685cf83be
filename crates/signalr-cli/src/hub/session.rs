//! The life of a connection on the command line: interrupts, time limits, and a clean end whatever happens.

use std::cell::{Cell, RefCell};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{FutureExt as _, Stream, StreamExt as _};
use signalr::{
    CallError, CallErrorKind, HubConnection, LifecycleEvent, StartError, StartErrorKind,
};
use signalr_proto::TransportKind;
use tokio::sync::{mpsc, watch};

use super::events::{Event, Printer};
use super::explain::Explain;
use super::token::TokenSource;
use crate::cli::Output;
use crate::failure::Failure;

/// How long a clean stop may take before it is given up.
const STOP_TIME: Duration = Duration::from_secs(3);
/// How long the reason may take to follow when a connection is found to be over.
const REASON_TIME: Duration = Duration::from_secs(1);

/// A connection with what belongs to it.
pub(crate) struct Session {
    pub(crate) hub: HubConnection,
    pub(crate) printer: Printer,
    pub(crate) explain: Explain,
    token: TokenSource,
    /// News from the connection, to be printed.
    pub(crate) news: RefCell<mpsc::UnboundedReceiver<Event>>,
    lifecycle: RefCell<Pin<Box<dyn Stream<Item = LifecycleEvent>>>>,
    /// Why the connection is over, once it is.
    over: watch::Receiver<Option<String>>,
    /// What is being waited for, for the message when time runs out.
    stage: Cell<&'static str>,
    /// Whether Ctrl-C ends everything.
    pub(crate) heeds_interrupts: Cell<bool>,
}

/// Why a connection ended that nobody here stopped and that ended without an error.
pub(crate) const CLOSED_BY_SERVER: &str = "the server closed the connection";

/// Where handlers and callbacks put their events.
pub(crate) type News = mpsc::UnboundedSender<Event>;

impl Session {
    /// A session for a connection that is not started yet. `news` and its sender come from [`channel`].
    pub(crate) fn new(
        hub: HubConnection,
        printer: Printer,
        explain: Explain,
        token: TokenSource,
        (sender, news): (&News, mpsc::UnboundedReceiver<Event>),
    ) -> Self {
        Self {
            over: report_lifecycle(&hub, sender, explain),
            lifecycle: RefCell::new(Box::pin(hub.events())),
            hub,
            printer,
            explain,
            token,
            news: RefCell::new(news),
            stage: Cell::new("connection"),
            heeds_interrupts: Cell::new(true),
        }
    }

    /// Connects and says so.
    pub(crate) async fn connect(&self) -> Result<(), Failure> {
        let mut connected = self.start().await?;
        // Somebody may have renewed the token just when the old one was read.
        if let Err(error) = &connected
            && let StartErrorKind::Failed(reason) = error.kind()
            && Explain::is_refused_token(reason)
            && self.token.is_renewed()
        {
            connected = self.start().await?;
        }
        let connected = connected.map_err(|error| Failure::failed(self.explain.start(&error)))?;
        self.stage.set("answer");
        self.printer.print(&connected)
    }

    /// Why a call failed. One that came too late fails for what ended the connection.
    pub(crate) async fn call_failure(&self, error: CallError) -> Failure {
        let mut over = self.over.clone();
        let why = async {
            let why = over.wait_for(Option::is_some).await.ok()?;
            Option::clone(&why)
        };
        if matches!(error.kind(), CallErrorKind::NotConnected)
            && let Ok(Some(why)) = tokio::time::timeout(REASON_TIME, why).await
        {
            return Failure::failed(format!("the connection ended before the call: {why}"));
        }
        Failure::failed(self.explain.call(&error))
    }

    /// What the connection runs over, by its name on the wire.
    pub(crate) fn transport(&self) -> Option<&'static str> {
        self.hub.transport().map(TransportKind::name)
    }

    /// Connects, and says what is tried again. What the connection is has to come from the event that tells of it: when that is
    /// read the connection may be over already.
    async fn start(&self) -> Result<Result<Event, StartError>, Failure> {
        let mut events = self.hub.events();
        let mut starting = pin!(self.hub.start());
        let mut connected = None;
        let mut heed = |event| {
            if let LifecycleEvent::Connected {
                connection_id,
                transport,
            } = event
            {
                connected = Some(Event::Connected {
                    id: connection_id.map(|id| id.to_string()),
                    transport: Some(transport.name()),
                });
            } else if let LifecycleEvent::StartRetry {
                reason,
                delay,
                attempt,
            } = event
            {
                self.printer.print(&Event::Retrying {
                    error: self.explain.reason(&reason),
                    delay,
                    attempt,
                })?;
            }
            Ok::<(), Failure>(())
        };
        let outcome = loop {
            tokio::select! {
                biased;
                Some(event) = events.next() => heed(event)?,
                outcome = &mut starting => break outcome,
            }
        };
        // The event comes before the answer to `start`, and both may have come since the last look.
        while let Some(Some(event)) = events.next().now_or_never() {
            heed(event)?;
        }
        Ok(outcome.map(|()| {
            connected.unwrap_or(Event::Connected {
                id: None,
                transport: None,
            })
        }))
    }

    /// Runs `work` until it ends, the time is over or the user has enough; then stops the connection.
    pub(crate) async fn run(
        &self,
        bound: Option<Duration>,
        work: impl Future<Output = Result<(), Failure>>,
    ) -> Result<(), Failure> {
        let outcome = tokio::select! {
            biased;
            () = self.heeded_interrupt() => Err(Failure::Interrupted),
            outcome = work => outcome,
            () = elapsed(bound) => Err(self.out_of_time(bound.unwrap_or_default())),
        };
        self.finish(&outcome).await?;
        outcome
    }

    async fn heeded_interrupt(&self) {
        loop {
            interrupted().await;
            if self.heeds_interrupts.get() {
                return;
            }
        }
    }

    /// Prints news while `work` goes on.
    pub(crate) async fn with_news(
        &self,
        work: impl Future<Output = Result<(), Failure>>,
    ) -> Result<(), Failure> {
        self.showing_news(work, |event| self.printer.print(&event))
            .await
    }

    /// Has news shown while `work` goes on.
    pub(crate) async fn showing_news(
        &self,
        work: impl Future<Output = Result<(), Failure>>,
        mut show: impl FnMut(Event) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                event = self.next_news() => show(event)?,
                outcome = &mut work => return outcome,
            }
        }
    }

    /// The next piece of news. The session itself keeps a sender alive through the callbacks of the connection.
    pub(crate) async fn next_news(&self) -> Event {
        let next = std::future::poll_fn(|cx| match self.news.borrow_mut().poll_recv(cx) {
            Poll::Pending => self.poll_progress(cx),
            news => news,
        });
        // The driver takes in many calls in one turn. Whoever takes a fixed number of them out in the next one, as tokio has
        // it, falls behind a busy server for ever.
        match tokio::task::unconstrained(next).await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }

    /// What becomes of a stateful connection whose WebSocket broke, which attempts are made, and what they fall back to.
    fn poll_progress(&self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        loop {
            match ready!(self.lifecycle.borrow_mut().poll_next_unpin(cx)) {
                Some(LifecycleEvent::Resuming { reason }) => {
                    let error = self.explain.reason(&reason);
                    return Poll::Ready(Some(Event::Resuming { error }));
                }
                Some(LifecycleEvent::Resumed) => return Poll::Ready(Some(Event::Resumed)),
                // That the first is made, and why, is said when the connection is lost.
                Some(LifecycleEvent::ReconnectAttempt {
                    attempt,
                    delay,
                    reason,
                }) if attempt > 1 => {
                    let error = self.explain.reason(&reason);
                    return Poll::Ready(Some(Event::Retrying {
                        error,
                        delay,
                        attempt,
                    }));
                }
                Some(LifecycleEvent::Fallback { from, to, reason }) => {
                    return Poll::Ready(Some(Event::Fallback {
                        from: from.name(),
                        to: to.name(),
                        error: self.explain.reason(&reason),
                    }));
                }
                // The callbacks and `start` see to the others.
                Some(_) => {}
                None => return Poll::Pending,
            }
        }
    }

    pub(crate) fn out_of_time(&self, bound: Duration) -> Failure {
        let stage = self.stage.get();
        Failure::failed(format!(
            "timed out: no {stage} within {} seconds",
            bound.as_secs_f64()
        ))
    }

    async fn finish(&self, outcome: &Result<(), Failure>) -> Result<(), Failure> {
        if let (Err(failure), Output::Json) = (outcome, self.printer.output())
            && let Some(message) = failure.message()
        {
            self.printer.print(&Event::Error(message.to_owned()))?;
        }
        tokio::select! {
            biased;
            // Twice means now.
            () = interrupted() => return Ok(()),
            () = self.hub.stop() => {}
            () = tokio::time::sleep(STOP_TIME) => {}
        }
        if outcome == &Err(Failure::BrokenPipe) {
            return Ok(());
        }
        while let Ok(event) = self.news.borrow_mut().try_recv() {
            // What the server still calls comes too late.
            if !matches!(event, Event::Invocation { .. }) {
                self.printer.print(&event)?;
            }
        }
        Ok(())
    }
}

pub(crate) fn channel() -> (News, mpsc::UnboundedReceiver<Event>) {
    mpsc::unbounded_channel()
}

/// Nobody listens any more when sending fails.
pub(crate) fn tell(news: &News, event: Event) {
    let _ = news.send(event);
}

/// Has the connection tell of itself. What is returned is the reason for its end.
fn report_lifecycle(
    hub: &HubConnection,
    news: &News,
    explain: Explain,
) -> watch::Receiver<Option<String>> {
    let (over, reason_of_end) = watch::channel(None);
    let sender = news.clone();
    hub.on_reconnecting(move |reason| {
        tell(
            &sender,
            Event::Reconnecting {
                error: Some(explain.reason(reason)),
            },
        )
    });
    let sender = news.clone();
    hub.on_reconnected(move |id| {
        tell(
            &sender,
            Event::Reconnected {
                id: id.map(str::to_owned),
            },
        )
    });
    let sender = news.clone();
    hub.on_close(move |reason| {
        let error = reason.map(|reason| explain.reason(reason));
        let why = error.as_deref().unwrap_or(CLOSED_BY_SERVER).to_owned();
        over.send_replace(Some(why));
        tell(&sender, Event::Closed { error })
    });
    reason_of_end
}

/// Ends at Ctrl-C; never, where there is no such thing.
pub(crate) async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn elapsed(bound: Option<Duration>) {
    match bound {
        Some(bound) => tokio::time::sleep(bound).await,
        None => std::future::pending().await,
    }
}

/// Runs a command on a runtime of its own.
pub(crate) fn block_on(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| Failure::failed(format!("cannot start: {error}")))?;
    let outcome = runtime.block_on(command);
    // A name that is still being looked up must not hold the program back.
    runtime.shutdown_background();
    outcome
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn all_news_of_one_turn_are_taken_in_the_next() {
        let taken = block_on(async {
            let (sender, news) = channel();
            let hub = HubConnection::builder("http://localhost/hub").build();
            let explain = Explain {
                has_token: false,
                negotiates: true,
            };
            let printer = Printer::new(Output::Json, true);
            let token = TokenSource::none();
            let session = Session::new(hub.unwrap(), printer, explain, token, (&sender, news));
            for number in 0..1000 {
                tell(&sender, Event::Item(number.to_string()));
            }
            let all = async {
                for _ in 0..1000 {
                    session.next_news().await;
                }
            };
            assert_eq!(all.now_or_never(), Some(()));
            Ok(())
        });
        assert_eq!(taken, Ok(()));
    }
}

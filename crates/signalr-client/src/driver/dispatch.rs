//! Handlers at work: one after another for calls that want no answer, all at once for those that do.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytestring::ByteString;
use futures_util::Stream as _;
use futures_util::stream::FuturesUnordered;
use signalr_proto::client::ReplyTo;
use signalr_proto::codec::CompletionOutcome;
use signalr_proto::{Arguments, Instant, SendError};

use crate::arguments::Guarded;
use crate::handler::{Called, Entries, Found, HandlerError, Observers, Reply, ReplyFuture};
use crate::shared::Shared;
use crate::transport::Transport;

/// Code of the application that keeps the connection from everything else for so long has to be told of.
const BLOCKING: Duration = Duration::from_secs(1);

const SEVERAL_RESULTS: &str = "Client provided multiple results.";
const NO_RESULT: &str = "Client didn't provide a result.";
const MISFIT: &str = "Client failed to parse argument(s).";
const NOT_SERIALIZED: &str = "The client's result could not be serialized.";

/// Calls handled in one turn of the driver before it looks at the socket again.
const RUNS_PER_TURN: usize = 256;

/// All calls of the server that are not done.
pub(super) struct Dispatcher<T> {
    shared: Arc<Shared>,
    transport: T,
    /// The time when the code of the application began to run that runs now, or a little earlier: one look at the clock for
    /// each handler has to be enough.
    begun: Instant,
    /// Those without an answer, in order. The first one may be running.
    queue: VecDeque<HandlerRun>,
    running: FuturesUnordered<AwaitedRun<T>>,
    /// The size of all of these.
    queued_bytes: usize,
    max_bytes: usize,
    /// Answers that found no room.
    unsent: VecDeque<(ReplyTo, Reply)>,
}

/// One call with its handlers.
struct HandlerRun {
    target: ByteString,
    arguments: Arguments,
    handlers: Option<Entries>,
    /// Whether the server wants an answer.
    asked: bool,
    next: usize,
    /// The handler that runs, and whether its answer counts.
    current: Option<(ReplyFuture, bool)>,
    answer: Option<Reply>,
    /// More than one handler gave a value.
    several: bool,
    misfit: bool,
}

impl HandlerRun {
    fn entry(&self) -> Option<Arc<crate::handler::Entry>> {
        self.handlers
            .as_ref()
            .and_then(|handlers| handlers.get(self.next))
            .cloned()
    }

    /// The memory it takes while it waits.
    fn size(&self) -> usize {
        size_of::<Self>() + self.arguments.as_bytes().len()
    }

    /// Runs handlers until one has to wait, or all are done.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some((future, counts)) = &mut self.current {
                let answer = ready!(poll_guarded(future, cx));
                let counts = *counts;
                self.current = None;
                self.settle(answer, counts);
            }
            let Some(entry) = self.entry() else {
                return Poll::Ready(());
            };
            self.next += 1;
            let counts = entry.has_value();
            match catch_unwind(AssertUnwindSafe(|| entry.call(&self.arguments))) {
                Ok(Called::Done(answer)) => self.settle(answer, counts),
                Ok(Called::Running(future)) => self.current = Some((future, counts)),
                Ok(Called::Misfit(error)) => {
                    tracing::warn!(
                        target = &*self.target,
                        "a call's arguments do not fit its handler: {error}"
                    );
                    self.misfit = true;
                }
                Err(_) => self.settle(panicked(), counts),
            }
        }
    }

    fn settle(&mut self, answer: Reply, counts: bool) {
        if let Reply::Failed(error) = &answer {
            let error = error.logged();
            tracing::error!(target = &*self.target, "a handler failed: {error}");
        }
        if counts && !self.asked && matches!(answer, Reply::Value(_)) {
            self.warn_of_unwanted_value();
        }
        if counts {
            let values = [self.answer.as_ref(), Some(&answer)];
            self.several |= values
                .iter()
                .all(|value| matches!(value, Some(Reply::Value(_))));
            self.answer = Some(answer);
        }
    }

    /// The server has called by `send` what the application takes for a question.
    fn warn_of_unwanted_value(&self) {
        let entry = self.next.checked_sub(1);
        let entry = entry.and_then(|index| self.handlers.as_ref()?.get(index));
        if entry.is_some_and(|entry| entry.is_first_unwanted_value()) {
            tracing::warn!(
                target = &*self.target,
                "a handler gave a value for a call that wants none; it is dropped, now and in future"
            );
        }
    }

    /// What the server is told.
    fn into_answer(self) -> Reply {
        if self.several {
            tracing::warn!(
                target = &*self.target,
                "several handlers gave a result, and the server can take one only: it is told an error"
            );
            return failed(SEVERAL_RESULTS);
        }
        match self.answer {
            Some(Reply::Void) => failed(NO_RESULT),
            Some(answer) => answer,
            None if self.misfit => failed(MISFIT),
            None => failed(NO_RESULT),
        }
    }
}

/// Words of ours.
fn failed(text: &'static str) -> Reply {
    Reply::Failed(HandlerError::new(text))
}

fn panicked() -> Reply {
    Reply::Failed(HandlerError::panicked())
}

fn poll_guarded(future: &mut ReplyFuture, cx: &mut Context<'_>) -> Poll<Reply> {
    catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)))
        .unwrap_or_else(|_| Poll::Ready(panicked()))
}

/// One that panics keeps neither the others nor the handlers from the call.
fn tell(observers: &Observers, target: &str, arguments: &Arguments) {
    for (_, observer) in observers.iter() {
        if catch_unwind(AssertUnwindSafe(|| observer(target, arguments))).is_err() {
            tracing::error!(target, "an observer of all calls panicked");
        }
    }
}

/// A call that waits for its answer.
struct AwaitedRun<T> {
    run: Option<HandlerRun>,
    reply_to: Option<ReplyTo>,
    transport: T,
}

/// Nothing in it is polled in place: the future of a handler has a box of its own.
impl<T> Unpin for AwaitedRun<T> {}

impl<T: Transport> Future for AwaitedRun<T> {
    type Output = Option<(ReplyTo, HandlerRun)>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { run, transport, .. } = &mut *self;
        let Some(asked) = run else {
            return Poll::Ready(None);
        };
        let begun = transport.now();
        let polled = asked.poll(cx);
        warn_if_blocking(&asked.target, transport.now().since(begun));
        ready!(polled);
        let run = self.run.take();
        Poll::Ready(self.reply_to.take().zip(run))
    }
}

/// While a handler runs nothing is read and nothing is sent, pings included.
fn warn_if_blocking(target: &str, took: Duration) {
    if took >= BLOCKING {
        tracing::warn!(
            target,
            ?took,
            "a handler blocked the connection: let it be async, or hand long work to a thread"
        );
    }
}

impl<T: Transport> Dispatcher<T> {
    pub(super) fn new(shared: Arc<Shared>, transport: T, max_bytes: usize) -> Self {
        Self {
            shared,
            begun: transport.now(),
            transport,
            queue: VecDeque::new(),
            running: FuturesUnordered::new(),
            queued_bytes: 0,
            max_bytes,
            unsent: VecDeque::new(),
        }
    }

    /// Somebody looked at the clock: what ran before is over.
    pub(super) const fn resume_from(&mut self, now: Instant) {
        self.begun = now;
    }

    /// How long the code of the application ran that has just returned.
    fn lap(&mut self) -> Duration {
        let now = self.transport.now();
        let took = now.since(self.begun);
        self.begun = now;
        took
    }

    /// Callbacks of the connection's fate have returned.
    pub(super) fn check_callback(&mut self) {
        let took = self.lap();
        if took >= BLOCKING {
            tracing::warn!(
                ?took,
                "a lifecycle callback blocked the connection: for long work use events()"
            );
        }
    }

    /// Takes a call. What can be done at once is done at once.
    pub(super) fn take(
        &mut self,
        cx: &mut Context<'_>,
        target: ByteString,
        arguments: Arguments,
        reply_to: Option<ReplyTo>,
    ) {
        let Found {
            handlers,
            observers,
        } = self.shared.handlers.find(&target);
        tracing::trace!(
            target = &*target,
            id = reply_to.as_ref().map(ReplyTo::id),
            size = arguments.as_bytes().len(),
            "called"
        );
        let observed = observers.is_some();
        if let Some(observers) = observers {
            tell(&observers, &target, &arguments);
        }
        if handlers.is_none() {
            self.warn_of_missing_handler(&target, observed);
        }
        let mut run = HandlerRun {
            target,
            arguments,
            handlers,
            asked: reply_to.is_some(),
            next: 0,
            current: None,
            answer: None,
            several: false,
            misfit: false,
        };
        let done = match reply_to {
            None if !self.queue.is_empty() => Poll::Pending,
            _ => run.poll(cx),
        };
        let took = self.lap();
        warn_if_blocking(&run.target, took);
        match reply_to {
            Some(reply_to) => match done {
                Poll::Ready(()) => self.answer(reply_to, run.into_answer()),
                Poll::Pending => {
                    self.queued_bytes = self.queued_bytes.saturating_add(run.size());
                    self.running.push(AwaitedRun {
                        run: Some(run),
                        reply_to: Some(reply_to),
                        transport: self.transport.clone(),
                    });
                }
            },
            None if done.is_ready() => {}
            None => {
                self.queued_bytes = self.queued_bytes.saturating_add(run.size());
                self.queue.push_back(run);
            }
        }
    }

    /// Who observes all calls needs no handlers, but capitals that differ are a mistake all the same.
    fn warn_of_missing_handler(&self, target: &str, observed: bool) {
        if let Some(name) = self.shared.handlers.differs_in_capitals(target) {
            tracing::warn!(
                target,
                handler = &*name,
                "no handler for a call of the server: the name differs from a handler's in its capitals, which count unless ignore_case(true) is set"
            );
        } else if !observed {
            tracing::warn!(target, "no handler for a call of the server");
        }
    }

    /// Lets handlers run. True when there is more to do at once.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        // Asking costs something even when there is nothing to ask for.
        while !self.running.is_empty() {
            let Poll::Ready(Some(finished)) = Pin::new(&mut self.running).poll_next(cx) else {
                break;
            };
            if let Some((reply_to, run)) = finished {
                self.queued_bytes = self.queued_bytes.saturating_sub(run.size());
                self.answer(reply_to, run.into_answer());
            }
        }
        if self.queue.is_empty() {
            return false;
        }
        // Whatever ran since was told of by itself.
        self.lap();
        for _ in 0..RUNS_PER_TURN {
            let Some(run) = self.queue.front_mut() else {
                return false;
            };
            let done = run.poll(cx);
            let now = self.transport.now();
            warn_if_blocking(&run.target, now.since(self.begun));
            self.begun = now;
            if done.is_pending() {
                return false;
            }
            self.queued_bytes = self.queued_bytes.saturating_sub(run.size());
            self.queue.pop_front();
        }
        !self.queue.is_empty()
    }

    /// Whether so much waits that reading should stop.
    pub(super) fn is_full(&self) -> bool {
        self.exceeds(self.shared.handler_queue, self.max_bytes)
    }

    /// Whether reading can go on after it stopped.
    pub(super) fn has_room(&self) -> bool {
        !self.exceeds(self.shared.handler_queue / 2, self.max_bytes / 2)
    }

    /// While somebody waits for the server, only the bytes count: it may be the handler that all the others wait for.
    fn exceeds(&self, calls: usize, bytes: usize) -> bool {
        self.queued_bytes > bytes
            || (self.queue.len() + self.running.len() > calls
                && !self.shared.lock().waits_for_server())
    }

    /// There is room in the connection again.
    pub(super) fn retry(&mut self) {
        for (reply_to, answer) in core::mem::take(&mut self.unsent) {
            self.answer(reply_to, answer);
        }
    }

    fn answer(&mut self, reply_to: ReplyTo, answer: Reply) {
        match self.send(reply_to, &answer) {
            Ok(()) => {}
            Err((SendError::Full { .. }, reply_to)) => self.unsent.push_back((reply_to, answer)),
            Err((SendError::Encode(error), reply_to)) => {
                tracing::error!(
                    id = reply_to.id(),
                    "a handler's result cannot be sent: {error}"
                );
                self.answer(reply_to, failed(NOT_SERIALIZED));
            }
            Err((error, reply_to)) => {
                tracing::debug!(id = reply_to.id(), "an answer came too late: {error}")
            }
        }
    }

    fn send(&self, reply_to: ReplyTo, answer: &Reply) -> Result<(), (SendError, ReplyTo)> {
        let mut inner = self.shared.lock();
        let now = inner.now;
        inner.dirty = true;
        let value;
        let outcome = match answer {
            Reply::Void => CompletionOutcome::Void,
            Reply::Value(result) => {
                value = Guarded(&**result);
                CompletionOutcome::Result(&value)
            }
            Reply::Failed(error) => CompletionOutcome::Error(error.text()),
        };
        inner.machine.complete(now, reply_to, outcome)
    }
}

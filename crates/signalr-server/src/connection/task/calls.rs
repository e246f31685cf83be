//! Calls: from an event of the machine to a method that runs, and back to its answer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use signalr_proto::codec::Invocation;
use signalr_proto::server::{CallId, CallOutcome};
use signalr_proto::{Payload, SendError};

use super::Task;
use crate::connection::CallHandle;
use crate::connection::running::{Pending, RunningCall, Step, Work};
use crate::dispatch::Dispatcher;
use crate::error::HubError;
use crate::method::{Bound, Method};
use crate::report;
use crate::telemetry;
use crate::upload::UploadSender;

/// Items taken from one stream before others get their turn.
const ITEMS_IN_A_ROW: usize = 16;

/// Calls.
impl Task {
    pub(super) fn call(
        &mut self,
        cx: &mut Context<'_>,
        call: CallId,
        streaming: bool,
        invocation: &Invocation,
    ) {
        let span = telemetry::call(self.shared.name, &invocation.target, &invocation.headers);
        let entered = span.enter();
        let uploads = uploads(invocation.stream_ids.len());
        let prepared = self
            .dispatcher()
            .prepare(call, streaming, invocation, uploads.as_ref());
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(refusal) => {
                report::refused(&self.connection.id, &invocation.target, &refusal);
                return self.machine.refuse(self.now, call, refusal.as_refusal());
            }
        };
        if let Some(uploads) = uploads {
            self.uploads.insert(call, uploads);
        }
        let (work, handle) = match prepared.bound {
            Bound::Method(method) => (Work::Method(method), prepared.handle),
            Bound::Stream(start) => {
                let handle = prepared.handle.unwrap_or_else(|| CallHandle::running(call));
                (Work::Start(start), Some(handle))
            }
        };
        if let Some(handle) = &handle {
            self.handles.insert(call, Arc::clone(handle));
        }
        let handle = handle.filter(|_| !matches!(work, Work::Method(_)));
        drop(entered);
        let job = RunningCall {
            call,
            method: prepared.method,
            handle,
            work,
            span,
        };
        self.go_on(cx, job);
    }

    const fn dispatcher(&mut self) -> Dispatcher<'_> {
        Dispatcher {
            application: &self.application,
            shared: &self.shared,
            connection: &self.connection,
            scratch: &mut self.arguments,
        }
    }

    /// A call waits for its turn. The official server does not let those wait that cannot be run.
    pub(super) fn held(&mut self, call: CallId, invocation: &Invocation) {
        if let Some(refusal) = self.dispatcher().hopeless(invocation) {
            let (shared, connection) = (&self.shared, &self.connection);
            let span = telemetry::call(shared.name, &invocation.target, &invocation.headers);
            let _entered = span.enter();
            report::refused(&connection.id, &invocation.target, &refusal);
            self.machine.refuse(self.now, call, refusal.as_refusal());
        }
    }

    /// Lets a job make steps for as long as it needs to wait for nothing.
    pub(super) fn go_on(&mut self, cx: &mut Context<'_>, mut job: RunningCall) {
        for _ in 0..ITEMS_IN_A_ROW {
            if matches!(job.work, Work::Items(_)) && !self.machine.is_writable() {
                break;
            }
            let Poll::Ready(step) = job.poll(cx) else {
                break;
            };
            match self.step(job, step) {
                Some(next) => job = next,
                None => return,
            }
        }
        let jobs = match job.work {
            Work::Items(_) => &self.streams,
            Work::Method(_) | Work::Start(_) => &self.methods,
        };
        jobs.push(Pending::new(job));
    }

    /// Deals with what a job has come to, and gives it back if it goes on.
    pub(super) fn step(&mut self, mut job: RunningCall, step: Step) -> Option<RunningCall> {
        // What the application sent and ordered before comes before (`SB-39`, `SB-51`).
        self.take_orders();
        let span = job.span.clone();
        let _entered = span.enter();
        if self.frames_wait {
            self.hurry_frames();
        }
        self.ask();
        let (call, method) = (job.call, job.method);
        match step {
            Step::Done => {
                if let Work::Method(running) = &mut job.work {
                    if let Err(error) = self.answer(call, running.as_mut()) {
                        self.fail(call, method, &error);
                    }
                }
            }
            Step::Failed(error) => self.fail(call, method, &error),
            Step::Started(Ok(items)) => {
                job.work = Work::Items(items);
                return Some(job);
            }
            Step::Started(Err(error)) => self.fail(call, method, &error),
            Step::Item(item) => {
                let sent = catch_unwind(AssertUnwindSafe(|| {
                    self.machine.item(self.now, call, &*item)
                }));
                match sent {
                    Ok(Ok(())) => return Some(job),
                    // The connection is over.
                    Ok(Err(SendError::NotConnected)) => {}
                    Ok(Err(error)) => self.fail_stream(call, method, &HubError::from(error)),
                    Err(panic) => self.fail_stream(call, method, &HubError::panicked(&*panic)),
                }
            }
            Step::ItemFailed(error) => self.fail_stream(call, method, &error),
            Step::Ended => {
                // There is nothing in it that could not be encoded.
                let _ = self.machine.finish(self.now, call, CallOutcome::done());
            }
        }
        self.forget(call);
        None
    }

    /// Answers a call with what its method has come to, unless it failed.
    fn answer(&mut self, call: CallId, method: Pin<&mut dyn Method>) -> Result<(), HubError> {
        let mut answered = Ok(());
        let (machine, now) = (&mut self.machine, self.now);
        catch_unwind(AssertUnwindSafe(|| {
            method.tell(&mut |outcome| {
                answered = match outcome {
                    Ok(value) => machine
                        .finish(now, call, CallOutcome::Value(value))
                        .map_err(HubError::from),
                    Err(error) => Err(error.copy()),
                }
            });
        }))
        .map_err(|panic| HubError::panicked(&*panic))?;
        answered
    }

    fn fail(&mut self, call: CallId, method: usize, error: &HubError) {
        self.log_failure(method, error);
        if let Some(refusal) = error.refusal() {
            return self.machine.refuse(self.now, call, refusal);
        }
        let outcome = CallOutcome::failed(error.failure());
        // Texts can always be encoded.
        let _ = self.machine.finish(self.now, call, outcome);
    }

    fn fail_stream(&mut self, call: CallId, method: usize, error: &HubError) {
        self.log_failure(method, error);
        let outcome = CallOutcome::stream_failed(error.failure());
        let _ = self.machine.finish(self.now, call, outcome);
    }

    fn log_failure(&self, method: usize, error: &HubError) {
        let method = self.application.hub.name(method);
        report::failed(&self.connection.id, &method, error);
    }

    pub(super) fn forget(&mut self, call: CallId) {
        if !self.handles.is_empty() {
            self.handles.remove(&call);
        }
        if !self.uploads.is_empty() {
            self.uploads.remove(&call);
        }
    }

    pub(super) fn poll_calls(&mut self, cx: &mut Context<'_>) -> bool {
        let mut busy = false;
        while let Poll::Ready(Some(done)) = poll_jobs(&mut self.methods, cx) {
            busy = true;
            self.stepped(cx, done);
        }
        for _ in 0..ITEMS_IN_A_ROW {
            if !self.machine.is_writable() {
                break;
            }
            let Poll::Ready(Some(done)) = poll_jobs(&mut self.streams, cx) else {
                break;
            };
            busy = true;
            self.stepped(cx, done);
        }
        busy
    }

    pub(super) fn stepped(&mut self, cx: &mut Context<'_>, done: Option<(RunningCall, Step)>) {
        if let Some((job, step)) = done {
            if let Some(job) = self.step(job, step) {
                self.go_on(cx, job);
            }
        }
    }

    pub(super) fn upload(&self, call: CallId, upload: usize) -> Option<&UploadSender> {
        self.uploads.get(&call)?.get(upload)
    }

    pub(super) fn item(&mut self, call: CallId, upload: usize, item: Payload) {
        let wanted = self
            .upload(call, upload)
            .is_some_and(|sender| sender.item(item));
        if !wanted {
            self.machine.credit(self.now, call, upload, 1);
        }
    }
}

/// Nearly every call has none, and they cost nothing.
fn uploads(count: usize) -> Option<Arc<[UploadSender]>> {
    (count > 0).then(|| (0..count).map(|_| UploadSender::default()).collect())
}

fn poll_jobs(
    jobs: &mut FuturesUnordered<Pending>,
    cx: &mut Context<'_>,
) -> Poll<Option<Option<(RunningCall, Step)>>> {
    if jobs.is_empty() {
        return Poll::Ready(None);
    }
    jobs.poll_next_unpin(cx)
}

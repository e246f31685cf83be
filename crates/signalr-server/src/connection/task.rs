//! The task of one connection: it owns the machine, the requests and sockets under way, and the methods that run.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytestring::ByteString;
use futures_util::future::{BoxFuture, join, poll_fn};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use signalr_proto::codec::Invocation;
use signalr_proto::server::{
    CallId, CallOutcome, DisconnectReason, Identity, Port, ServerConnection, ServerEvent,
    ServerInput, ServerOutput,
};
use signalr_proto::{Instant, OpId, Protocol, SendError};

use super::Connection;
use super::mailbox::Order;
use super::questions::{Question, Questions};
use super::running::{Job, Method, Pending, Step, Work, contained_future};
use super::wires::{Exchange, Wires};
use crate::call::{Call, CallContext};
use crate::dispatch::{self, Bound};
use crate::error::{HubError, UploadError};
use crate::server::Shared;
use crate::upload::UploadSender;
use crate::user::User;

/// Rounds in one turn before other tasks get theirs.
const ROUNDS_PER_TURN: usize = 32;

/// Items taken from one stream before others get their turn.
const ITEMS_IN_A_ROW: usize = 16;

/// A connection's place in the hub's tables, given up however its task ends.
struct Presence {
    shared: Arc<Shared>,
    connection: Arc<Connection>,
}

impl Presence {
    fn context(&self, call: Arc<Call>) -> CallContext {
        CallContext {
            shared: Arc::clone(&self.shared),
            connection: Arc::clone(&self.connection),
            call,
        }
    }

    /// Lets everybody know that the connection is over, while it still has its groups.
    fn over(&self) {
        self.shared.forget(&self.connection);
        for order in self.connection.mailbox.close() {
            if let Order::Arrived(exchange) = order {
                // Nobody hears it when the request was given up meanwhile.
                let _ = exchange
                    .answer
                    .send(exchange.arrival.gone().map(crate::body::HubBody::whole));
            }
        }
        self.connection.aborted.cancel();
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.over();
        self.shared.registry.remove(&self.connection);
    }
}

/// The task's timer. The clock decides whether a deadline has passed, never the timer.
#[derive(Default)]
struct Alarm {
    sleep: Option<(Instant, BoxFuture<'static, ()>)>,
}

/// A newer token that the application has to judge.
struct Applicant {
    op: OpId,
    identity: Identity,
    user: Option<User>,
    decision: BoxFuture<'static, Result<bool, HubError>>,
}

pub(crate) struct Task {
    presence: Presence,
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    machine: Box<ServerConnection>,
    now: Instant,
    deadline: Option<Instant>,
    alarm: Alarm,
    wires: Wires,
    /// Methods that run, and streaming methods that have not given their stream yet.
    methods: FuturesUnordered<Pending>,
    /// Streams, which are only polled while there is room for their items.
    streams: FuturesUnordered<Pending>,
    /// Running calls that can be cancelled.
    handles: HashMap<CallId, Arc<Call>>,
    uploads: HashMap<CallId, Arc<[UploadSender]>>,
    /// Where the arguments of a call lie until they are decoded.
    arguments: Vec<signalr_proto::Payload>,
    questions: Questions,
    greeting: Option<BoxFuture<'static, Result<(), HubError>>>,
    welcomed: bool,
    /// Who came with which request, until the machine has looked at it.
    newcomers: Vec<(OpId, Option<User>)>,
    applicants: Vec<Applicant>,
    /// Messages of others may wait in the mailbox.
    frames_wait: bool,
    closed: Option<DisconnectReason>,
}

impl Task {
    pub(crate) fn new(
        shared: Arc<Shared>,
        connection: Arc<Connection>,
        machine: Box<ServerConnection>,
    ) -> Self {
        tracing::debug!(connection = &*connection.id, "connection opened");
        Self {
            now: shared.clock.now(),
            presence: Presence {
                shared: Arc::clone(&shared),
                connection: Arc::clone(&connection),
            },
            shared,
            connection,
            machine,
            deadline: None,
            alarm: Alarm::default(),
            wires: Wires::default(),
            methods: FuturesUnordered::new(),
            streams: FuturesUnordered::new(),
            handles: HashMap::new(),
            uploads: HashMap::new(),
            arguments: Vec::new(),
            questions: Questions::default(),
            greeting: None,
            welcomed: false,
            newcomers: Vec::new(),
            applicants: Vec::new(),
            frames_wait: false,
            closed: None,
        }
    }

    pub(crate) async fn run(mut self) {
        let reason = poll_fn(|cx| self.poll(cx)).await;
        self.finish(reason).await;
    }

    /// One turn: everything that can be done without waiting.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<DisconnectReason> {
        self.connection.mailbox.register(cx.waker());
        self.now = self.shared.clock.now();
        for _ in 0..ROUNDS_PER_TURN {
            let mut busy = self.take_orders();
            busy |= self.wires.poll(cx, &mut self.machine, self.now);
            busy |= self.poll_application(cx);
            busy |= self.pump(cx);
            self.notice_leaving();
            busy |= self.poll_calls(cx);
            busy |= self.take_frames();
            busy |= self.ask();
            if let Some(reason) = self.closed.take() {
                return Poll::Ready(reason);
            }
            if !busy && !self.poll_alarm(cx) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Nobody need wait for a client that has left, although what it said before may still have to wait for its turn.
    fn notice_leaving(&mut self) {
        if !self.machine.is_open() && self.connection.protocol.get().is_some() {
            self.questions = Questions::default();
            self.connection.aborted.cancel();
        }
    }

    /// Tells the machine when its deadline has passed, and sleeps until then otherwise.
    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            let Some(deadline) = self.deadline else {
                return false;
            };
            if deadline <= self.now {
                self.machine.handle_input(self.now, ServerInput::Timeout);
                return true;
            }
            // A sleep that ends too early costs a look at the clock, and a new one for every message would cost more.
            match &mut self.alarm.sleep {
                Some((until, sleep)) if *until <= deadline => {
                    if *until > self.now {
                        return false;
                    }
                    if sleep.as_mut().poll(cx).is_pending() {
                        return false;
                    }
                    self.alarm.sleep = None;
                    self.now = self.shared.clock.now();
                }
                _ => {
                    let mut sleep = self.shared.clock.sleep(deadline.since(self.now));
                    if sleep.as_mut().poll(cx).is_pending() {
                        self.alarm.sleep = Some((deadline, sleep));
                        return false;
                    }
                    self.now = self.shared.clock.now();
                }
            }
        }
    }

    /// Carries out what the machine wants, until it waits.
    fn pump(&mut self, cx: &mut Context<'_>) -> bool {
        let mut busy = false;
        loop {
            match self.machine.poll_output() {
                ServerOutput::Action(action) => {
                    self.wires.perform(cx, action, &mut self.machine, self.now);
                }
                ServerOutput::Event(event) => self.tell(cx, event),
                ServerOutput::Wait(deadline) => {
                    self.newcomers.clear();
                    self.deadline = deadline;
                    return busy;
                }
            }
            busy = true;
        }
    }
}

/// What others want.
impl Task {
    fn take_orders(&mut self) -> bool {
        let Some(orders) = self.connection.mailbox.take_orders() else {
            return false;
        };
        self.frames_wait = true;
        for order in orders {
            self.obey(order);
        }
        true
    }

    fn obey(&mut self, order: Order) {
        let now = self.now;
        match order {
            Order::Arrived(exchange) => self.arrived(*exchange),
            Order::Close { allow_reconnect } => {
                // What was sent before goes out before.
                self.hurry_frames();
                self.machine.close(now, allow_reconnect);
            }
            Order::Abort => self.machine.abort(now),
            Order::Cut => self.wires.cut(&mut self.machine, now),
            Order::Ask { id, frame, answer } => {
                self.questions.wait(Question { id, frame, answer });
            }
            Order::Forget(id) => {
                self.questions.forget(&id);
                self.machine.forget_question(now, &id);
            }
            Order::Release(call) => self.machine.release(now, call),
            Order::Took {
                call,
                upload,
                items,
                hungry,
            } => {
                if items > 0 {
                    self.machine.credit(now, call, upload, items);
                }
                if hungry {
                    self.machine.hungry(now, call, upload);
                }
            }
        }
    }

    fn arrived(&mut self, exchange: Exchange) {
        let Exchange {
            arrival,
            user,
            incoming,
            answer,
        } = exchange;
        let refreshes = self.shared.options.endpoint.authentication_refresh;
        if refreshes && !matches!(arrival.port, Port::Post | Port::Delete) {
            self.newcomers.push((arrival.op, user));
        }
        self.wires.add(arrival.op, incoming, answer);
        self.machine
            .handle_input(self.now, ServerInput::Arrived(arrival));
        if let Some(transport) = self.machine.transport() {
            // Set once: a connection does not change its transport.
            let _ = self.connection.transport.set(transport);
        }
    }

    /// Messages of others, for as long as the client takes them.
    fn take_frames(&mut self) -> bool {
        if !self.frames_wait || !self.machine.is_writable() {
            return false;
        }
        let (machine, now) = (&mut self.machine, self.now);
        let taken = self
            .connection
            .mailbox
            .take_frames(|frame| machine.is_writable() && machine.send_frame(now, frame).is_ok());
        self.frames_wait = self.connection.mailbox.has_frames();
        taken > 0
    }

    /// The same whether or not the client takes them: something follows that must not overtake them. There are few, since
    /// whoever sends waits before there are many.
    fn hurry_frames(&mut self) {
        let (machine, now) = (&mut self.machine, self.now);
        self.connection
            .mailbox
            .take_frames(|frame| machine.push_frame(now, frame).is_ok());
        self.frames_wait = false;
    }

    /// Questions, behind the messages that were sent before, and as they only for as long as the client takes them.
    fn ask(&mut self) -> bool {
        let mut asked = false;
        while self.questions.is_waiting() && self.welcomed && self.machine.is_writable() {
            let Some(Question { id, frame, answer }) = self.questions.next_waiting() else {
                break;
            };
            if self.machine.ask_frame(self.now, &id, &frame).is_ok() {
                self.questions.add(id, answer);
            }
            asked = true;
        }
        asked
    }
}

/// What the application does.
impl Task {
    fn poll_application(&mut self, cx: &mut Context<'_>) -> bool {
        let mut busy = false;
        if let Some(greeting) = &mut self.greeting {
            if let Poll::Ready(outcome) = greeting.as_mut().poll(cx) {
                self.greeting = None;
                self.greeted(outcome);
                busy = true;
            }
        }
        busy | self.poll_applicants(cx)
    }

    fn poll_applicants(&mut self, cx: &mut Context<'_>) -> bool {
        let mut busy = false;
        let mut index = 0;
        while let Some(applicant) = self.applicants.get_mut(index) {
            match applicant.decision.as_mut().poll(cx) {
                Poll::Pending => index += 1,
                Poll::Ready(accepted) => {
                    let Applicant {
                        op, identity, user, ..
                    } = self.applicants.swap_remove(index);
                    self.judge(op, &identity, user, accepted.unwrap_or(false));
                    busy = true;
                }
            }
        }
        busy
    }

    fn tell(&mut self, cx: &mut Context<'_>, event: ServerEvent) {
        match event {
            ServerEvent::Call {
                call,
                streaming,
                invocation,
            } => self.call(cx, call, streaming, &invocation),
            ServerEvent::Item { call, upload, item } => self.item(call, upload, item),
            ServerEvent::UploadEnded {
                call,
                upload,
                error,
            } => {
                let end = error.map_or(Ok(()), |error| Err(UploadError::FailedByClient { error }));
                if let Some(sender) = self.upload(call, upload) {
                    sender.end(end);
                }
            }
            ServerEvent::Cancel { call } => {
                if let Some(handle) = self.handles.get(&call) {
                    handle.cancel();
                }
            }
            ServerEvent::Answer { id, outcome } => {
                self.shared.questions.end(&id);
                self.questions.answer(&id, outcome);
            }
            ServerEvent::UnknownAnswer { id } => self.unknown_answer(&id),
            ServerEvent::Handshaken { protocol } => {
                self.greet(protocol);
                // A client that is turned away at once hears it with the answer to its handshake, before it asks for more.
                self.poll_application(cx);
            }
            ServerEvent::Reauthenticate { op, identity } => self.reauthenticate(op, identity),
            ServerEvent::Detached { cause } => {
                let connection = &*self.connection.id;
                tracing::debug!(connection, ?cause, "WebSocket lost");
            }
            ServerEvent::Resumed => {
                tracing::debug!(connection = &*self.connection.id, "connection resumed");
            }
            ServerEvent::Closed { reason } => self.closed = Some(reason),
            // Room is looked for in each round.
            ServerEvent::Writable | _ => {}
        }
    }

    fn greet(&mut self, protocol: Protocol) {
        // Set once: there is one handshake.
        let _ = self.connection.protocol.set(protocol);
        self.shared.registry.add(&self.connection);
        if self.shared.shutting_down.load(Ordering::Relaxed) {
            return self.machine.close(self.now, true);
        }
        let context = self.presence.context(Call::welcoming());
        let welcome = Arc::clone(&self.shared).on_connected(context);
        self.greeting = Some(Box::pin(contained_future(welcome)));
    }

    fn greeted(&mut self, outcome: Result<(), HubError>) {
        match outcome {
            Ok(()) => {
                self.welcomed = true;
                self.machine.accept(self.now);
            }
            Err(error) => {
                let connection = &*self.connection.id;
                tracing::debug!(connection, ?error, "the hub turned a client away");
                self.hurry_frames();
                self.machine.reject(self.now, error.failure());
            }
        }
    }

    fn reauthenticate(&mut self, op: OpId, identity: Identity) {
        let newcomer = self.newcomers.iter().find(|(known, _)| *known == op);
        let user = newcomer.and_then(|(_, user)| user.clone());
        if self.shared.on_authentication_refresh.is_none() {
            return self.judge(op, &identity, user, true);
        }
        let (shared, newcomer) = (Arc::clone(&self.shared), user.clone());
        let context = self.presence.context(Call::welcoming());
        let decision = contained_future(async move {
            match &shared.on_authentication_refresh {
                Some(decide) => Ok(decide(context, newcomer).await),
                None => Ok(true),
            }
        });
        self.applicants.push(Applicant {
            op,
            identity,
            user,
            decision: Box::pin(decision),
        });
    }

    fn judge(&mut self, op: OpId, identity: &Identity, user: Option<User>, accepted: bool) {
        self.machine.reauthenticate(self.now, op, accepted);
        // A yet newer one may have been accepted meanwhile.
        if accepted && self.machine.identity() == Some(identity) {
            self.connection.set_user(user);
        }
    }

    fn unknown_answer(&mut self, id: &ByteString) {
        if self.shared.questions.is_of_another(id, &self.connection.id) {
            self.machine
                .close_for(self.now, DisconnectReason::ForeignAnswer);
        }
    }
}

/// Calls.
impl Task {
    fn call(
        &mut self,
        cx: &mut Context<'_>,
        call: CallId,
        streaming: bool,
        invocation: &Invocation,
    ) {
        let uploads = uploads(invocation.stream_ids.len());
        let prepared = dispatch::prepare(
            &self.shared,
            &self.connection,
            call,
            streaming,
            invocation,
            uploads.as_ref(),
            &mut self.arguments,
        );
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(refusal) => {
                let (connection, target) = (&*self.connection.id, &*invocation.target);
                tracing::debug!(connection, target, ?refusal, "a call was refused");
                return self.machine.refuse(self.now, call, refusal.as_refusal());
            }
        };
        if let Some(uploads) = uploads {
            self.uploads.insert(call, uploads);
        }
        let (work, handle) = match prepared.bound {
            Bound::Method(method) => (Work::Method(method), prepared.handle),
            Bound::Stream(start) => {
                let handle = prepared.handle.unwrap_or_else(|| Call::running(call));
                (Work::Start(start), Some(handle))
            }
        };
        if let Some(handle) = &handle {
            self.handles.insert(call, Arc::clone(handle));
        }
        let handle = handle.filter(|_| !matches!(work, Work::Method(_)));
        self.go_on(cx, Job { call, handle, work });
    }

    /// Lets a job make steps for as long as it needs to wait for nothing.
    fn go_on(&mut self, cx: &mut Context<'_>, mut job: Job) {
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
    fn step(&mut self, mut job: Job, step: Step) -> Option<Job> {
        // What the application sent and ordered before comes before (`SB-39`, `SB-51`).
        self.take_orders();
        if self.frames_wait {
            self.hurry_frames();
        }
        self.ask();
        let call = job.call;
        match step {
            Step::Done => {
                if let Work::Method(method) = &mut job.work {
                    self.answer(call, method.as_mut());
                }
            }
            Step::Failed(error) => self.fail(call, &error),
            Step::Started(Ok(items)) => {
                job.work = Work::Items(items);
                return Some(job);
            }
            Step::Started(Err(error)) => self.fail(call, &error),
            Step::Item(item) => {
                let sent = catch_unwind(AssertUnwindSafe(|| {
                    self.machine.item(self.now, call, &*item)
                }));
                match sent {
                    Ok(Ok(())) => return Some(job),
                    // The connection is over.
                    Ok(Err(SendError::NotConnected)) => {}
                    Ok(Err(error)) => self.fail_stream(call, &HubError::from(error)),
                    Err(_) => self.fail_stream(call, &HubError::panicked()),
                }
            }
            Step::ItemFailed(error) => self.fail_stream(call, &error),
            Step::Ended => {
                // There is nothing in it that could not be encoded.
                let _ = self.machine.finish::<()>(self.now, call, CallOutcome::Done);
            }
        }
        self.forget(call);
        None
    }

    fn answer(&mut self, call: CallId, method: Pin<&mut dyn Method>) {
        let mut failure = None;
        let (machine, now) = (&mut self.machine, self.now);
        let told = catch_unwind(AssertUnwindSafe(|| {
            method.tell(&mut |outcome| match outcome {
                Ok(value) => {
                    if let Err(error) = machine.finish(now, call, CallOutcome::Value(value)) {
                        failure = Some(HubError::from(error));
                    }
                }
                Err(error) => failure = Some(error.copy()),
            });
        }));
        if told.is_err() {
            failure = Some(HubError::panicked());
        }
        if let Some(error) = failure {
            self.fail(call, &error);
        }
    }

    fn fail(&mut self, call: CallId, error: &HubError) {
        self.log_failure(error);
        if let Some(refusal) = error.refusal() {
            return self.machine.refuse(self.now, call, refusal);
        }
        let outcome = CallOutcome::<()>::Failed(error.failure());
        // Texts can always be encoded.
        let _ = self.machine.finish(self.now, call, outcome);
    }

    fn fail_stream(&mut self, call: CallId, error: &HubError) {
        self.log_failure(error);
        let outcome = CallOutcome::<()>::StreamFailed(error.failure());
        let _ = self.machine.finish(self.now, call, outcome);
    }

    fn log_failure(&self, error: &HubError) {
        let connection = &*self.connection.id;
        tracing::debug!(connection, ?error, "a hub method failed");
    }

    fn forget(&mut self, call: CallId) {
        if !self.handles.is_empty() {
            self.handles.remove(&call);
        }
        if !self.uploads.is_empty() {
            self.uploads.remove(&call);
        }
    }

    fn poll_calls(&mut self, cx: &mut Context<'_>) -> bool {
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

    fn stepped(&mut self, cx: &mut Context<'_>, done: Option<(Job, Step)>) {
        if let Some((job, step)) = done {
            if let Some(job) = self.step(job, step) {
                self.go_on(cx, job);
            }
        }
    }

    fn upload(&self, call: CallId, upload: usize) -> Option<&UploadSender> {
        self.uploads.get(&call)?.get(upload)
    }

    fn item(&mut self, call: CallId, upload: usize, item: signalr_proto::Payload) {
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
) -> Poll<Option<Option<(Job, Step)>>> {
    if jobs.is_empty() {
        return Poll::Ready(None);
    }
    jobs.poll_next_unpin(cx)
}

/// The end.
impl Task {
    /// Says farewell to the application while the sockets are left.
    async fn finish(self, reason: DisconnectReason) {
        let Self {
            presence,
            shared,
            connection,
            mut wires,
            mut methods,
            streams,
            handles,
            uploads,
            questions,
            greeting,
            welcomed,
            machine,
            ..
        } = self;
        tracing::debug!(connection = &*connection.id, %reason, "connection closed");
        drop((machine, streams, questions));
        presence.over();
        wires.dismiss();
        for sender in uploads.values().flat_map(|senders| senders.iter()) {
            sender.end(Err(UploadError::ConnectionClosed));
        }
        handles.values().for_each(|handle| handle.cancel());
        let timeout = shared.options.connection.close_timeout;
        let hang_up = async {
            shared
                .clock
                .timeout(timeout, poll_fn(|cx| wires.poll_left(cx)))
                .await;
            drop(wires);
        };
        let farewell = async {
            let welcomed = match greeting {
                Some(greeting) => greeting.await.is_ok(),
                None => welcomed,
            };
            if welcomed {
                let context = presence.context(Call::welcoming());
                // Its panics are reported there; nobody is left to hear of them.
                let _ = contained_future(async {
                    Arc::clone(&shared).on_disconnected(context, reason).await;
                    Ok(())
                })
                .await;
            }
        };
        join(farewell, hang_up).await;
        drop(presence);
        drop((shared, connection));
        // Methods that still run come to their end; nobody hears of it.
        while methods.next().await.is_some() {}
    }
}

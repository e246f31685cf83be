//! The driver of one connection: carries out what the machine wants, and hands out what it tells.

use std::collections::HashMap;
use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use bytestring::ByteString;
use futures_util::future::{BoxFuture, OptionFuture};
use futures_util::{FutureExt as _, Sink, SinkExt as _, Stream, StreamExt as _};
use signalr_proto::codec::{Invocation, Outcome};
use signalr_proto::server::{
    DisconnectReason, ServerAction, ServerConnection, ServerEvent, ServerInput, ServerOutput,
};
use signalr_proto::{EndCause, Instant, Payload, Protocol, SendError, WsMessage};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Sleep;

use crate::call::{Call, CallContext};
use crate::connection::{Clock, Connection};
use crate::dispatch::{self, Prepared, Run, contained, failure, invoking};
use crate::error::HubError;
use crate::registry::Answered;
use crate::server::{Accepted, Shared};
use crate::upload::UploadMessage;

const CLOSED_WITH_ERROR: &str = "Connection closed with an error.";

/// Received bytes that may wait while the application is busy: beyond them the socket is not read.
const MANY_BYTES: usize = 64 << 10;

/// Upload streams above which those that nobody reads any more are looked for.
const MANY_UPLOADS: usize = 64;

pub(crate) async fn serve<I, O, E>(accepted: &Accepted, incoming: I, outgoing: O)
where
    I: Stream<Item = Result<WsMessage, E>> + Send + Unpin,
    O: Sink<WsMessage, Error = E> + Send + Unpin,
    E: Display + Send,
{
    let clock = Clock::start();
    let machine = ServerConnection::new(accepted.shared.config.clone(), clock.now());
    let id = Arc::from(&*accepted.ids.connection_id);
    let connection = Arc::new(Connection::new(
        id,
        accepted.user.clone(),
        accepted.request.clone(),
        clock,
        machine,
    ));
    let presence = Presence {
        shared: Arc::clone(&accepted.shared),
        connection,
    };
    Driver::new(&presence, incoming, outgoing).run().await;
}

/// A connection's place in the hub's tables, given up however its driver ends.
struct Presence {
    shared: Arc<Shared>,
    connection: Arc<Connection>,
}

impl Presence {
    /// Lets everybody know that the connection is over, while it still has its groups.
    fn over(&self) {
        self.connection.aborted.cancel();
        self.shared.registry.forget_questions(&self.connection.id);
        self.connection.writable.notify_waiters();
    }

    fn context(&self, call: Arc<Call>) -> CallContext {
        CallContext {
            shared: Arc::clone(&self.shared),
            connection: Arc::clone(&self.connection),
            call,
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let cause = EndCause::Clean;
        self.connection
            .command(|machine, now| machine.handle_input(now, ServerInput::Ended { cause }));
        self.over();
        self.shared.registry.remove(&self.connection);
    }
}

/// How the transport is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leave {
    /// With a close frame of this code.
    Close(u16),
    /// The client has closed it.
    Closed,
    /// At once.
    Drop,
}

struct Driver<'a, I, O> {
    presence: &'a Presence,
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    incoming: I,
    writer: Writer<O>,
    deadline: Option<Instant>,
    sleep: Pin<Box<Sleep>>,
    expiry: OptionFuture<Pin<Box<Sleep>>>,
    /// Plain calls that may run at the same time, and streams.
    permits: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    uploads: HashMap<ByteString, mpsc::Sender<UploadMessage>>,
    /// What has to happen before the next message is looked at.
    blocked: Option<BoxFuture<'static, ()>>,
    greeting: Option<BoxFuture<'static, Result<(), HubError>>>,
    welcomed: bool,
    leave: Leave,
    /// The transport is over: nothing is read or written any more.
    ended: bool,
    closed: Option<DisconnectReason>,
}

impl<'a, I, O, E> Driver<'a, I, O>
where
    I: Stream<Item = Result<WsMessage, E>> + Send + Unpin,
    O: Sink<WsMessage, Error = E> + Send + Unpin,
    E: Display + Send,
{
    fn new(presence: &'a Presence, incoming: I, outgoing: O) -> Self {
        let shared = Arc::clone(&presence.shared);
        let connection = Arc::clone(&presence.connection);
        let lifetime = connection
            .user
            .as_ref()
            .and_then(crate::User::lifetime)
            .filter(|_| shared.options.close_on_authentication_expiration);
        let semaphore =
            |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        Self {
            presence,
            incoming,
            writer: Writer {
                sink: outgoing,
                state: Writing::Idle,
            },
            deadline: None,
            sleep: Box::pin(tokio::time::sleep(std::time::Duration::ZERO)),
            expiry: lifetime
                .map(|lifetime| Box::pin(tokio::time::sleep(lifetime)))
                .into(),
            permits: semaphore(shared.options.maximum_parallel_invocations_per_client),
            streams: semaphore(shared.options.maximum_streams_per_client),
            uploads: HashMap::new(),
            blocked: None,
            greeting: None,
            welcomed: false,
            leave: Leave::Drop,
            ended: false,
            closed: None,
            shared,
            connection,
        }
    }

    async fn run(mut self) {
        tracing::debug!(connection = &*self.connection.id, "connection opened");
        let reason = loop {
            self.carry_out();
            if let Some(reason) = self.closed.take() {
                break reason;
            }
            self.wait().await;
        };
        tracing::debug!(connection = &*self.connection.id, %reason, "connection closed");
        self.finish(reason).await;
    }

    /// Waits for whatever happens next, and tells the machine.
    async fn wait(&mut self) {
        // A client that leaves is noticed even while its calls wait for their turn.
        let reading = !self.ended
            && (self.blocked.is_none() || self.connection.machine().incoming_bytes() < MANY_BYTES);
        tokio::select! {
            message = self.incoming.next(), if reading => self.received(message),
            written = self.writer.progress(), if self.writer.is_busy() => self.written(written),
            () = self.connection.wake.notified() => {}
            () = &mut self.sleep, if self.deadline.is_some() => self.input(ServerInput::Timeout),
            Some(()) = OptionFuture::from(self.blocked.as_mut()) => self.unblock(),
            Some(greeted) = OptionFuture::from(self.greeting.as_mut()) => self.greeted(greeted),
            Some(()) = &mut self.expiry => self.expired(),
            () = self.connection.cut.cancelled() => self.ended(Leave::Drop, EndCause::Failed { detail: "the connection was cut".into() }),
        }
    }

    fn input(&self, input: ServerInput) {
        self.connection
            .machine()
            .handle_input(self.connection.clock.now(), input);
    }

    fn received(&mut self, message: Option<Result<WsMessage, E>>) {
        match message {
            Some(Ok(WsMessage::Text(bytes) | WsMessage::Binary(bytes))) => {
                self.input(ServerInput::Received { bytes })
            }
            Some(Ok(WsMessage::Close(code))) => {
                self.ended(
                    Leave::Closed,
                    EndCause::WebSocketClose {
                        code,
                        reason: Box::default(),
                    },
                );
            }
            Some(Err(error)) => self.ended(
                Leave::Drop,
                EndCause::Failed {
                    detail: error.to_string().into(),
                },
            ),
            None => self.ended(
                Leave::Drop,
                EndCause::WebSocketClose {
                    code: 1006,
                    reason: Box::default(),
                },
            ),
        }
    }

    fn written(&mut self, written: Result<(), E>) {
        match written {
            Ok(()) => self.input(ServerInput::Sent),
            Err(error) => self.ended(
                Leave::Drop,
                EndCause::Failed {
                    detail: error.to_string().into(),
                },
            ),
        }
    }

    fn ended(&mut self, leave: Leave, cause: EndCause) {
        self.leave = leave;
        self.ended = true;
        self.writer.state = Writing::Idle;
        self.input(ServerInput::Ended { cause });
        self.presence.over();
    }

    fn unblock(&mut self) {
        self.blocked = None;
        self.input(ServerInput::ReadResumed);
    }

    fn expired(&mut self) {
        self.expiry = None.into();
        self.connection.close(None, true);
    }

    /// Polls the machine until it has nothing more to say.
    fn carry_out(&mut self) {
        loop {
            let output = self.connection.machine().poll_output();
            match output {
                ServerOutput::Action(action) => self.act(action),
                ServerOutput::Event(event) => self.tell(event),
                ServerOutput::Wait(deadline) => return self.sleep_until(deadline),
            }
        }
    }

    fn sleep_until(&mut self, deadline: Option<Instant>) {
        if self.deadline == deadline {
            return;
        }
        let at = deadline.and_then(|deadline| self.connection.clock.at(deadline));
        self.deadline = deadline.filter(|_| at.is_some());
        if let Some(at) = at {
            self.sleep.as_mut().reset(at);
        }
    }

    fn act(&mut self, action: ServerAction) {
        match action {
            ServerAction::Send { message } => self.writer.state = Writing::Waiting(message),
            ServerAction::Close { code } => self.leave = Leave::Close(code),
            // Whatever else a later machine may want of a transport, this one cannot give it.
            ServerAction::Abort | _ => self.leave = Leave::Drop,
        }
    }

    fn tell(&mut self, event: ServerEvent) {
        match event {
            ServerEvent::Handshaken { protocol } => self.greet(protocol),
            ServerEvent::Invocation {
                streaming,
                invocation,
            } => self.invoke(streaming, &invocation),
            ServerEvent::StreamItem { stream_id, item } => self.stream_item(&stream_id, item),
            ServerEvent::Completion { id, outcome } => self.completion(&id, outcome),
            ServerEvent::Cancel { invocation_id } => self.connection.cancel_call(&invocation_id),
            ServerEvent::Writable => self.connection.writable.notify_waiters(),
            ServerEvent::Closed { reason } => self.closed = Some(reason),
            ServerEvent::Detached { .. } | ServerEvent::Resumed | _ => {}
        }
    }

    fn greet(&mut self, protocol: Protocol) {
        // Set once: there is one handshake.
        let _ = self.connection.protocol.set(protocol);
        self.shared.registry.add(&self.connection);
        if self.shared.shutting_down.load(Ordering::Relaxed) {
            return self.connection.close(None, true);
        }
        let welcome = self
            .shared
            .hub
            .on_connected(self.presence.context(Call::welcoming()));
        self.greeting = Some(Box::pin(contained(welcome)));
    }

    fn greeted(&mut self, outcome: Result<(), HubError>) {
        self.greeting = None;
        match outcome {
            Ok(()) => {
                self.welcomed = true;
                self.connection.command(ServerConnection::accept);
            }
            Err(error) => {
                tracing::debug!(
                    connection = &*self.connection.id,
                    "the hub turned a client away"
                );
                let text = error.describe(
                    CLOSED_WITH_ERROR,
                    self.shared.options.enable_detailed_errors,
                );
                self.connection.close(Some(&text), false);
            }
        }
    }

    fn invoke(&mut self, streaming: bool, invocation: &Invocation) {
        match dispatch::prepare(&self.shared, &self.connection, streaming, invocation) {
            Ok(prepared) => self.start(prepared, invocation),
            Err(text) => self.refuse(invocation, &text),
        }
    }

    fn start(&mut self, prepared: Prepared, invocation: &Invocation) {
        let Prepared {
            run,
            uploads,
            plain,
        } = prepared;
        let semaphore = if plain { &self.permits } else { &self.streams };
        match Arc::clone(semaphore).try_acquire_owned() {
            Ok(permit) => {
                self.register(invocation, uploads);
                run.permit(permit);
                launch(run, plain);
            }
            // The next call waits for this one's turn, and everything behind it too (`SB-22`).
            Err(_) if plain => {
                let permits = Arc::clone(&self.permits);
                self.block(async move {
                    if let Ok(permit) = permits.acquire_owned().await {
                        run.permit(permit);
                        launch(run, plain);
                    }
                });
            }
            Err(_) => {
                let error = HubError::new("Too many streams.");
                let text = error.describe(
                    &invoking(&invocation.target),
                    self.shared.options.enable_detailed_errors,
                );
                run.give_up();
                self.refuse(invocation, &text);
            }
        }
    }

    fn register(&mut self, invocation: &Invocation, uploads: Vec<mpsc::Sender<UploadMessage>>) {
        if self.uploads.len() >= MANY_UPLOADS {
            self.uploads.retain(|_, upload| !upload.is_closed());
        }
        self.uploads
            .extend(invocation.stream_ids.iter().cloned().zip(uploads));
    }

    fn refuse(&mut self, invocation: &Invocation, text: &str) {
        tracing::debug!(
            connection = &*self.connection.id,
            "an invocation was refused"
        );
        if let (Some(id), Some(protocol)) =
            (&invocation.invocation_id, self.connection.protocol.get())
        {
            self.reply(failure(*protocol, id, text));
        }
    }

    /// A client that does not take its answers is not read either.
    fn reply(&mut self, frame: Bytes) {
        if let Err(SendError::Full { .. }) = self.connection.try_write(&frame) {
            let connection = Arc::clone(&self.connection);
            self.block(async move {
                let _ = connection.write(frame).await;
            });
        }
    }

    fn stream_item(&mut self, stream_id: &ByteString, item: Payload) {
        self.upload(stream_id, UploadMessage::Item(item));
    }

    fn completion(&mut self, id: &ByteString, outcome: Outcome) {
        if self.uploads.contains_key(id) {
            let error = match outcome {
                Outcome::Error(error) => Some((*error).into()),
                Outcome::Void | Outcome::Result(_) => None,
            };
            self.upload(id, UploadMessage::End(error));
            self.uploads.remove(id);
        } else if self
            .shared
            .registry
            .answer(&self.connection.id, id, outcome)
            == Answered::Foreign
        {
            self.connection
                .command(|machine, now| machine.close_for(now, DisconnectReason::ForeignAnswer));
        }
    }

    fn upload(&mut self, stream_id: &ByteString, message: UploadMessage) {
        let Some(upload) = self.uploads.get(stream_id) else {
            return;
        };
        match upload.try_send(message) {
            Ok(()) => {}
            Err(TrySendError::Full(message)) => {
                let upload = upload.clone();
                self.block(async move {
                    // The method may end meanwhile, and then nobody wants the item.
                    let _ = upload.send(message).await;
                });
            }
            Err(TrySendError::Closed(_)) => {
                self.uploads.remove(stream_id);
            }
        }
    }

    /// Stops reading until `until` is done.
    fn block(&mut self, until: impl Future<Output = ()> + Send + 'static) {
        self.blocked = Some(Box::pin(until));
        self.input(ServerInput::ReadPaused);
    }

    /// The farewell of the application and that of the transport, side by side.
    async fn finish(self, reason: DisconnectReason) {
        let Self {
            presence,
            greeting,
            welcomed,
            leave,
            writer,
            incoming,
            shared,
            ..
        } = self;
        presence.over();
        let farewell = async {
            let welcomed = match greeting {
                Some(greeting) => greeting.await.is_ok(),
                None => welcomed,
            };
            if welcomed {
                let farewell = shared
                    .hub
                    .on_disconnected(presence.context(Call::welcoming()), reason);
                // Its panics are reported there; nobody is left to hear of them.
                let _ = contained(async {
                    farewell.await;
                    Ok(())
                })
                .await;
            }
        };
        let hang_up = tokio::time::timeout(
            shared.options.close_timeout,
            hang_up(leave, incoming, writer.sink),
        );
        let _ = futures_util::future::join(farewell, hang_up).await;
    }
}

/// Starts a method. A plain call that needs to wait for nothing is done at once, before the next message is looked at.
fn launch(run: Run, plain: bool) {
    let mut call = Box::pin(run.run());
    let done = plain && call.as_mut().now_or_never().is_some();
    if !done {
        tokio::spawn(call);
    }
}

async fn hang_up<I, O, E>(leave: Leave, mut incoming: I, mut outgoing: O)
where
    I: Stream<Item = Result<WsMessage, E>> + Unpin,
    O: Sink<WsMessage, Error = E> + Unpin,
{
    match leave {
        Leave::Drop => {}
        Leave::Closed => {
            let _ = outgoing.close().await;
        }
        Leave::Close(code) => {
            if outgoing.send(WsMessage::Close(code)).await.is_ok() {
                while let Some(Ok(message)) = incoming.next().await {
                    if matches!(message, WsMessage::Close(_)) {
                        break;
                    }
                }
                let _ = outgoing.close().await;
            }
        }
    }
}

/// Sends one message at a time, and can be left and come back to.
struct Writer<O> {
    sink: O,
    state: Writing,
}

enum Writing {
    Idle,
    Waiting(WsMessage),
    Flushing,
}

impl<O: Sink<WsMessage> + Unpin> Writer<O> {
    const fn is_busy(&self) -> bool {
        !matches!(self.state, Writing::Idle)
    }

    async fn progress(&mut self) -> Result<(), O::Error> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), O::Error>> {
        if let Writing::Waiting(_) = self.state {
            ready!(self.sink.poll_ready_unpin(cx))?;
            if let Writing::Waiting(message) = std::mem::replace(&mut self.state, Writing::Flushing)
            {
                self.sink.start_send_unpin(message)?;
            }
        }
        let flushed = ready!(self.sink.poll_flush_unpin(cx));
        self.state = Writing::Idle;
        Poll::Ready(flushed)
    }
}

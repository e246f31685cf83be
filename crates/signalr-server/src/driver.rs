//! What a connection does for its application: greets, starts calls, passes on what the client says. It outlives the
//! WebSockets that [`serving`](crate::serving) drives.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use bytestring::ByteString;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, OptionFuture};
use signalr_proto::codec::{Invocation, Outcome};
use signalr_proto::server::{DisconnectReason, ServerConnection, ServerEvent, ServerInput};
use signalr_proto::{EndCause, Instant, Payload, Protocol, SendError};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Sleep;

use crate::call::{Call, CallContext};
use crate::connection::{Clock, Connection};
use crate::dispatch::{self, Prepared, Run, contained, failure, invoking};
use crate::error::HubError;
use crate::registry::Answered;
use crate::server::{Newcomer, Shared, Ticket};
use crate::upload::UploadMessage;

const CLOSED_WITH_ERROR: &str = "Connection closed with an error.";

/// Upload streams above which those that nobody reads any more are looked for.
const MANY_UPLOADS: usize = 64;

/// A connection's place in the hub's tables, given up however its driver ends.
struct Presence {
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    /// Its place among the tokens.
    _ticket: Ticket,
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

/// The application's side of a connection.
pub(crate) struct Driver {
    presence: Presence,
    pub(crate) shared: Arc<Shared>,
    pub(crate) connection: Arc<Connection>,
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
    pub(crate) closed: Option<DisconnectReason>,
}

impl Driver {
    pub(crate) fn new(newcomer: Newcomer) -> Self {
        let Newcomer {
            shared,
            ids,
            stateful_reconnect,
            user,
            request,
            ticket,
        } = newcomer;
        let clock = Clock::start();
        let mut config = shared.config.clone();
        config.stateful_reconnect = stateful_reconnect;
        let machine = ServerConnection::new(config, clock.now());
        let id = Arc::from(&*ids.connection_id);
        let connection = Arc::new(Connection::new(id, user, request, clock, machine));
        if stateful_reconnect {
            ticket.name(&connection);
        }
        let lifetime = connection
            .user
            .as_ref()
            .and_then(crate::User::lifetime)
            .filter(|_| shared.options.close_on_authentication_expiration);
        let semaphore =
            |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        tracing::debug!(connection = &*connection.id, "connection opened");
        Self {
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
            closed: None,
            presence: Presence {
                shared: Arc::clone(&shared),
                connection: Arc::clone(&connection),
                _ticket: ticket,
            },
            shared,
            connection,
        }
    }

    pub(crate) fn input(&self, input: ServerInput) {
        self.connection
            .machine()
            .handle_input(self.connection.clock.now(), input);
    }

    /// Whether something has to happen before the next message is looked at.
    pub(crate) const fn is_blocked(&self) -> bool {
        self.blocked.is_some()
    }

    /// Waits for whatever happens next apart from the WebSocket, and tells the machine.
    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            () = self.connection.wake.notified() => {}
            () = &mut self.sleep, if self.deadline.is_some() => self.input(ServerInput::Timeout),
            Some(()) = OptionFuture::from(self.blocked.as_mut()) => self.unblock(),
            Some(greeted) = OptionFuture::from(self.greeting.as_mut()) => self.greeted(greeted),
            Some(()) = &mut self.expiry => self.expired(),
        }
    }

    /// Lets everybody know that the connection is over, if losing its WebSocket was the end of it.
    pub(crate) fn lost(&self) {
        if !self.connection.machine().is_detached() {
            self.presence.over();
        }
    }

    fn unblock(&mut self) {
        self.blocked = None;
        self.input(ServerInput::ReadResumed);
    }

    fn expired(&mut self) {
        self.expiry = None.into();
        self.connection.close(None, true);
    }

    pub(crate) fn sleep_until(&mut self, deadline: Option<Instant>) {
        if self.deadline == deadline {
            return;
        }
        let at = deadline.and_then(|deadline| self.connection.clock.at(deadline));
        self.deadline = deadline.filter(|_| at.is_some());
        if let Some(at) = at {
            self.sleep.as_mut().reset(at);
        }
    }

    pub(crate) fn tell(&mut self, event: ServerEvent) {
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
            ServerEvent::Detached { cause } => {
                let connection = &*self.connection.id;
                tracing::debug!(connection, ?cause, "WebSocket lost");
            }
            ServerEvent::Resumed => {
                tracing::debug!(connection = &*self.connection.id, "connection resumed");
            }
            _ => {}
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

    /// Says farewell to the application while `hang_up` leaves the transport.
    pub(crate) async fn finish(self, reason: DisconnectReason, hang_up: impl Future<Output = ()>) {
        let Self {
            presence,
            greeting,
            welcomed,
            shared,
            connection,
            ..
        } = self;
        tracing::debug!(connection = &*connection.id, %reason, "connection closed");
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
        futures_util::future::join(farewell, hang_up).await;
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

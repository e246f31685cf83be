//! From an invocation message to a running method, and back to its answer.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use futures_util::{FutureExt as _, StreamExt as _};
use signalr_proto::codec::{CompletionOutcome, Encode, Invocation};
use signalr_proto::{EncodeError, Payload, PayloadError, Protocol};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::call::{Call, CallContext};
use crate::connection::Connection;
use crate::error::HubError;
use crate::handler::{CallParts, Items, Reply};
use crate::hub::{Bound, Shape};
use crate::server::Shared;
use crate::upload::{Upload, UploadMessage};

const WRONG_TYPES: &str = "Error binding arguments. Make sure that the types of the provided values match the types of the hub method being invoked.";

/// The method's ends and the connection's ends of the upload streams of one call.
type Uploads = (Vec<Upload>, Vec<mpsc::Sender<UploadMessage>>);

/// A call that is ready to run.
pub(crate) struct Prepared {
    pub(crate) run: Run,
    /// Where its upload streams go, in the order of their ids.
    pub(crate) uploads: Vec<mpsc::Sender<UploadMessage>>,
    /// Whether it waits for a permit: only plain calls do.
    pub(crate) plain: bool,
}

/// Checks an invocation, in the official server's order, and makes the parameters of its method (`SB-14` to `SB-20`).
/// The error is the text for the client.
pub(crate) fn prepare(
    shared: &Arc<Shared>,
    connection: &Arc<Connection>,
    streaming: bool,
    invocation: &Invocation,
) -> Result<Prepared, String> {
    let detailed = shared.options.enable_detailed_errors;
    let target = &invocation.target;
    let failed = |error: &HubError| {
        error.describe(
            &format!("Failed to invoke '{target}' due to an error on the server."),
            detailed,
        )
    };
    let no_method = || failed(&HubError::new("Method does not exist."));

    let shape = shared.hub.shape(target).ok_or_else(no_method)?;
    let arguments =
        arguments(invocation, shape).map_err(|text| failed(&HubError::invalid_data(&text)))?;
    let (receivers, senders) = uploads(shape.streams, shared.options.stream_buffer_capacity);
    let context = CallContext {
        shared: Arc::clone(shared),
        connection: Arc::clone(connection),
        call: Call::new(),
    };
    let mut parts = CallParts {
        context: context.clone(),
        arguments: arguments.into_iter(),
        uploads: receivers.into_iter(),
    };
    let bound = std::panic::catch_unwind(AssertUnwindSafe(|| shared.hub.bind(target, &mut parts)));
    let bound = bound.map_err(|_| failed(&HubError::panicked()))?;
    let bound = bound
        .map_err(|_| failed(&HubError::invalid_data(WRONG_TYPES)))?
        .ok_or_else(no_method)?;
    check_mode(target, streaming, shape)?;
    check_streams(invocation, shape, detailed)?;
    let serial = register(&context, streaming, invocation)?;
    let run = Run {
        context,
        target: target.clone(),
        id: invocation.invocation_id.clone(),
        serial,
        bound,
    };
    Ok(Prepared {
        run,
        uploads: senders,
        plain: !streaming && shape.streams == 0,
    })
}

fn arguments(invocation: &Invocation, shape: Shape) -> Result<Vec<Payload>, String> {
    let arguments = invocation
        .arguments
        .payloads()
        .map_err(|_: PayloadError| WRONG_TYPES.to_owned())?;
    if arguments.len() == shape.arguments {
        return Ok(arguments);
    }
    Err(format!(
        "Invocation provides {} argument(s) but target expects {}.",
        arguments.len(),
        shape.arguments
    ))
}

fn uploads(count: usize, capacity: usize) -> Uploads {
    let mut ends = Uploads::default();
    for _ in 0..count {
        let (sender, receiver) = mpsc::channel(capacity);
        ends.0.push(receiver);
        ends.1.push(sender);
    }
    ends
}

fn check_mode(target: &str, streaming: bool, shape: Shape) -> Result<(), String> {
    match (streaming, shape.streaming) {
        (false, true) => Err(format!(
            "The client attempted to invoke the streaming '{target}' method with a non-streaming invocation."
        )),
        (true, false) => Err(format!(
            "The client attempted to invoke the non-streaming '{target}' method with a streaming invocation."
        )),
        (true, true) | (false, false) => Ok(()),
    }
}

fn check_streams(invocation: &Invocation, shape: Shape, detailed: bool) -> Result<(), String> {
    let sent = invocation.stream_ids.len();
    if sent == shape.streams {
        return Ok(());
    }
    let error = HubError::new(format!(
        "Client sent {sent} stream(s), Hub method expects {}.",
        shape.streams
    ));
    Err(error.describe(&invoking(&invocation.target), detailed))
}

/// Makes the call known under its id. A stream's id must be free (`SB-28`); for other calls an id only matters to the client.
fn register(
    context: &CallContext,
    streaming: bool,
    invocation: &Invocation,
) -> Result<Option<u64>, String> {
    let Some(id) = &invocation.invocation_id else {
        return Ok(None);
    };
    match context.connection.begin_call(id, &context.call.cancel) {
        None if streaming => Err(format!("Invocation ID '{id}' is already in use.")),
        serial => Ok(serial),
    }
}

pub(crate) fn invoking(target: &str) -> String {
    format!("An unexpected error occurred invoking '{target}' on the server.")
}

/// A method about to run, or running.
pub(crate) struct Run {
    context: CallContext,
    target: ByteString,
    id: Option<ByteString>,
    serial: Option<u64>,
    bound: Bound,
}

impl Run {
    pub(crate) fn permit(&self, permit: OwnedSemaphorePermit) {
        self.context.call.permit(permit);
    }

    /// Forgets the call without running it.
    pub(crate) fn give_up(self) {
        if let (Some(id), Some(serial)) = (&self.id, self.serial) {
            self.context.connection.end_call(id, serial);
        }
    }

    /// Runs the method and sends what becomes of it.
    pub(crate) async fn run(self) {
        let Self {
            context,
            target,
            id,
            serial,
            bound,
        } = self;
        let answer = Answer {
            context: &context,
            target: &target,
            id: id.as_deref(),
        };
        match bound {
            Bound::Call(call) => answer.call(call).await,
            Bound::Stream(stream) => answer.stream(stream).await,
        }
        if let (Some(id), Some(serial)) = (&id, serial) {
            context.connection.end_call(id, serial);
        }
        // The next call of this client runs when this one's answer is on its way.
        let _ = context.call.let_others_run();
    }
}

struct Answer<'a> {
    context: &'a CallContext,
    target: &'a str,
    id: Option<&'a str>,
}

impl Answer<'_> {
    async fn call(&self, call: impl Future<Output = Result<Reply, HubError>>) {
        let outcome = contained(async { call.await.and_then(|reply| self.result(&*reply)) }).await;
        match outcome {
            Ok(frame) => self.send(frame).await,
            Err(error) => self.fail(&invoking(self.target), &error).await,
        }
    }

    async fn stream(&self, stream: impl Future<Output = Result<Items, HubError>>) {
        let started = tokio::select! {
            started = contained(stream) => started,
            () = self.context.cancelled() => return self.end().await,
        };
        match started {
            Ok(items) => self.items(items).await,
            Err(error) => self.fail(&invoking(self.target), &error).await,
        }
    }

    async fn items(&self, mut items: Items) {
        loop {
            let next = tokio::select! {
                next = contained(async { Ok(items.next().await) }) => next,
                () = self.context.cancelled() => break,
            };
            let frame = match next {
                Ok(None) => break,
                Ok(Some(item)) => item.and_then(|item| self.item(&*item)),
                Err(error) => Err(error),
            };
            match frame {
                Ok(frame) => self.send(frame).await,
                Err(error) => {
                    return self
                        .fail(
                            "An error occurred on the server while streaming results.",
                            &error,
                        )
                        .await;
                }
            }
        }
        drop(items);
        self.end().await;
    }

    /// The last message of a stream that did not fail.
    async fn end(&self) {
        let frame = self.encode(|protocol, out, id| {
            protocol.encode_completion::<()>(out, &[], id, CompletionOutcome::Void)
        });
        if let Ok(frame) = frame {
            self.send(frame).await;
        }
    }

    async fn fail(&self, base: &str, error: &HubError) {
        tracing::debug!(
            connection = self.context.connection_id(),
            target = self.target,
            "a hub method failed"
        );
        let text = error.describe(base, self.context.shared.options.enable_detailed_errors);
        if let (Some(id), Some(protocol)) = (self.id, self.protocol()) {
            self.send(failure(protocol, id, &text)).await;
        }
    }

    fn result(&self, reply: &(dyn Encode + Send)) -> Result<Bytes, HubError> {
        self.encode(|protocol, out, id| {
            protocol.encode_completion(out, &[], id, CompletionOutcome::Result(reply))
        })
    }

    fn item(&self, item: &(dyn Encode + Send)) -> Result<Bytes, HubError> {
        self.encode(|protocol, out, id| protocol.encode_stream_item(out, &[], id, item))
    }

    /// Encodes apart from the connection, so that a value whose `Serialize` fails or panics harms nobody else.
    fn encode(
        &self,
        encode: impl FnOnce(Protocol, &mut BytesMut, &str) -> Result<(), EncodeError>,
    ) -> Result<Bytes, HubError> {
        let mut out = BytesMut::new();
        if let (Some(id), Some(protocol)) = (self.id, self.protocol()) {
            encode(protocol, &mut out, id)?;
        }
        Ok(out.freeze())
    }

    fn protocol(&self) -> Option<Protocol> {
        self.context.connection.protocol.get().copied()
    }

    /// Nobody hears the answer when the connection is gone, and nobody asked for one without an id.
    async fn send(&self, frame: Bytes) {
        if self.id.is_some() {
            let _ = self.context.connection.write(frame).await;
        }
    }
}

/// A completion with an error.
pub(crate) fn failure(protocol: Protocol, id: &str, text: &str) -> Bytes {
    let mut out = BytesMut::new();
    // Texts can always be encoded.
    let _ = protocol.encode_completion::<()>(&mut out, &[], id, CompletionOutcome::Error(text));
    out.freeze()
}

/// Runs the application's code; a panic there becomes an error here.
pub(crate) async fn contained<T>(
    future: impl Future<Output = Result<T, HubError>>,
) -> Result<T, HubError> {
    match AssertUnwindSafe(future).catch_unwind().await {
        Ok(result) => result,
        Err(panic) => Err(panicked(&*panic)),
    }
}

fn panicked(_: &(dyn Any + Send)) -> HubError {
    tracing::error!("the application's code panicked");
    HubError::panicked()
}

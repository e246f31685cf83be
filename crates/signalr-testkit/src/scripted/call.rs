//! A call of the client, in the hands of the test.

use core::fmt;
use core::panic::Location;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use signalr_proto::codec::{HubMessage, Invocation, Outcome};
use signalr_proto::{FromArguments, Protocol};

use super::state::{IncomingCall, Shared, completion, payload};
use crate::describe;

/// A call that the client made, to be answered: what [`expect_invocation`](super::ScriptedHub::expect_invocation) gives.
///
/// Answers that come too late, because the connection is gone, go nowhere, as with any server.
pub struct Call {
    shared: Arc<Shared>,
    link: u64,
    streaming: bool,
    invocation: Invocation,
}

impl Call {
    pub(super) fn new(shared: &Arc<Shared>, came: IncomingCall) -> Self {
        Self {
            shared: Arc::clone(shared),
            link: came.link,
            streaming: came.streaming,
            invocation: came.invocation,
        }
    }

    /// The method.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.invocation.target
    }

    /// Whether the client asked for a stream.
    #[must_use]
    pub const fn is_stream(&self) -> bool {
        self.streaming
    }

    /// Whether the client waits for an answer: not for what it [sends](signalr_client::HubConnection::send).
    #[must_use]
    pub const fn wants_answer(&self) -> bool {
        self.invocation.invocation_id.is_some()
    }

    /// The arguments, as a tuple.
    ///
    /// # Panics
    /// When they are others.
    #[track_caller]
    #[must_use]
    pub fn arguments<A: FromArguments>(&self) -> A {
        match self.invocation.arguments.decode() {
            Ok(arguments) => arguments,
            Err(error) => panic!("{}: {error}", describe::invocation(&self.invocation)),
        }
    }

    /// Ends it with a result.
    ///
    /// # Panics
    /// When the client wants no answer, or the value cannot be serialized.
    #[track_caller]
    pub fn complete(self, result: impl Serialize) {
        let result = payload(self.protocol(), &result);
        self.end(Outcome::Result(result));
    }

    /// Ends it without a result, as methods do that return nothing, and streams.
    ///
    /// # Panics
    /// When the client wants no answer.
    #[track_caller]
    pub fn finish(self) {
        self.end(Outcome::Void);
    }

    /// Ends it with an error.
    ///
    /// # Panics
    /// When the client wants no answer.
    #[track_caller]
    pub fn fail(self, error: &str) {
        self.end(Outcome::Error(error.into()));
    }

    /// An item of the stream that the client asked for.
    ///
    /// # Panics
    /// When the client wants no stream, or the value cannot be serialized.
    #[track_caller]
    pub fn item(&self, item: impl Serialize) {
        assert!(
            self.streaming,
            "{} is no stream: complete() it",
            describe::invocation(&self.invocation)
        );
        let message = HubMessage::StreamItem {
            headers: Vec::new(),
            invocation_id: self.id().into(),
            item: payload(self.protocol(), &item),
        };
        self.shared.say(self.link, &message);
    }

    /// Waits until the client has cancelled it.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn expect_cancellation(&self) -> impl Future<Output = ()> {
        let at = Location::caller();
        async move {
            let key = (self.link, self.id().to_owned());
            let cancelled = self
                .shared
                .until(|state| state.cancelled.remove(&key).then_some(()))
                .await;
            if let Err(waited) = cancelled {
                let wanted = format!(
                    "the cancellation of {}",
                    describe::invocation(&self.invocation)
                );
                super::missing(&self.shared, at, &wanted, waited);
            }
        }
    }

    /// The next item of the upload with this number, counted from 0; `None` when it has ended.
    ///
    /// # Panics
    /// When none comes, there is no such upload, the item is of another type, or the client ended the upload with an error.
    #[track_caller]
    pub fn expect_item<T: DeserializeOwned>(
        &self,
        upload: usize,
    ) -> impl Future<Output = Option<T>> {
        let at = Location::caller();
        async move {
            let words = || describe::invocation(&self.invocation);
            let Some(id) = self.invocation.stream_ids.get(upload) else {
                panic!("{at}: {} has no upload {upload}", words());
            };
            let key = (self.link, id.to_string());
            let next = self.shared.until(|state| {
                let upload = state.uploads.get_mut(&key)?;
                match upload.items.pop_front() {
                    Some(item) => Some(Ok(item)),
                    None => Some(Err(upload.end.clone()?)),
                }
            });
            match next.await {
                Ok(Ok(item)) => match item.decode() {
                    Ok(item) => Some(item),
                    Err(error) => panic!("{at}: an item of {}: {error}", words()),
                },
                Ok(Err(None)) => None,
                Ok(Err(Some(error))) => {
                    panic!("{at}: the upload of {} ended with {error:?}", words())
                }
                Err(waited) => {
                    let wanted = format!("an item of {}", words());
                    super::missing(&self.shared, at, &wanted, waited)
                }
            }
        }
    }

    /// All further items of the upload with this number, when it has ended.
    ///
    /// # Panics
    /// As [`expect_item`](Self::expect_item).
    #[track_caller]
    pub fn expect_upload<T: DeserializeOwned>(
        &self,
        upload: usize,
    ) -> impl Future<Output = Vec<T>> {
        let next = move || self.expect_item(upload);
        async move {
            let mut items = Vec::new();
            while let Some(item) = next().await {
                items.push(item);
            }
            items
        }
    }

    fn id(&self) -> &str {
        self.invocation.invocation_id.as_deref().unwrap_or_default()
    }

    fn protocol(&self) -> Protocol {
        self.invocation.arguments.protocol()
    }

    #[track_caller]
    fn end(&self, outcome: Outcome) {
        assert!(
            self.wants_answer(),
            "{} was sent, and wants no answer",
            describe::invocation(&self.invocation)
        );
        self.shared.say(self.link, &completion(self.id(), outcome));
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("target", &self.target())
            .finish_non_exhaustive()
    }
}

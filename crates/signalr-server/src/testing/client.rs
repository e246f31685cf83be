//! A client of a hub, within the same process.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use futures_core::Stream;
use futures_util::stream::StreamExt as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use signalr_proto::codec::{Answer, InvocationHead, Outcome};
use signalr_proto::{Arguments, FromArguments, HubArguments, Payload, Protocol};

use super::call::{Call, TestStream};
use super::error::{TestError, mistyped};
use super::line::{Answered, Items, Line, Report};
use crate::locks::lock;

/// A client of a hub, within the same process. See the [module](super).
///
/// A client that is dropped is disconnected, without waiting until the hub has noticed; [`close`](Self::close) waits.
pub struct TestClient {
    pub(super) line: Arc<Line>,
    pub(super) connection_id: Box<str>,
    pub(super) next_id: u64,
    /// What the next call uploads.
    pub(super) uploads: Vec<Items>,
}

type Upload = (ByteString, Items);

impl TestClient {
    /// The public id of the connection.
    #[must_use]
    pub fn connection_id(&self) -> &str {
        &self.connection_id
    }

    /// Calls a method and waits for its result. Dropping the future cancels the call.
    ///
    /// # Errors
    /// [`TestError::Call`] with the words that a client sees; [`TestError::Closed`] when the connection is over.
    pub async fn invoke<T: DeserializeOwned>(
        &mut self,
        target: &str,
        arguments: impl HubArguments,
    ) -> Result<T, TestError> {
        let call = self.call(false, target, &arguments)?;
        match call.outcome().await? {
            Outcome::Error(error) => Err(TestError::Call((*error).into())),
            Outcome::Result(result) => result.decode().map_err(mistyped),
            Outcome::Void => null().decode().map_err(mistyped),
        }
    }

    /// Calls a method without waiting for more than that the hub has read it.
    ///
    /// # Errors
    /// When the connection is over.
    pub async fn send(
        &mut self,
        target: &str,
        arguments: impl HubArguments,
    ) -> Result<(), TestError> {
        let (frame, uploads) = self.invocation(false, None, target, &arguments)?;
        let posted = self.line.post(frame);
        self.start(uploads);
        posted.await
    }

    /// Calls a streaming method.
    ///
    /// Awaiting the [`TestStream`] collects a stream that ends; [`TestStream::next`] takes one item at a time of any stream, and
    /// dropping it cancels it.
    ///
    /// ```
    /// # use signalr_server::testing::{TestClient, TestError};
    /// # async fn example(mut client: TestClient) -> Result<(), TestError> {
    /// assert_eq!(client.stream::<u64>("Count", (3,)).await?, [0, 1, 2]);
    ///
    /// let mut ticks = client.stream::<u64>("Ticks", (10,));
    /// assert_eq!(ticks.next().await, Some(Ok(1)));
    /// drop(ticks);
    /// # Ok(())
    /// # }
    /// ```
    pub fn stream<T: DeserializeOwned>(
        &mut self,
        target: &str,
        arguments: impl HubArguments,
    ) -> TestStream<T> {
        TestStream::new(self.call(true, target, &arguments))
    }

    /// Adds a stream of items to the next call, which may have several.
    ///
    /// ```
    /// # use futures_util::stream;
    /// # use signalr_server::testing::{TestClient, TestError};
    /// # async fn example(mut client: TestClient) -> Result<(), TestError> {
    /// let lines = stream::iter(["first", "second"]);
    /// assert_eq!(client.upload(lines).invoke::<usize>("Store", ("notes",)).await?, 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn upload<T: Serialize + 'static>(
        &mut self,
        items: impl Stream<Item = T> + Send + 'static,
    ) -> &mut Self {
        self.try_upload(items.map(Ok))
    }

    /// Adds a stream whose first error is the client's own: the method hears its words, and nothing after it.
    pub fn try_upload<T: Serialize + 'static>(
        &mut self,
        items: impl Stream<Item = Result<T, String>> + Send + 'static,
    ) -> &mut Self {
        let items = items.map(|item| {
            Payload::from_value(Protocol::Json, &item?).map_err(|error| error.to_string())
        });
        self.uploads.push(items.boxed());
        self
    }

    /// The arguments of the hub's next call of this name, as a tuple. Waits for it if it has not come yet.
    ///
    /// # Errors
    /// When none comes, or the arguments are of other types.
    pub async fn received<A: FromArguments>(&mut self, target: &str) -> Result<A, TestError> {
        let call = self
            .line
            .until(|state| {
                let place = state
                    .inbox
                    .iter()
                    .position(|call| *call.target == *target)?;
                state.inbox.remove(place).map(Ok)
            })
            .await?;
        call.arguments.decode().map_err(mistyped)
    }

    /// The names of the hub's calls that have come and were not looked at. Does not wait.
    #[must_use]
    pub fn waiting(&self) -> Vec<String> {
        let state = lock(&self.line.state);
        state
            .inbox
            .iter()
            .map(|call| call.target.to_string())
            .collect()
    }

    /// Answers the hub's questions of this name from now on, also while the test waits for something else, with what a function of
    /// their arguments gives; see [`Answer`].
    ///
    /// ```
    /// # fn example(client: &mut signalr_server::testing::TestClient) {
    /// client.answer("Add", |a: i32, b: i32| Ok(a + b));
    /// # }
    /// ```
    pub fn answer<F>(&mut self, target: &str, mut answer: impl Answer<F>) {
        let answer = move |arguments: &Arguments| answer.answer(arguments);
        lock(&self.line.answers).insert(target.to_owned(), Some(Box::new(answer)));
    }

    /// Leaves the hub's questions of this name without an answer from now on.
    pub fn ignore(&mut self, target: &str) {
        lock(&self.line.answers).insert(target.to_owned(), None);
    }

    /// Leaves, as a client does that is stopped, and waits until the hub has said farewell: afterwards the connection is in no
    /// group and in no list. The hub is told `ClosedByClient`; of a client that is dropped, `TransportEnded`.
    ///
    /// # Errors
    /// When the connection is over already.
    pub async fn close(self) -> Result<(), TestError> {
        if let Some(end) = &lock(&self.line.state).end {
            return Err(end.clone());
        }
        let mut out = BytesMut::new();
        Protocol::Json.encode_close(&mut out, None, false);
        self.line.order(out, None);
        let shared = &self.line.hub.shared;
        let left = async {
            self.line.over.cancelled().await;
            loop {
                let mut removed = pin!(shared.registry.removed.notified());
                removed.as_mut().enable();
                if shared.registry.get(&self.connection_id).is_none() {
                    return;
                }
                removed.await;
            }
        };
        let left = shared.clock.timeout(self.line.patience, left).await;
        left.ok_or_else(|| self.line.nothing())
    }

    /// Waits until the hub has ended the connection. Gives its words, if there were any.
    ///
    /// # Errors
    /// When it does not.
    pub async fn closed(&mut self) -> Result<Option<Box<str>>, TestError> {
        let end = self.line.until(|state| state.end.clone().map(Ok)).await?;
        if let TestError::Closed(words) = end {
            return Ok(words);
        }
        Err(end)
    }

    fn call(
        &mut self,
        streaming: bool,
        target: &str,
        arguments: &impl HubArguments,
    ) -> Result<Call, TestError> {
        self.next_id += 1;
        let id = self.next_id.to_string();
        let (frame, uploads) = self.invocation(streaming, Some(&id), target, arguments)?;
        lock(&self.line.state)
            .calls
            .insert(id.clone(), Answered::default());
        let call = Call {
            line: Arc::clone(&self.line),
            id,
        };
        self.line.order(frame, Some(Report::Call(call.id.clone())));
        self.start(uploads);
        Ok(call)
    }

    /// The call as it is written, and what it uploads.
    fn invocation(
        &mut self,
        streaming: bool,
        id: Option<&str>,
        target: &str,
        arguments: &impl HubArguments,
    ) -> Result<(BytesMut, Vec<Upload>), TestError> {
        let uploads = std::mem::take(&mut self.uploads);
        let mut stream_ids = Vec::new();
        for _ in &uploads {
            self.next_id += 1;
            stream_ids.push(ByteString::from(format!("s{}", self.next_id)));
        }
        let head = InvocationHead {
            streaming,
            headers: &[],
            invocation_id: id,
            target,
            stream_ids: &stream_ids,
        };
        let mut out = BytesMut::new();
        Protocol::Json
            .encode_invocation(&mut out, head, arguments)
            .map_err(mistyped)?;
        Ok((out, stream_ids.into_iter().zip(uploads).collect()))
    }

    /// Begins with uploads, whose call is on its way.
    fn start(&self, uploads: Vec<Upload>) {
        for (id, items) in uploads {
            let line = Arc::clone(&self.line);
            self.line.hub.shared.clock.spawn(async move {
                let over = line.over.clone();
                over.run_until_cancelled(line.upload(&id, items)).await;
            });
        }
    }
}

impl Drop for TestClient {
    fn drop(&mut self) {
        self.line.over.cancel();
    }
}

fn null() -> Payload {
    Payload::new(Protocol::Json, Bytes::from_static(b"null"))
}

impl fmt::Debug for TestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestClient")
            .field("connection_id", &self.connection_id)
            .finish_non_exhaustive()
    }
}

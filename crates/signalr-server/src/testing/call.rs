//! Calls under way, and the items of streams.

use std::fmt;
use std::future::IntoFuture;
use std::marker::PhantomData;
use std::sync::Arc;

use bytes::BytesMut;
use futures_core::future::BoxFuture;
use serde::de::DeserializeOwned;
use signalr_proto::codec::Outcome;
use signalr_proto::{Payload, Protocol};

use super::error::{TestError, mistyped};
use super::line::Line;
use crate::locks::lock;

/// The items of a streaming method: made by [`TestClient::stream`](super::TestClient::stream). Dropping it cancels the stream.
#[must_use = "a stream that is dropped is cancelled"]
pub struct TestStream<T> {
    /// None when it has ended.
    call: Result<Option<Call>, TestError>,
    items: PhantomData<fn() -> T>,
}

impl<T> TestStream<T> {
    pub(super) fn new(call: Result<Call, TestError>) -> Self {
        Self {
            call: call.map(Some),
            items: PhantomData,
        }
    }
}

impl<T: DeserializeOwned> TestStream<T> {
    /// The next item; `None` behind the last one. An error is the last item: [`TestError::Call`] with the words that a client
    /// sees, or [`TestError::Closed`] when the connection is over. Only after [`TestError::Nothing`], when no item came in time,
    /// more may follow.
    pub async fn next(&mut self) -> Option<Result<T, TestError>> {
        let next = match &self.call {
            Ok(Some(call)) => call.item().await,
            Ok(None) => return None,
            Err(error) => Err(error.clone()),
        };
        let item =
            next.and_then(|item| item.map(|item| item.decode().map_err(mistyped)).transpose());
        if !matches!(item, Ok(Some(_)) | Err(TestError::Nothing { .. })) {
            self.call = Ok(None);
        }
        item.transpose()
    }
}

/// Collects the items of a stream that ends.
impl<T: DeserializeOwned + Send + 'static> IntoFuture for TestStream<T> {
    type Output = Result<Vec<T>, TestError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(mut self) -> Self::IntoFuture {
        Box::pin(async move {
            let mut items = Vec::new();
            while let Some(item) = self.next().await {
                items.push(item?);
            }
            Ok(items)
        })
    }
}

/// A call that is not answered yet. Dropping it cancels it.
pub(super) struct Call {
    pub(super) line: Arc<Line>,
    pub(super) id: String,
}

impl Call {
    pub(super) async fn outcome(&self) -> Result<Outcome, TestError> {
        let answered = self.line.until(|state| {
            let answered = state.calls.get_mut(&self.id)?;
            answered.outcome.clone()
        });
        answered.await
    }

    pub(super) async fn item(&self) -> Result<Option<Payload>, TestError> {
        let next = self.line.until(|state| {
            let answered = state.calls.get_mut(&self.id)?;
            if let Some(item) = answered.items.pop_front() {
                return Some(Ok(Some(item)));
            }
            Some(match answered.outcome.clone()? {
                Ok(Outcome::Error(error)) => Err(TestError::Call((*error).into())),
                Ok(Outcome::Void | Outcome::Result(_)) => Ok(None),
                Err(error) => Err(error),
            })
        });
        next.await
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let answered = lock(&self.line.state).calls.remove(&self.id);
        if answered.is_some_and(|answered| answered.outcome.is_none()) {
            let mut out = BytesMut::new();
            Protocol::Json.encode_cancel_invocation(&mut out, &[], &self.id);
            self.line.order(out, None);
        }
    }
}

impl<T> fmt::Debug for TestStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestStream")
            .field("ended", &matches!(self.call, Ok(None)))
            .finish_non_exhaustive()
    }
}

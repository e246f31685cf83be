//! Streams from clients.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use serde::de::DeserializeOwned;
use signalr_proto::Payload;
use tokio::sync::mpsc;

use crate::error::UploadError;

/// What travels from the connection to the method.
#[derive(Debug)]
pub(crate) enum UploadMessage {
    Item(Payload),
    /// The client's end of the stream; the connection's end is a closed channel.
    End(Option<Box<str>>),
}

/// The method's end of an upload stream, before its type is known.
pub(crate) type Upload = mpsc::Receiver<UploadMessage>;

/// A stream that a client uploads: a parameter of a hub method.
///
/// Ends with `None` when the client completes it. An error is the last item. Dropping it ignores the rest.
pub struct UploadStream<T> {
    receiver: Option<Upload>,
    items: PhantomData<fn() -> T>,
}

impl<T> UploadStream<T> {
    pub(crate) const fn new(receiver: Option<Upload>) -> Self {
        Self {
            receiver,
            items: PhantomData,
        }
    }

    fn end(&mut self, error: Option<UploadError>) -> Poll<Option<Result<T, UploadError>>> {
        self.receiver = None;
        Poll::Ready(error.map(Err))
    }
}

impl<T: DeserializeOwned> Stream for UploadStream<T> {
    type Item = Result<T, UploadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(receiver) = &mut self.receiver else {
            return Poll::Ready(None);
        };
        match ready!(receiver.poll_recv(cx)) {
            Some(UploadMessage::Item(item)) => match item.decode() {
                Ok(item) => Poll::Ready(Some(Ok(item))),
                Err(error) => self.end(Some(UploadError::Item(error))),
            },
            Some(UploadMessage::End(error)) => {
                self.end(error.map(|error| UploadError::FailedByClient { error }))
            }
            None => self.end(Some(UploadError::ConnectionClosed)),
        }
    }
}

impl<T> fmt::Debug for UploadStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UploadStream")
            .field("ended", &self.receiver.is_none())
            .finish_non_exhaustive()
    }
}

//! Hub methods and streams that run, within their connection's task.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use signalr_proto::server::CallId;
use tracing::Span;

use super::CallHandle;
use crate::error::HubError;
use crate::handler::{BoxedReply, Items};
use crate::method::Method;

/// Polls the application's code; a panic there becomes an error here.
pub(crate) fn contained<T>(
    poll: impl FnOnce() -> Poll<Result<T, HubError>>,
) -> Poll<Result<T, HubError>> {
    catch_unwind(AssertUnwindSafe(poll))
        .unwrap_or_else(|panic| Poll::Ready(Err(HubError::panicked(&*panic))))
}

/// The same for a whole future.
pub(crate) async fn contained_future<T>(
    future: impl Future<Output = Result<T, HubError>>,
) -> Result<T, HubError> {
    match AssertUnwindSafe(future).catch_unwind().await {
        Ok(result) => result,
        Err(panic) => Err(HubError::panicked(&*panic)),
    }
}

/// A call that did not end at once.
pub(crate) struct RunningCall {
    pub(crate) call: CallId,
    /// The number of its method.
    pub(crate) method: usize,
    /// For streams, which end when their client cancels them.
    pub(crate) handle: Option<Arc<CallHandle>>,
    pub(crate) work: Work,
    /// What tracing knows of it.
    pub(crate) span: Span,
}

pub(crate) enum Work {
    Method(Pin<Box<dyn Method>>),
    /// A streaming method, before it has given its stream.
    Start(BoxFuture<'static, Result<Items, HubError>>),
    Items(Items),
}

/// How far a job has come.
pub(crate) enum Step {
    /// The method is done.
    Done,
    /// The method failed by a panic.
    Failed(HubError),
    Started(Result<Items, HubError>),
    Item(BoxedReply),
    ItemFailed(HubError),
    Ended,
}

impl RunningCall {
    /// Goes on as far as it can.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        if self
            .handle
            .as_ref()
            .is_some_and(|handle| handle.poll_cancelled(cx))
        {
            return Poll::Ready(Step::Ended);
        }
        let _entered = self.span.enter();
        match &mut self.work {
            Work::Method(method) => {
                contained(|| method.as_mut().poll(cx).map(Ok)).map(|done| match done {
                    Ok(()) => Step::Done,
                    Err(error) => Step::Failed(error),
                })
            }
            Work::Start(start) => contained(|| start.as_mut().poll(cx)).map(Step::Started),
            Work::Items(items) => {
                contained(|| items.as_mut().poll_next(cx).map(Ok)).map(|next| match next {
                    Ok(None) => Step::Ended,
                    Ok(Some(Ok(item))) => Step::Item(item),
                    Ok(Some(Err(error))) | Err(error) => Step::ItemFailed(error),
                })
            }
        }
    }
}

/// A job among others, until it has made a step.
pub(crate) struct Pending(Option<RunningCall>);

impl Pending {
    pub(crate) const fn new(job: RunningCall) -> Self {
        Self(Some(job))
    }
}

impl Future for Pending {
    type Output = Option<(RunningCall, Step)>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(job) = &mut self.0 else {
            return Poll::Ready(None);
        };
        job.poll(cx)
            .map(|step| self.0.take().map(|job| (job, step)))
    }
}

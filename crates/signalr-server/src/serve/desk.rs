//! What of a request is under way, where both hyper and the connection's own task can reach it.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper::upgrade::OnUpgrade;
use hyper_util::service::TowerToHyperService;
use pin_project_lite::pin_project;
use tokio::time::Instant;

use super::app::App;
use super::line::Written;
use crate::locks::lock;

/// How long an answer may take before the request counts as one that waits.
const QUICK: Duration = Duration::from_millis(100);

/// One connection's request, and the application that answers it. hyper holds it as its service, in the answer that it waits for
/// and in the event stream that it writes; the connection's task may take the last two away.
pub(super) struct Desk<S: App> {
    shared: Arc<Mutex<Shared<S>>>,
}

struct Shared<S: App> {
    app: TowerToHyperService<S>,
    asked: Asked,
    work: Work<S>,
    written: Written,
}

type Answering<S> = <TowerToHyperService<S> as Service<Request<Incoming>>>::Future;

type Piece<S> = Result<Frame<Bytes>, <<S as App>::Answer as Body>::Error>;

/// What a connection does for long without doing anything.
pub(super) enum Rest<S: App> {
    /// It waits for an answer.
    Poll(Pin<Box<Answering<S>>>),
    /// It waits for the next piece of an event stream.
    Stream(Pin<Box<S::Answer>>),
}

enum Work<S: App> {
    None,
    Answering(Pin<Box<Answering<S>>>),
    /// By the connection's task, for hyper to write.
    Answered(Box<Response<S::Answer>>),
    Streaming(Pin<Box<S::Answer>>),
}

/// A request, as far as it decides how it is answered.
#[derive(Clone, Copy)]
struct Asked {
    at: Instant,
    /// Nothing follows its head, and its answer is written as HTTP/1.1 has it.
    plain: bool,
    close: bool,
}

impl Asked {
    fn of(request: &Request<Incoming>) -> Self {
        Self {
            at: Instant::now(),
            plain: *request.method() == Method::GET
                && request.version() == Version::HTTP_11
                && request.body().is_end_stream()
                && request.extensions().get::<OnUpgrade>().is_none(),
            close: says_close(request.headers()),
        }
    }
}

fn says_close(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|value| value.trim().eq_ignore_ascii_case("close"))
}

impl<S: App> Clone for Desk<S> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<S: App> Desk<S> {
    pub(super) fn new(app: S, written: Written) -> Self {
        let asked = Asked {
            at: Instant::now(),
            plain: false,
            close: false,
        };
        Self {
            shared: Arc::new(Mutex::new(Shared {
                app: TowerToHyperService::new(app),
                asked,
                work: Work::None,
                written,
            })),
        }
    }

    /// Whether the connection ends with the answer to the present request.
    pub(super) fn closes(&self) -> bool {
        lock(&self.shared).asked.close
    }

    /// When the present request will have waited for so long that it is taken from hyper.
    pub(super) fn waits_until(&self) -> Option<Instant> {
        let shared = lock(&self.shared);
        let waits = shared.asked.plain && matches!(shared.work, Work::Answering(_));
        waits.then(|| shared.asked.at + QUICK)
    }

    pub(super) fn take_poll(&self) -> Option<Rest<S>> {
        match self.take() {
            Work::Answering(answering) => Some(Rest::Poll(answering)),
            other @ (Work::None | Work::Answered(_) | Work::Streaming(_)) => {
                self.put(other);
                None
            }
        }
    }

    /// Takes an event stream whose head and pieces have been written as far as they are there.
    pub(super) fn take_stream(&self) -> Option<Rest<S>> {
        let mut shared = lock(&self.shared);
        if !shared.written.is_all() || !matches!(shared.work, Work::Streaming(_)) {
            return None;
        }
        match std::mem::replace(&mut shared.work, Work::None) {
            Work::Streaming(body) => Some(Rest::Stream(body)),
            Work::None | Work::Answering(_) | Work::Answered(_) => None,
        }
    }

    /// Puts the answer here for the next request that hyper reads.
    pub(super) fn answer(&self, response: Response<S::Answer>) {
        self.put(Work::Answered(Box::new(response)));
    }

    fn take(&self) -> Work<S> {
        std::mem::replace(&mut lock(&self.shared).work, Work::None)
    }

    fn put(&self, work: Work<S>) {
        lock(&self.shared).work = work;
    }

    /// The answer as hyper writes it: an event stream stays here.
    fn hand_out(&self, response: Response<S::Answer>) -> Response<Served<S>> {
        let mut shared = lock(&self.shared);
        shared.written.owe();
        if !(shared.asked.plain && is_event_stream(&response)) {
            return response.map(|body| Served::Whole { body });
        }
        let (head, body) = response.into_parts();
        shared.work = Work::Streaming(Box::pin(body));
        let stream = Streamed(self.clone());
        Response::from_parts(head, Served::Stream { stream })
    }
}

/// Whether hyper writes it in chunks, to a client that knows them.
fn is_event_stream<B: Body>(response: &Response<B>) -> bool {
    let headers = response.headers();
    response.status() == StatusCode::OK
        && headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"))
        && !headers.contains_key(header::CONTENT_LENGTH)
        && !headers.contains_key(header::TRANSFER_ENCODING)
        && !response.body().is_end_stream()
        && response.body().size_hint().exact().is_none()
}

impl<S: App> Service<Request<Incoming>> for Desk<S> {
    type Response = Response<Served<S>>;
    type Error = Infallible;
    type Future = Answer<S>;

    fn call(&self, request: Request<Incoming>) -> Answer<S> {
        let mut shared = lock(&self.shared);
        if !matches!(shared.work, Work::Answered(_)) {
            shared.asked = Asked::of(&request);
            shared.work = Work::Answering(Box::pin(shared.app.call(request)));
        }
        Answer(Some(self.clone()))
    }
}

/// An answer that hyper waits for. Dropping it gives the request up.
pub(super) struct Answer<S: App>(Option<Desk<S>>);

impl<S: App> Future for Answer<S> {
    type Output = Result<Response<Served<S>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(desk) = &self.0 else {
            return Poll::Pending;
        };
        let response = match desk.take() {
            Work::Answering(mut answering) => match answering.as_mut().poll(cx) {
                Poll::Ready(Ok(response)) => response,
                Poll::Pending => {
                    desk.put(Work::Answering(answering));
                    return Poll::Pending;
                }
            },
            Work::Answered(response) => *response,
            Work::None | Work::Streaming(_) => return Poll::Pending,
        };
        let response = desk.hand_out(response);
        self.0 = None;
        Poll::Ready(Ok(response))
    }
}

impl<S: App> Drop for Answer<S> {
    fn drop(&mut self) {
        if let Some(desk) = &self.0 {
            drop(desk.take());
        }
    }
}

pin_project! {
    /// The body of an answer, as hyper takes it.
    #[project = ServedPart]
    pub(super) enum Served<S: App> {
        Whole { #[pin] body: S::Answer },
        Stream { stream: Streamed<S> },
    }
}

/// An event stream on the desk. Dropping it gives the stream up.
pub(super) struct Streamed<S: App>(Desk<S>);

impl<S: App> Drop for Streamed<S> {
    fn drop(&mut self) {
        drop(self.0.take());
    }
}

impl<S: App> Streamed<S> {
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Piece<S>>> {
        let Work::Streaming(mut body) = self.0.take() else {
            return Poll::Ready(None);
        };
        let frame = body.as_mut().poll_frame(cx);
        let mut shared = lock(&self.0.shared);
        if frame.is_ready() {
            shared.written.owe();
        }
        shared.work = Work::Streaming(body);
        frame
    }
}

impl<S: App> Body for Served<S> {
    type Data = Bytes;
    type Error = <S::Answer as Body>::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.project() {
            ServedPart::Whole { body } => body.poll_frame(cx),
            ServedPart::Stream { stream } => stream.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole { body } => body.is_end_stream(),
            Self::Stream { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole { body } => body.size_hint(),
            Self::Stream { .. } => SizeHint::default(),
        }
    }
}

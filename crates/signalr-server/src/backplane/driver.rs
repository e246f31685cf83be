//! The task that carries out what a node wants of its broker.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use futures_util::future::{BoxFuture, poll_fn};
use futures_util::stream::{BoxStream, StreamExt as _};
use signalr_proto::backplane::{
    BackplaneAction, BackplaneEvent, BackplaneInput, BackplaneOutput, BackplaneState, Message,
};
use signalr_proto::codec::DecodeError;
use signalr_proto::{Instant, OpId};

use super::farm::OperationValue;
use super::{Backplane, BackplaneFault, BackplaneLink, Farm, Publisher, Subscriber, deliver};
use crate::locks::lock;
use crate::shared::Shared;

/// Messages taken from the broker before other things get their turn.
const MESSAGES_IN_A_ROW: usize = 64;

/// Rounds before other tasks get theirs, however much there is to do. What a client is sent meanwhile leaves together.
const ROUNDS_IN_A_ROW: usize = 16;

type Work<T> = BoxFuture<'static, T>;

/// One half of a link: at rest, or at work and given back afterwards.
enum Lane<T> {
    None,
    Idle(T),
    Busy(Work<(T, BackplaneInput)>),
}

impl<T> Lane<T> {
    /// Puts it to work.
    fn begin(&mut self, work: impl FnOnce(T) -> Work<(T, BackplaneInput)>) {
        *self = match std::mem::replace(self, Self::None) {
            Self::Idle(half) => Self::Busy(work(half)),
            // A node has one thing under way on each half.
            other @ (Self::None | Self::Busy(_)) => other,
        };
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Option<BackplaneInput> {
        let Self::Busy(work) = self else { return None };
        match work.as_mut().poll(cx) {
            Poll::Ready((half, input)) => {
                *self = Self::Idle(half);
                Some(input)
            }
            Poll::Pending => None,
        }
    }
}

pub(crate) struct BackplaneDriver {
    farm: Arc<Farm>,
    shared: Weak<Shared>,
    backplane: Arc<dyn Backplane>,
    connecting: Option<(OpId, Work<Result<BackplaneLink, BackplaneFault>>)>,
    publisher: Lane<Box<dyn Publisher>>,
    subscriber: Lane<Box<dyn Subscriber>>,
    messages: Option<(OpId, BoxStream<'static, Result<Message, BackplaneFault>>)>,
    deadline: Option<Instant>,
    sleep: Option<(Instant, Work<()>)>,
}

impl BackplaneDriver {
    pub(crate) fn new(
        farm: Arc<Farm>,
        shared: Weak<Shared>,
        backplane: Arc<dyn Backplane>,
    ) -> Self {
        Self {
            farm,
            shared,
            backplane,
            connecting: None,
            publisher: Lane::None,
            subscriber: Lane::None,
            messages: None,
            deadline: None,
            sleep: None,
        }
    }

    /// Drives the node until it is stopped, or the hub is served no more.
    pub(crate) async fn run(mut self) {
        let mut rounds = 0;
        loop {
            self.farm.take_poke();
            if !self.pump().await {
                break;
            }
            poll_fn(|cx| {
                let news = self.poll(cx);
                if news.is_pending() {
                    rounds = 0;
                }
                news
            })
            .await;
            rounds += 1;
            if rounds == ROUNDS_IN_A_ROW {
                rounds = 0;
                give_way().await;
            }
        }
        // Nothing that is still asked for would ever be done.
        self.farm.look(|node, now| node.stop(now));
        while let BackplaneOutput::Event(event) = self.farm.look(|node, _| node.poll_output()) {
            self.tell(event).await;
        }
        self.farm.changed.notify_waiters();
    }

    /// Carries out what the node wants, until it waits. `false` when there is nothing left to drive.
    async fn pump(&mut self) -> bool {
        loop {
            match self.farm.look(|node, _| node.poll_output()) {
                BackplaneOutput::Action(action) => self.perform(action),
                BackplaneOutput::Event(event) => {
                    if !self.tell(event).await {
                        return false;
                    }
                }
                BackplaneOutput::Wait(deadline) => {
                    self.deadline = deadline;
                    let state = self.farm.look(|node, _| node.state());
                    return state != BackplaneState::Stopped && self.shared.strong_count() > 0;
                }
            }
        }
    }

    fn perform(&mut self, action: BackplaneAction) {
        match action {
            BackplaneAction::Connect { op } => {
                self.connecting = Some((op, self.backplane.connect()));
            }
            BackplaneAction::Disconnect { .. } => {
                self.connecting = None;
                self.publisher = Lane::None;
                self.subscriber = Lane::None;
                self.messages = None;
            }
            BackplaneAction::Publish { op, messages } => self.publisher.begin(|mut publisher| {
                Box::pin(async move {
                    let published = publisher.publish(messages).await;
                    let input = match published {
                        Ok(receivers) => BackplaneInput::Published { op, receivers },
                        Err(error) => failed(op, &*error),
                    };
                    (publisher, input)
                })
            }),
            BackplaneAction::Subscribe { op, channels } => {
                self.subscriber.begin(|mut subscriber| {
                    Box::pin(async move {
                        let subscribed = subscriber.subscribe(channels).await;
                        (subscriber, changed(op, subscribed))
                    })
                });
            }
            BackplaneAction::Unsubscribe { op, channels } => {
                self.subscriber.begin(|mut subscriber| {
                    Box::pin(async move {
                        let unsubscribed = subscriber.unsubscribe(channels).await;
                        (subscriber, changed(op, unsubscribed))
                    })
                });
            }
            // Those that are not known here cannot be answered.
            other => tracing::error!(?other, "an unknown action"),
        }
    }

    /// Waits for news, and hands them to the node.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.farm.driver.register(cx.waker());
        let mut busy = self.farm.take_poke() || self.shared.strong_count() == 0;
        if let Some((op, connecting)) = &mut self.connecting {
            let op = *op;
            if let Poll::Ready(result) = connecting.as_mut().poll(cx) {
                self.connecting = None;
                self.connected(op, result);
                busy = true;
            }
        }
        let news = [self.publisher.poll(cx), self.subscriber.poll(cx)];
        for input in news.into_iter().flatten() {
            self.farm.look(|node, now| node.handle_input(now, input));
            busy = true;
        }
        busy |= self.poll_messages(cx);
        if busy || self.poll_alarm(cx) {
            return Poll::Ready(());
        }
        Poll::Pending
    }

    fn connected(&mut self, op: OpId, result: Result<BackplaneLink, BackplaneFault>) {
        let input = match result {
            Ok(link) => {
                self.publisher = Lane::Idle(link.publisher);
                self.subscriber = Lane::Idle(link.subscriber);
                self.messages = Some((op, link.messages));
                BackplaneInput::Connected { op }
            }
            Err(error) => failed(op, &*error),
        };
        self.farm.look(|node, now| node.handle_input(now, input));
    }

    fn poll_messages(&mut self, cx: &mut Context<'_>) -> bool {
        let mut busy = false;
        for _ in 0..MESSAGES_IN_A_ROW {
            let Some((link, messages)) = &mut self.messages else {
                break;
            };
            let link = *link;
            let input = match messages.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(message))) => BackplaneInput::Received { link, message },
                Poll::Ready(Some(Err(fault))) => {
                    self.messages = None;
                    let detail = fault.to_string().into();
                    BackplaneInput::Lost { link, detail }
                }
                Poll::Ready(None) => {
                    self.messages = None;
                    let detail = "the broker ended the connection".into();
                    BackplaneInput::Lost { link, detail }
                }
                Poll::Pending => break,
            };
            self.farm.look(|node, now| node.handle_input(now, input));
            busy = true;
        }
        busy
    }

    /// Whether the deadline has passed. The clock decides that, never the timer.
    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(deadline) = self.deadline else {
            return false;
        };
        loop {
            let now = self.farm.clock.now();
            if deadline <= now {
                self.farm
                    .look(|node, now| node.handle_input(now, BackplaneInput::Timeout));
                return true;
            }
            if !matches!(&self.sleep, Some((until, _)) if *until == deadline) {
                let sleep = self.farm.clock.sleep(deadline.since(now));
                self.sleep = Some((deadline, sleep));
            }
            let Some((_, sleep)) = &mut self.sleep else {
                return false;
            };
            if Pin::new(sleep).poll(cx).is_pending() {
                return false;
            }
            self.sleep = None;
        }
    }

    /// Tells the application. `false` when there is none any more.
    async fn tell(&mut self, event: BackplaneEvent) -> bool {
        match event {
            BackplaneEvent::Done { operation, result } => {
                self.farm
                    .resolve(operation, result.map(|()| OperationValue::Done));
            }
            BackplaneEvent::Answered { operation, outcome } => {
                self.farm
                    .resolve(operation, Ok(OperationValue::Outcome(outcome)));
            }
            BackplaneEvent::Counted { operation, count } => {
                self.farm
                    .resolve(operation, Ok(OperationValue::Count(count)));
            }
            BackplaneEvent::Up => {
                tracing::info!("the backplane is there");
                self.farm.changed.notify_waiters();
            }
            BackplaneEvent::Away { detail } => {
                tracing::warn!(%detail, "the backplane cannot be reached");
                *lock(&self.farm.last_fault) = Some(detail);
                self.farm.changed.notify_waiters();
            }
            BackplaneEvent::Namesake => {
                let fault = "another server of the farm has the same server_name";
                tracing::warn!("{fault}: joins and counts may be wrong");
                *lock(&self.farm.last_fault) = Some(fault.into());
            }
            BackplaneEvent::Malformed { channel, error } => {
                self.report_malformed(&channel, &error);
            }
            BackplaneEvent::Refused {
                connection_id,
                refusal,
            } => {
                let connection = &*connection_id;
                tracing::warn!(connection, %refusal, "another server's wish was refused");
            }
            BackplaneEvent::Deliver { .. }
            | BackplaneEvent::Ask { .. }
            | BackplaneEvent::Joined { .. }
            | BackplaneEvent::Left { .. }
            | _ => {
                let Some(shared) = self.shared.upgrade() else {
                    return false;
                };
                deliver::tell(&shared, &self.farm, event).await;
            }
        }
        true
    }
}

impl BackplaneDriver {
    /// Whoever publishes nonsense without end shall not fill the log.
    fn report_malformed(&self, channel: &str, error: &DecodeError) {
        let count = self.farm.look(|node, _| node.counters().malformed);
        if count.is_power_of_two() {
            tracing::warn!(%channel, %error, count, "a message of the backplane cannot be read");
        } else {
            tracing::debug!(%channel, %error, count, "a message of the backplane cannot be read");
        }
    }
}

/// Lets other tasks run.
async fn give_way() {
    let mut gave = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut gave, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn failed(op: OpId, error: &(dyn std::error::Error + 'static)) -> BackplaneInput {
    let detail = error.to_string().into();
    BackplaneInput::Failed { op, detail }
}

fn changed(op: OpId, result: Result<(), BackplaneFault>) -> BackplaneInput {
    match result {
        Ok(()) => BackplaneInput::Subscribed { op },
        Err(error) => failed(op, &*error),
    }
}

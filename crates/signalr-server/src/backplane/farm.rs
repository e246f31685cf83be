//! The farm as the application's side of a server sees it.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use futures_channel::oneshot;
use futures_util::task::AtomicWaker;
use signalr_proto::backplane::{
    BackplaneConfig, BackplaneError, BackplaneNode, BackplaneState, Channel, Counted, Invocation,
    JoinRefusal, OperationId, ResultRequest,
};
use signalr_proto::codec::{CompletionOutcome, Outcome};
use signalr_proto::{EncodeError, HubArguments, Instant, Payload, Protocol};
use tokio::sync::Notify;

use super::BackplaneHealth;
use crate::error::GroupError;
use crate::frames::invocation;
use crate::locks::lock;
use crate::runtime::Clock;

/// What comes of an operation.
pub(super) enum OperationValue {
    Done,
    Outcome(Outcome),
    Count(u64),
}

type OperationResult = Result<OperationValue, BackplaneError>;

/// One served hub's part in its farm.
pub(crate) struct Farm {
    node: Mutex<BackplaneNode>,
    /// Who waits for which operation.
    waiting: Mutex<HashMap<OperationId, oneshot::Sender<OperationResult>>>,
    pub(super) clock: Clock,
    /// What messages are encoded in: the farm's clients may speak any of them.
    protocols: Vec<Protocol>,
    /// Something was asked of the node since its driver looked.
    poked: AtomicBool,
    pub(super) driver: AtomicWaker,
    /// Fires when the node's state changes.
    pub(super) changed: Notify,
    pub(super) last_fault: Mutex<Option<Box<str>>>,
    pub(super) missing_protocol: AtomicU64,
    /// Questions of other servers to clients of this one that have no answer yet.
    pub(super) foreign_questions: AtomicUsize,
}

impl Farm {
    pub(crate) fn new(
        config: BackplaneConfig,
        seed: u64,
        clock: Clock,
        protocols: Vec<Protocol>,
    ) -> Self {
        Self {
            node: Mutex::new(BackplaneNode::new(config, seed, clock.now())),
            waiting: Mutex::default(),
            clock,
            protocols,
            poked: AtomicBool::new(true),
            driver: AtomicWaker::new(),
            changed: Notify::new(),
            last_fault: Mutex::default(),
            missing_protocol: AtomicU64::new(0),
            foreign_questions: AtomicUsize::new(0),
        }
    }

    /// Does something with the node, after which its driver looks at it.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut BackplaneNode, Instant) -> T) -> T {
        let result = act(&mut lock(&self.node), self.clock.now());
        if !self.poked.swap(true, Ordering::AcqRel) {
            self.driver.wake();
        }
        result
    }

    /// The same for the driver itself.
    pub(super) fn look<T>(&self, act: impl FnOnce(&mut BackplaneNode, Instant) -> T) -> T {
        act(&mut lock(&self.node), self.clock.now())
    }

    pub(super) fn take_poke(&self) -> bool {
        self.poked.swap(false, Ordering::AcqRel)
    }

    /// Asks something of the node and waits until it is done.
    fn perform<E>(
        &self,
        command: impl FnOnce(&mut BackplaneNode, Instant) -> Result<OperationId, E>,
    ) -> Result<Waiting<'_>, E> {
        self.with(|node, now| {
            let operation = command(node, now)?;
            let (answer, answered) = oneshot::channel();
            // The driver takes events under the same lock, so none of them comes before this.
            lock(&self.waiting).insert(operation, answer);
            Ok(Waiting {
                farm: self,
                operation,
                answered,
            })
        })
    }

    /// An operation has ended.
    pub(super) fn resolve(&self, operation: OperationId, answer: OperationResult) {
        let waiting = lock(&self.waiting).remove(&operation);
        if let Some(waiting) = waiting {
            // Whoever asked may have stopped waiting this very moment.
            let _ = waiting.send(answer);
        }
    }

    async fn done(
        &self,
        command: impl FnOnce(&mut BackplaneNode, Instant) -> OperationId,
    ) -> Result<(), BackplaneError> {
        let command = |node: &mut BackplaneNode, now: Instant| Ok(command(node, now));
        let waiting: Result<_, BackplaneError> = self.perform(command);
        waiting?.answer().await.map(drop)
    }

    pub(crate) async fn connect(
        &self,
        connection_id: &str,
        user_id: Option<&str>,
    ) -> Result<(), BackplaneError> {
        self.done(|node, now| node.connect(now, connection_id, user_id))
            .await
    }

    pub(crate) fn disconnect(&self, connection_id: &str) {
        self.with(|node, now| node.disconnect(now, connection_id));
    }

    pub(crate) async fn join(&self, connection_id: &str, group: &str) -> Result<(), GroupError> {
        let waiting = self.perform(|node, now| node.join(now, connection_id, group));
        let waiting = waiting.map_err(|refusal| match refusal {
            JoinRefusal::NameTooLong { length, limit } => GroupError::NameTooLong { length, limit },
            JoinRefusal::TooManyGroups { limit } => GroupError::TooManyGroups { limit },
            other => GroupError::Refused(other),
        })?;
        waiting.answer().await?;
        Ok(())
    }

    pub(crate) async fn leave(&self, connection_id: &str, group: &str) -> Result<(), GroupError> {
        self.done(|node, now| node.leave(now, connection_id, group))
            .await?;
        Ok(())
    }

    pub(crate) async fn publish<'a>(
        &self,
        channels: impl IntoIterator<Item = Channel<'a>>,
        payload: &Bytes,
    ) -> Result<(), BackplaneError> {
        self.done(|node, now| node.publish(now, channels, payload))
            .await
    }

    /// A message in all protocols.
    pub(crate) fn encode<A: HubArguments>(
        &self,
        target: &str,
        arguments: &A,
        excluded: &[Box<str>],
        result_request: Option<ResultRequest>,
    ) -> Result<Bytes, EncodeError> {
        let id = result_request
            .as_ref()
            .map(|result_request| &*result_request.id);
        let payloads = self.protocols.iter().map(|protocol| {
            let frame = invocation(*protocol, id, target, arguments)?;
            Ok((ByteString::from_static(protocol.name()), Some(frame)))
        });
        let message = Invocation {
            payloads: payloads.collect::<Result<_, EncodeError>>()?,
            excluded: excluded.iter().map(|id| ByteString::from(&**id)).collect(),
            result_request,
        };
        let mut out = BytesMut::new();
        message.encode(&mut out);
        Ok(out.freeze())
    }

    pub(crate) fn result_request(&self, id: &str) -> ResultRequest {
        lock(&self.node).result_request(id)
    }

    /// Asks a client of another server.
    pub(crate) async fn ask(
        &self,
        connection_id: &str,
        question_id: &str,
        payload: Bytes,
        timeout: Duration,
    ) -> Result<Outcome, BackplaneError> {
        let ask = |node: &mut BackplaneNode, now: Instant| {
            Ok(node.ask(now, connection_id, question_id, payload, timeout))
        };
        let waiting: Result<_, BackplaneError> = self.perform(ask);
        Ok(match waiting?.answer().await? {
            OperationValue::Outcome(outcome) => outcome,
            // No question ends so without an error.
            OperationValue::Done | OperationValue::Count(_) => Outcome::Void,
        })
    }

    async fn count(&self, counted: Counted) -> Result<u64, BackplaneError> {
        let count = |node: &mut BackplaneNode, now: Instant| Ok(node.count(now, counted));
        let waiting: Result<_, BackplaneError> = self.perform(count);
        Ok(match waiting?.answer().await? {
            OperationValue::Count(count) => count,
            // No count ends so without an error.
            OperationValue::Done | OperationValue::Outcome(_) => 0,
        })
    }

    /// A local client has answered another server's question.
    pub(super) fn answer(
        &self,
        result_request: &ResultRequest,
        protocol: Protocol,
        outcome: &Outcome,
    ) {
        let outcome = match outcome {
            Outcome::Void => CompletionOutcome::Void,
            Outcome::Result(payload) => CompletionOutcome::Result(payload),
            Outcome::Error(error) => CompletionOutcome::Error(error),
        };
        self.with(|node, now| {
            if let Err(error) = node.answer(now, result_request, protocol, outcome) {
                let words = CompletionOutcome::<Payload>::Error("the answer cannot be encoded");
                tracing::warn!(%error, "a client's answer cannot be passed on");
                // A text can always be encoded.
                let _ = node.answer(now, result_request, protocol, words);
            }
        });
    }

    pub(crate) fn stop(&self) {
        self.with(BackplaneNode::stop);
    }
}

impl fmt::Debug for Farm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Farm").finish_non_exhaustive()
    }
}

/// The wait for an operation. Whoever stops waiting for an answer has the question forgotten.
struct Waiting<'a> {
    farm: &'a Farm,
    operation: OperationId,
    answered: oneshot::Receiver<OperationResult>,
}

impl Waiting<'_> {
    async fn answer(mut self) -> OperationResult {
        (&mut self.answered)
            .await
            .unwrap_or(Err(BackplaneError::Stopped))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let waited = lock(&self.farm.waiting).remove(&self.operation);
        if waited.is_some() {
            self.farm.with(|node, now| node.forget(now, self.operation));
        }
    }
}

/// A hub's place in its farm.
#[derive(Clone, Debug)]
pub struct BackplaneHandle {
    pub(crate) farm: Arc<Farm>,
}

impl BackplaneHandle {
    /// How this server stands with its backplane, as it knows without asking.
    #[must_use]
    pub fn health(&self) -> BackplaneHealth {
        let (state, counters) = self.farm.look(|node, _| (node.state(), node.counters()));
        BackplaneHealth {
            state,
            last_fault: lock(&self.farm.last_fault).clone(),
            counters,
            missing_protocol: self.farm.missing_protocol.load(Ordering::Relaxed),
        }
    }

    /// How many connections all servers have, this one too. Each is asked and counts at that moment: who has died is not counted.
    ///
    /// That takes a trip to the broker and back. While the broker takes a server for alive whose machine has died, or where it does
    /// not tell how many servers there are (a Redis cluster, NATS), it takes the time that an operation may take, 5 seconds by
    /// default; whoever has not answered by then is not counted.
    ///
    /// Servers of this library count; ASP.NET Core's do not know the question, and their connections are left out.
    ///
    /// # Errors
    /// When the broker cannot be reached.
    pub async fn count(&self) -> Result<u64, BackplaneError> {
        self.farm.count(Counted::All).await
    }

    /// How many members a group has on all servers.
    ///
    /// # Errors
    /// As [`count`](Self::count).
    pub async fn count_group(&self, name: &str) -> Result<u64, BackplaneError> {
        self.farm.count(Counted::Group(name.into())).await
    }

    /// How many connections a user has on all servers.
    ///
    /// # Errors
    /// As [`count`](Self::count).
    pub async fn count_user(&self, id: &str) -> Result<u64, BackplaneError> {
        self.farm.count(Counted::User(id.into())).await
    }

    /// Waits until messages go to the farm and come from it, or until the server has left the farm.
    pub fn ready(&self) -> impl Future<Output = ()> + Send + use<> {
        let farm = Arc::clone(&self.farm);
        async move {
            loop {
                let changed = farm.changed.notified();
                let mut changed = std::pin::pin!(changed);
                changed.as_mut().enable();
                let state = farm.look(|node, _| node.state());
                if matches!(state, BackplaneState::Up | BackplaneState::Stopped) {
                    return;
                }
                changed.await;
            }
        }
    }
}

//! One client: sending to it, and asking it.

use std::fmt;
use std::future::IntoFuture;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use futures_channel::oneshot;
use futures_core::future::BoxFuture;
use serde::de::DeserializeOwned;
use signalr_proto::backplane::{BackplaneError, Channel};
use signalr_proto::codec::Outcome;
use signalr_proto::{HubArguments, Protocol};

use crate::backplane::Farm;
use crate::connection::mailbox::Pushed;
use crate::connection::{CallHandle, Connection, Order};
use crate::error::{InvokeError, SendError};
use crate::frames::invocation;
use crate::ids::fresh_id;
use crate::locks::lock;
use crate::patience::wait_for;
use crate::shared::Shared;

/// One client to send to or to ask for results.
#[derive(Clone)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
    pub(crate) connection_id: Box<str>,
    pub(crate) caller: Option<(Arc<Connection>, Arc<CallHandle>)>,
}

impl Client {
    /// Calls a method on the client, without waiting for an answer. A client that is not there is no error.
    ///
    /// A method that sends to its own caller waits while too much waits to be sent to it, as if it answered. Others wait for a
    /// client that takes nothing only once, and for a moment (see [`SlowClients`](crate::SlowClients)).
    ///
    /// # Errors
    /// When an argument cannot be serialized, or the backplane does not take a message for another server's client.
    pub async fn send<A: HubArguments + Send>(
        &self,
        target: &str,
        arguments: A,
    ) -> Result<(), SendError> {
        let Some((connection, protocol)) = self.connection() else {
            return self.send_far(target, arguments).await;
        };
        let frame = invocation(protocol, None, target, &arguments)?;
        drop(arguments);
        // A client that left meanwhile is no error either.
        if connection.mailbox.push(frame) == Pushed::Behind {
            if self.is_caller() {
                // It holds up nobody but the one who does not read.
                connection.mailbox.room().await;
            } else {
                wait_for(&self.shared, vec![connection]).await;
            }
        }
        Ok(())
    }

    /// Whether it is the client whose call is running.
    fn is_caller(&self) -> bool {
        let caller = self.caller.as_ref();
        caller.is_some_and(|(caller, _)| *caller.id == *self.connection_id)
    }

    /// Sends to whichever other server has the client, if there are others.
    async fn send_far<A: HubArguments>(&self, target: &str, arguments: A) -> Result<(), SendError> {
        let Some(farm) = &self.shared.farm else {
            return Ok(());
        };
        let payload = farm.encode(target, &arguments, &[], None)?;
        drop(arguments);
        let channel = Channel::Connection(&self.connection_id);
        Ok(farm.publish([channel], &payload).await?)
    }

    /// Calls a method on the client and waits for its result, for 30 seconds unless [another time](Invoke::timeout) is set.
    ///
    /// A client of another server of the farm is asked over the backplane. Inside a hub method this lets the client's next call run, for the client might have to make one to be able to answer.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use signalr_server::{CallContext, InvokeError};
    /// async fn confirm(context: CallContext) -> Result<bool, InvokeError> {
    ///     let client = context.caller();
    ///     client.invoke("Confirm", ("Really?",)).timeout(Duration::from_secs(10)).await
    /// }
    /// ```
    ///
    /// # Errors
    /// See [`InvokeError`].
    pub fn invoke<'a, T: DeserializeOwned>(
        &self,
        target: &'a str,
        arguments: impl HubArguments + Send + 'a,
    ) -> Invoke<'a, T> {
        let client = self.clone();
        Invoke {
            ask: Box::new(move |timeout| Box::pin(ask(client, target, arguments, timeout))),
            timeout: Duration::from_secs(30),
            result: PhantomData,
        }
    }

    fn connection(&self) -> Option<(Arc<Connection>, Protocol)> {
        let connection = match &self.caller {
            Some((caller, _)) if *caller.id == *self.connection_id => Arc::clone(caller),
            _ => self.shared.registry.get(&self.connection_id)?,
        };
        let protocol = *connection.protocol.get()?;
        Some((connection, protocol))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("connection_id", &self.connection_id)
            .finish_non_exhaustive()
    }
}

type Asked<'a> = BoxFuture<'a, Result<Outcome, InvokeError>>;

/// A question to a client that is asked when it is awaited.
#[must_use = "nothing is asked until it is awaited"]
pub struct Invoke<'a, T> {
    ask: Box<dyn FnOnce(Duration) -> Asked<'a> + Send + 'a>,
    timeout: Duration,
    result: PhantomData<fn() -> T>,
}

impl<T> Invoke<'_, T> {
    /// Waits for the answer this long. Default: 30 s.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }
}

impl<'a, T: DeserializeOwned + 'a> IntoFuture for Invoke<'a, T> {
    type Output = Result<T, InvokeError>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let asked = (self.ask)(self.timeout);
        Box::pin(async move { result(asked.await?) })
    }
}

impl<T> fmt::Debug for Invoke<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invoke")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

async fn ask<A: HubArguments>(
    client: Client,
    target: &str,
    arguments: A,
    timeout: Duration,
) -> Result<Outcome, InvokeError> {
    let shared = &client.shared;
    let connection_id = || client.connection_id.clone();
    let Some((connection, protocol)) = client.connection() else {
        let Some(farm) = &shared.farm else {
            return Err(InvokeError::UnknownConnection {
                connection_id: connection_id(),
            });
        };
        return ask_far(&client, farm, target, arguments, timeout).await;
    };
    if let Some((caller, call)) = &client.caller {
        call.let_others_run(caller)?;
    }
    let awaited = AwaitedResult {
        shared,
        id: lock(&shared.result_owners).begin(Arc::clone(&connection.id)),
        connection,
    };
    let frame =
        invocation(protocol, Some(&awaited.id), target, &arguments).map_err(SendError::from)?;
    drop(arguments);
    let (answer, answered) = oneshot::channel();
    awaited.connection.mailbox.order(Order::Ask {
        id: awaited.id.clone(),
        frame,
        answer,
    });
    match shared.clock.timeout(timeout, answered).await {
        Some(Ok(outcome)) => Ok(outcome),
        Some(Err(oneshot::Canceled)) => Err(InvokeError::Disconnected {
            connection_id: connection_id(),
        }),
        None => Err(InvokeError::TimedOut { timeout }),
    }
}

/// Asks a client of another server.
async fn ask_far<A: HubArguments>(
    client: &Client,
    farm: &Farm,
    target: &str,
    arguments: A,
    timeout: Duration,
) -> Result<Outcome, InvokeError> {
    if let Some((caller, call)) = &client.caller {
        call.let_others_run(caller)?;
    }
    let connection_id = || client.connection_id.clone();
    let id = fresh_id();
    let payload = farm
        .encode(target, &arguments, &[], Some(farm.result_request(&id)))
        .map_err(SendError::from)?;
    drop(arguments);
    // A client of this server that answers for the other one is found out.
    let _asked = AwaitedFromFarm::new(&client.shared, &id, &client.connection_id);
    let answer = farm.ask(&client.connection_id, &id, payload, timeout);
    answer.await.map_err(|error| match error {
        BackplaneError::NoReceiver => InvokeError::UnknownConnection {
            connection_id: connection_id(),
        },
        BackplaneError::OwnerGone => InvokeError::Disconnected {
            connection_id: connection_id(),
        },
        BackplaneError::NotAnswered => InvokeError::TimedOut { timeout },
        error @ (BackplaneError::Away
        | BackplaneError::Lost
        | BackplaneError::TimedOut { .. }
        | BackplaneError::NotAcknowledged { .. }
        | BackplaneError::TooLarge { .. }
        | BackplaneError::Full { .. }
        | BackplaneError::Stopped
        | _) => InvokeError::Send(error.into()),
    })
}

/// A question of which the hub's table knows while it is waited for.
struct AwaitedFromFarm<'a> {
    shared: &'a Shared,
    id: ByteString,
}

impl<'a> AwaitedFromFarm<'a> {
    fn new(shared: &'a Shared, id: &str, connection_id: &str) -> Self {
        let id = ByteString::from(id);
        lock(&shared.result_owners).expect(id.clone(), connection_id.into());
        Self { shared, id }
    }
}

impl Drop for AwaitedFromFarm<'_> {
    fn drop(&mut self) {
        lock(&self.shared.result_owners).end(&self.id);
    }
}

fn result<T: DeserializeOwned>(outcome: Outcome) -> Result<T, InvokeError> {
    match outcome {
        Outcome::Void => Err(InvokeError::NoResult),
        Outcome::Result(payload) => payload.decode().map_err(InvokeError::Result),
        Outcome::Error(error) => Err(InvokeError::Client {
            error: (*error).into(),
        }),
    }
}

/// Forgets the question however the wait for its answer ends, so that late answers are ignored.
struct AwaitedResult<'a> {
    shared: &'a Shared,
    id: ByteString,
    connection: Arc<Connection>,
}

impl Drop for AwaitedResult<'_> {
    fn drop(&mut self) {
        lock(&self.shared.result_owners).end(&self.id);
        self.connection
            .mailbox
            .order(Order::Forget(self.id.clone()));
    }
}

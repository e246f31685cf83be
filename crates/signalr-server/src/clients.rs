//! Sending to clients, and asking them.

use std::fmt;
use std::future::IntoFuture;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use futures_channel::oneshot;
use futures_core::future::BoxFuture;
use futures_util::future::join_all;
use serde::de::DeserializeOwned;
use signalr_proto::backplane::{BackplaneError, Channel};
use signalr_proto::codec::{InvocationHead, Outcome};
use signalr_proto::{EncodeError, HubArguments, Protocol};

use crate::backplane::Farm;
use crate::call::CallHandle;
use crate::connection::mailbox::Pushed;
use crate::connection::{Connection, Order};
use crate::error::{InvokeError, SendError};
use crate::ids::fresh_id;
use crate::options::SlowClients;
use crate::server::Shared;

/// How long a message to many waits for a member that takes nothing, before nobody waits for that member any more.
const PATIENCE: Duration = Duration::from_millis(100);

/// So often, if they take something meanwhile.
const MOMENTS: usize = 5;

/// The clients of a hub: where to send.
///
/// With a [backplane](crate::HubServerBuilder::backplane), these are the clients of all servers of the farm. Everything that may
/// have to go to other servers is asynchronous and may fail.
#[derive(Clone)]
pub struct Clients {
    pub(crate) shared: Arc<Shared>,
    pub(crate) caller: Option<(Arc<Connection>, Arc<CallHandle>)>,
}

impl Clients {
    fn to(&self, audience: Audience) -> Audiences {
        Audiences {
            shared: Arc::clone(&self.shared),
            audience,
            except: Vec::new(),
        }
    }

    /// Everybody.
    #[must_use]
    pub fn all(&self) -> Audiences {
        self.to(Audience::All)
    }

    /// Everybody but these connections.
    #[must_use]
    pub fn all_except<I: IntoIterator<Item: AsRef<str>>>(&self, connection_ids: I) -> Audiences {
        self.all().except(connection_ids)
    }

    /// One connection. Unlike the others, it can also be asked for [results](Client::invoke).
    #[must_use]
    pub fn client(&self, connection_id: &str) -> Client {
        Client {
            shared: Arc::clone(&self.shared),
            connection_id: connection_id.into(),
            caller: self.caller.clone(),
        }
    }

    /// The ids of all connections of this server.
    ///
    /// # Errors
    /// None so far.
    pub async fn list(&self) -> Result<Vec<String>, SendError> {
        let all = self.shared.registry.all();
        Ok(all
            .iter()
            .map(|connection| connection.id.as_ref().to_owned())
            .collect())
    }

    /// The ids of a user's connections to this server.
    ///
    /// # Errors
    /// None so far.
    pub async fn list_of_user(&self, user_id: &str) -> Result<Vec<String>, SendError> {
        let connections = self.shared.registry.user(user_id);
        Ok(connections
            .iter()
            .map(|connection| connection.id.as_ref().to_owned())
            .collect())
    }

    /// How many connections there are on this server.
    ///
    /// # Errors
    /// None so far.
    pub async fn count(&self) -> Result<usize, SendError> {
        Ok(self.shared.registry.count())
    }

    /// Some connections.
    #[must_use]
    pub fn clients<I: IntoIterator<Item: AsRef<str>>>(&self, connection_ids: I) -> Audiences {
        self.to(Audience::Connections(owned(connection_ids)))
    }

    /// The members of a group. Names are compared exactly.
    #[must_use]
    pub fn group(&self, name: &str) -> Audiences {
        self.to(Audience::Groups(vec![name.into()]))
    }

    /// The members of some groups. Who is in several of them hears it several times.
    #[must_use]
    pub fn groups<I: IntoIterator<Item: AsRef<str>>>(&self, names: I) -> Audiences {
        self.to(Audience::Groups(owned(names)))
    }

    /// The connections of a user.
    #[must_use]
    pub fn user(&self, user_id: &str) -> Audiences {
        self.to(Audience::Users(vec![user_id.into()]))
    }

    /// The connections of some users.
    #[must_use]
    pub fn users<I: IntoIterator<Item: AsRef<str>>>(&self, user_ids: I) -> Audiences {
        self.to(Audience::Users(owned(user_ids)))
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").finish_non_exhaustive()
    }
}

fn owned<I: IntoIterator<Item: AsRef<str>>>(names: I) -> Vec<Box<str>> {
    names.into_iter().map(|name| name.as_ref().into()).collect()
}

#[derive(Clone, Debug)]
enum Audience {
    All,
    Connections(Vec<Box<str>>),
    Groups(Vec<Box<str>>),
    Users(Vec<Box<str>>),
}

/// Any number of clients to send to.
#[derive(Clone)]
pub struct Audiences {
    shared: Arc<Shared>,
    audience: Audience,
    except: Vec<Box<str>>,
}

impl Audiences {
    /// The same clients but these.
    #[must_use]
    pub fn except<I: IntoIterator<Item: AsRef<str>>>(mut self, connection_ids: I) -> Self {
        self.except.extend(owned(connection_ids));
        self
    }

    /// Calls a method on each of the clients, without waiting for answers. Nobody there is no error.
    ///
    /// The message is encoded once for each protocol in use, and on its way to everybody when this returns for the first
    /// time. It then waits for those who are behind, so that a fast sender does not outrun its readers; a client that takes
    /// nothing at all is waited for only once, and for a moment (see [`SlowClients`]).
    ///
    /// With a backplane it is encoded in each protocol of the hub, and done when the broker has taken it; it goes over the
    /// broker to this server's clients, too, so that all clients hear the messages to a group in the same order. Single
    /// connections of this server are written to directly.
    ///
    /// # Errors
    /// When an argument cannot be serialized, or the backplane does not take the message.
    pub async fn send<A: HubArguments + Send>(
        &self,
        target: &str,
        arguments: A,
    ) -> Result<(), SendError> {
        if let Some(farm) = &self.shared.farm {
            return self.send_far(farm, target, arguments).await;
        }
        let behind = self.send_now(target, &arguments)?;
        drop(arguments);
        if !behind.is_empty() {
            wait_for(&self.shared, behind).await;
        }
        Ok(())
    }

    /// Sends to all servers of the farm.
    async fn send_far<A: HubArguments>(
        &self,
        farm: &Farm,
        target: &str,
        arguments: A,
    ) -> Result<(), SendError> {
        if matches!(self.audience, Audience::Users(_)) && !self.except.is_empty() {
            return Err(SendError::ExceptOfUsers);
        }
        let strangers = match &self.audience {
            Audience::Connections(ids) => self.strangers(ids),
            Audience::All | Audience::Groups(_) | Audience::Users(_) => Vec::new(),
        };
        if let Audience::Connections(_) = &self.audience {
            let behind = self.send_now(target, &arguments)?;
            if !behind.is_empty() {
                wait_for(&self.shared, behind).await;
            }
            if strangers.is_empty() {
                return Ok(());
            }
        }
        let excluded = match self.audience {
            Audience::All | Audience::Groups(_) => &*self.except,
            Audience::Connections(_) | Audience::Users(_) => &[],
        };
        let payload = farm.encode(target, &arguments, excluded, None)?;
        drop(arguments);
        match &self.audience {
            Audience::All => farm.publish([Channel::All], &payload).await?,
            Audience::Groups(names) => {
                // The empty name is a group like any other, but among several it is skipped as by the official server.
                let several = names.len() > 1;
                let names = names.iter().filter(|name| !several || !name.is_empty());
                let channels = names.map(|name| Channel::Group(name));
                farm.publish(channels, &payload).await?;
            }
            Audience::Users(ids) => {
                let channels = ids.iter().map(|id| Channel::User(id));
                farm.publish(channels, &payload).await?;
            }
            Audience::Connections(_) => {
                let channels = strangers.into_iter().map(Channel::Connection);
                farm.publish(channels, &payload).await?;
            }
        }
        Ok(())
    }

    /// Those connections that are not this server's.
    fn strangers<'a>(&self, ids: &'a [Box<str>]) -> Vec<&'a str> {
        let ids = ids.iter().map(|id| &**id);
        ids.filter(|id| !self.except.iter().any(|except| **except == **id))
            .filter(|id| self.shared.registry.get(id).is_none())
            .collect()
    }

    /// Puts the message on its way to everybody, and gives those who are behind.
    fn send_now<A: HubArguments>(
        &self,
        target: &str,
        arguments: &A,
    ) -> Result<Vec<Arc<Connection>>, EncodeError> {
        let mut frames = Frames::default();
        let mut behind = Vec::new();
        for connection in self.connections() {
            let Some(protocol) = connection.protocol.get() else {
                continue;
            };
            let frame = frames.get(*protocol, target, arguments)?;
            if connection.mailbox.push(frame) == Pushed::Behind {
                behind.push(connection);
            }
        }
        Ok(behind)
    }

    fn connections(&self) -> Vec<Arc<Connection>> {
        let registry = &self.shared.registry;
        let mut connections: Vec<_> = match &self.audience {
            Audience::All => registry.all(),
            Audience::Connections(ids) => ids.iter().filter_map(|id| registry.get(id)).collect(),
            Audience::Groups(names) => names.iter().flat_map(|name| registry.group(name)).collect(),
            Audience::Users(ids) => ids.iter().flat_map(|id| registry.user(id)).collect(),
        };
        if !self.except.is_empty() {
            connections.retain(|connection| !self.except.iter().any(|id| **id == *connection.id));
        }
        connections
    }
}

impl fmt::Debug for Audiences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audiences")
            .field("audience", &self.audience)
            .field("except", &self.except)
            .finish_non_exhaustive()
    }
}

/// Waits for clients that are behind, as the hub's options say.
pub(crate) async fn wait_for(shared: &Shared, behind: Vec<Arc<Connection>>) {
    if shared.options.slow_clients == SlowClients::Wait {
        room(&behind).await;
    } else {
        wait_a_moment(shared, behind).await;
    }
}

/// Waits for clients that are behind, for as long as they take something, and not much longer than a moment. A client can
/// be behind because others send a lot, or because this machine is busy.
async fn wait_a_moment(shared: &Shared, mut behind: Vec<Arc<Connection>>) {
    for _ in 0..MOMENTS {
        let before: Vec<_> = behind.iter().map(|client| client.mailbox.taken()).collect();
        let waited = shared.clock.timeout(PATIENCE, room(&behind));
        if waited.await.is_some() {
            return;
        }
        let mut before = before.into_iter();
        behind.retain(|client| {
            let takes = before.next() != Some(client.mailbox.taken());
            if !takes {
                client.mailbox.stall();
            }
            takes
        });
        if behind.is_empty() {
            return;
        }
    }
    for client in behind {
        client.mailbox.stall();
    }
}

/// Waits until all of them have room, or are gone.
async fn room(behind: &[Arc<Connection>]) {
    join_all(behind.iter().map(|client| client.mailbox.room())).await;
}

/// One message in each protocol that somebody turned out to speak.
#[derive(Default)]
struct Frames {
    encoded: [Option<Bytes>; Protocol::ALL.len()],
}

impl Frames {
    fn get<A: HubArguments>(
        &mut self,
        protocol: Protocol,
        target: &str,
        arguments: &A,
    ) -> Result<Bytes, EncodeError> {
        let place = Protocol::ALL.iter().position(|known| *known == protocol);
        let known = place.and_then(|place| self.encoded.get_mut(place));
        let Some(known) = known else {
            return invocation(protocol, None, target, arguments);
        };
        if let Some(frame) = known {
            return Ok(frame.clone());
        }
        let frame = invocation(protocol, None, target, arguments)?;
        *known = Some(frame.clone());
        Ok(frame)
    }
}

pub(crate) fn invocation<A: HubArguments>(
    protocol: Protocol,
    id: Option<&str>,
    target: &str,
    arguments: &A,
) -> Result<Bytes, EncodeError> {
    let head = InvocationHead {
        streaming: false,
        headers: &[],
        invocation_id: id,
        target,
        stream_ids: &[],
    };
    let mut frame = BytesMut::new();
    protocol.encode_invocation(&mut frame, head, arguments)?;
    Ok(frame.freeze())
}

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
    /// client that takes nothing only once, and for a moment (see [`SlowClients`]).
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
        id: shared.result_owners.begin(&connection.id),
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
        shared.result_owners.expect(&id, &Arc::from(connection_id));
        Self { shared, id }
    }
}

impl Drop for AwaitedFromFarm<'_> {
    fn drop(&mut self) {
        self.shared.result_owners.end(&self.id);
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
        self.shared.result_owners.end(&self.id);
        self.connection
            .mailbox
            .order(Order::Forget(self.id.clone()));
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("connection_id", &self.connection_id)
            .finish_non_exhaustive()
    }
}

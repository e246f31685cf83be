//! Many clients: choosing them, and sending to them.

use std::fmt;
use std::sync::Arc;

use signalr_proto::backplane::Channel;
use signalr_proto::{EncodeError, HubArguments};

use crate::backplane::Farm;
use crate::client::Client;
use crate::connection::mailbox::Pushed;
use crate::connection::{CallHandle, Connection};
use crate::error::SendError;
use crate::frames::Frames;
use crate::patience::wait_for;
use crate::shared::Shared;

/// The clients of a hub: where to send.
///
/// With a [backplane](crate::HubServerBuilder::backplane), these are the clients of all servers of the farm. Everything that may
/// have to go to other servers is asynchronous and may fail; what is not only chooses.
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

    /// Some connections, each once.
    #[must_use]
    pub fn clients<I: IntoIterator<Item: AsRef<str>>>(&self, connection_ids: I) -> Audiences {
        self.to(Audience::Connections(each_once(connection_ids)))
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

    /// The connections of some users, each once.
    #[must_use]
    pub fn users<I: IntoIterator<Item: AsRef<str>>>(&self, user_ids: I) -> Audiences {
        self.to(Audience::Users(each_once(user_ids)))
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

fn each_once<I: IntoIterator<Item: AsRef<str>>>(ids: I) -> Vec<Box<str>> {
    let mut ids = owned(ids);
    ids.sort_unstable();
    ids.dedup();
    ids
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
    /// nothing at all is waited for only once, and for a moment (see [`SlowClients`](crate::SlowClients)).
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

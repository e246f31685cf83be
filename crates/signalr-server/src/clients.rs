//! Sending to clients, and asking them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::join_all;
use serde::de::DeserializeOwned;
use signalr_proto::codec::{InvocationHead, Outcome};
use signalr_proto::{EncodeError, HubArguments, Protocol, SendError};

use crate::call::Call;
use crate::connection::Connection;
use crate::error::AskError;
use crate::server::Shared;

/// The clients of a hub: where to send.
#[derive(Clone)]
pub struct Clients {
    pub(crate) shared: Arc<Shared>,
    pub(crate) call: Option<Arc<Call>>,
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

    /// One connection. Unlike the others, it can also be [asked](Client::ask).
    #[must_use]
    pub fn client(&self, connection_id: &str) -> Client {
        Client {
            shared: Arc::clone(&self.shared),
            connection_id: connection_id.into(),
            call: self.call.clone(),
        }
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
    /// The message is encoded once for each protocol in use. Done when every connection has taken it into its queue or is
    /// gone; a slow client delays this, but not the delivery to others, and for 10 seconds at most.
    ///
    /// # Errors
    /// When an argument cannot be serialized.
    pub async fn send<A: HubArguments + Send>(
        &self,
        target: &str,
        arguments: A,
    ) -> Result<(), EncodeError> {
        let slow = self.send_now(target, &arguments)?;
        drop(arguments);
        join_all(
            slow.iter()
                .map(|(connection, frame)| connection.write(frame.clone())),
        )
        .await;
        Ok(())
    }

    /// Hands the message to all who have room for it, and gives back those who have not.
    fn send_now<A: HubArguments>(
        &self,
        target: &str,
        arguments: &A,
    ) -> Result<Vec<(Arc<Connection>, Bytes)>, EncodeError> {
        let mut frames = Frames::default();
        let mut slow = Vec::new();
        for connection in self.connections() {
            let Some(protocol) = connection.protocol.get() else {
                continue;
            };
            let frame = frames.get(*protocol, target, arguments)?;
            if let Err(SendError::Full { .. }) = connection.try_write(&frame) {
                slow.push((connection, frame));
            }
        }
        Ok(slow)
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

/// One message in each protocol that somebody turned out to speak.
#[derive(Default)]
struct Frames {
    encoded: BTreeMap<&'static str, Bytes>,
}

impl Frames {
    fn get<A: HubArguments>(
        &mut self,
        protocol: Protocol,
        target: &str,
        arguments: &A,
    ) -> Result<Bytes, EncodeError> {
        if let Some(frame) = self.encoded.get(protocol.name()) {
            return Ok(frame.clone());
        }
        let frame = invocation(protocol, None, target, arguments)?;
        self.encoded.insert(protocol.name(), frame.clone());
        Ok(frame)
    }
}

fn invocation<A: HubArguments>(
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

/// One client to send to or to ask.
#[derive(Clone)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
    pub(crate) connection_id: Box<str>,
    pub(crate) call: Option<Arc<Call>>,
}

impl Client {
    /// Calls a method on the client, without waiting for an answer. A client that is not there is no error.
    ///
    /// # Errors
    /// When an argument cannot be serialized.
    pub async fn send<A: HubArguments + Send>(
        &self,
        target: &str,
        arguments: A,
    ) -> Result<(), EncodeError> {
        let Some((connection, protocol)) = self.connection() else {
            return Ok(());
        };
        let frame = invocation(protocol, None, target, &arguments)?;
        drop(arguments);
        // A client that left meanwhile is no error either.
        let _ = connection.write(frame).await;
        Ok(())
    }

    /// Calls a method on the client and waits for its result.
    ///
    /// Inside a hub method this lets the client's next call run, for the client might have to make one to be able to answer.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn ask<T: DeserializeOwned>(
        &self,
        target: &str,
        arguments: impl HubArguments + Send,
        timeout: Duration,
    ) -> Result<T, AskError> {
        if let Some(call) = &self.call {
            call.let_others_run()?;
        }
        let (connection, protocol) =
            self.connection()
                .ok_or_else(|| AskError::UnknownConnection {
                    connection_id: self.connection_id.clone(),
                })?;
        let (id, answer) = self.shared.registry.begin_question(&connection.id);
        let question = Question {
            shared: &self.shared,
            id,
        };
        let frame = invocation(protocol, Some(&question.id), target, &arguments)
            .map_err(SendError::from)?;
        drop(arguments);
        let answered = tokio::time::timeout(timeout, async {
            connection.write(frame).await.ok()?;
            answer.await.ok()
        });
        let outcome = answered.await.map_err(|_| AskError::TimedOut)?;
        let outcome = outcome.ok_or_else(|| AskError::Disconnected {
            connection_id: self.connection_id.clone(),
        })?;
        result(outcome)
    }

    fn connection(&self) -> Option<(Arc<Connection>, Protocol)> {
        let connection = self.shared.registry.get(&self.connection_id)?;
        let protocol = *connection.protocol.get()?;
        Some((connection, protocol))
    }
}

fn result<T: DeserializeOwned>(outcome: Outcome) -> Result<T, AskError> {
    match outcome {
        Outcome::Void => Err(AskError::NoResult),
        Outcome::Result(payload) => payload.decode().map_err(AskError::Result),
        Outcome::Error(error) => Err(AskError::Client {
            error: (*error).into(),
        }),
    }
}

/// Forgets the question however the wait for its answer ends, so that late answers are ignored.
struct Question<'a> {
    shared: &'a Shared,
    id: String,
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        self.shared.registry.end_question(&self.id);
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("connection_id", &self.connection_id)
            .finish_non_exhaustive()
    }
}

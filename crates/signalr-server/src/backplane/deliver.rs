//! What came from the farm, for local clients.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytestring::ByteString;
use futures_channel::oneshot;
use signalr_proto::Protocol;
use signalr_proto::backplane::{Audience, BackplaneEvent, Invocation, ResultRequest};
use signalr_proto::codec::Outcome;

use super::Farm;
use crate::connection::mailbox::Pushed;
use crate::connection::{Connection, Order};
use crate::locks::lock;
use crate::patience::wait_a_moment;
use crate::shared::Shared;

/// Questions of other servers that may be open at a time.
const MAX_QUESTIONS: usize = 65_536;

/// The words of the official server for a client that left with a question open.
const DISCONNECTED: &str = "Connection disconnected.";

pub(super) async fn tell(shared: &Arc<Shared>, farm: &Arc<Farm>, event: BackplaneEvent) {
    match event {
        BackplaneEvent::Deliver {
            audience,
            invocation,
        } => {
            let behind = deliver(shared, farm, &audience, &invocation);
            // Who sent this waits for nobody here, and everything else that comes waits behind it: never for longer, also
            // where senders of this server would wait.
            if !behind.is_empty() {
                wait_a_moment(shared, behind).await;
            }
        }
        BackplaneEvent::Ask {
            connection_id,
            result_request,
            invocation,
        } => ask(shared, farm, &connection_id, result_request, &invocation),
        BackplaneEvent::Joined {
            connection_id,
            group,
        } => {
            // The node has looked at the limits already.
            shared.registry.join(&connection_id, &group, usize::MAX);
        }
        BackplaneEvent::Left {
            connection_id,
            group,
        } => shared.registry.leave(&connection_id, &group),
        // The driver has dealt with these itself.
        BackplaneEvent::Done { .. }
        | BackplaneEvent::Answered { .. }
        | BackplaneEvent::Counted { .. }
        | BackplaneEvent::Up
        | BackplaneEvent::Away { .. }
        | BackplaneEvent::Namesake
        | BackplaneEvent::Malformed { .. }
        | BackplaneEvent::Refused { .. }
        | _ => {}
    }
}

/// Puts a message on its way to everybody who is meant, and gives those who are behind.
fn deliver(
    shared: &Shared,
    farm: &Farm,
    audience: &Audience,
    invocation: &Invocation,
) -> Vec<Arc<Connection>> {
    let registry = &shared.registry;
    let (connections, excluding) = match audience {
        Audience::All => (registry.all(), true),
        Audience::Group(name) => (registry.group(name), true),
        Audience::User(id) => (registry.user(id), false),
        Audience::Connection(id) => (registry.get(id).into_iter().collect(), false),
    };
    let excluded: HashSet<&str> = if excluding {
        invocation.excluded.iter().map(|id| &**id).collect()
    } else {
        HashSet::new()
    };
    let mut behind = Vec::new();
    for connection in connections {
        let Some(protocol) = connection.protocol.get() else {
            continue;
        };
        if excluded.contains(&*connection.id) {
            continue;
        }
        match invocation.payload(*protocol) {
            Some(Some(frame)) => {
                if connection.mailbox.push(frame.clone()) == Pushed::Behind {
                    behind.push(connection);
                }
            }
            Some(None) => {}
            None => missing(farm, *protocol),
        }
    }
    behind
}

/// A message that was not encoded for somebody's protocol.
fn missing(farm: &Farm, protocol: Protocol) {
    let protocol = protocol.name();
    if farm.missing_protocol.fetch_add(1, Ordering::Relaxed) == 0 {
        tracing::warn!(
            protocol,
            "another server's messages lack a protocol that clients here speak"
        );
    } else {
        tracing::debug!(protocol, "a message lacks a client's protocol");
    }
}

/// Asks a local client for another server.
fn ask(
    shared: &Arc<Shared>,
    farm: &Arc<Farm>,
    connection_id: &str,
    result_request: ResultRequest,
    invocation: &Invocation,
) {
    let connection = shared.registry.get(connection_id);
    let known = connection.and_then(|connection| {
        let protocol = *connection.protocol.get()?;
        Some((connection, protocol))
    });
    let Some((connection, protocol)) = known else {
        let error = Outcome::Error(ByteString::from_static(DISCONNECTED));
        return farm.answer(&result_request, Protocol::Json, &error);
    };
    let Some(Some(frame)) = invocation.payload(protocol) else {
        missing(farm, protocol);
        let error = Outcome::Error("The question lacks the protocol of the client.".into());
        return farm.answer(&result_request, protocol, &error);
    };
    let Some(counted) = Counted::new(farm) else {
        let error = Outcome::Error("Too many questions wait for answers.".into());
        return farm.answer(&result_request, protocol, &error);
    };
    let id = &result_request.id;
    lock(&shared.result_owners).expect(id.clone(), Arc::clone(&connection.id));
    let (answer, answered) = oneshot::channel();
    connection.mailbox.order(Order::Ask {
        id: id.clone(),
        frame: frame.clone(),
        answer,
    });
    drop(connection);
    let shared = Arc::downgrade(shared);
    farm.clock.spawn(async move {
        let outcome = answered.await.unwrap_or_else(|oneshot::Canceled| {
            Outcome::Error(ByteString::from_static(DISCONNECTED))
        });
        if let Some(shared) = shared.upgrade() {
            lock(&shared.result_owners).end(&result_request.id);
        }
        counted.farm.answer(&result_request, protocol, &outcome);
    });
}

/// One of the questions that are open.
struct Counted {
    farm: Arc<Farm>,
}

impl Counted {
    fn new(farm: &Arc<Farm>) -> Option<Self> {
        let open = farm.foreign_questions.fetch_add(1, Ordering::Relaxed);
        let counted = Self {
            farm: Arc::clone(farm),
        };
        (open < MAX_QUESTIONS).then_some(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.farm.foreign_questions.fetch_sub(1, Ordering::Relaxed);
    }
}

//! Connections that were negotiated, under their secret tokens.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use signalr_proto::server::{ConnectionSlot, FreshIds};
use tokio::time::Instant;

use crate::connection::Connection;

/// Negotiations that may wait for their transport at one time. Each costs some hundred bytes.
const MOST_WAITING: usize = 65_536;

#[derive(Debug)]
enum Slot {
    Waiting {
        connection_id: Box<str>,
        stateful_reconnect: bool,
    },
    /// With the connection, if other WebSockets may take it over.
    Attached(Option<Arc<Connection>>),
}

/// The table of tokens.
pub(crate) struct Slots {
    slots: HashMap<Box<str>, Slot>,
    /// Every token that was handed out and not yet forgotten, oldest first.
    expiries: VecDeque<(Instant, Box<str>)>,
    lifetime: Duration,
}

impl Slots {
    pub(crate) fn new(lifetime: Duration) -> Self {
        Self {
            slots: HashMap::new(),
            expiries: VecDeque::new(),
            lifetime,
        }
    }

    /// Expects a connection under its token. `false` when too many are expected already.
    pub(crate) fn wait_for(&mut self, ids: &FreshIds, stateful_reconnect: bool) -> bool {
        self.expire();
        if self.expiries.len() >= MOST_WAITING {
            return false;
        }
        self.slots.insert(
            ids.connection_token.clone(),
            Slot::Waiting {
                connection_id: ids.connection_id.clone(),
                stateful_reconnect,
            },
        );
        self.expiries
            .push_back((Instant::now() + self.lifetime, ids.connection_token.clone()));
        true
    }

    pub(crate) fn state(&mut self, token: Option<&str>) -> ConnectionSlot {
        self.expire();
        let Some(token) = token else {
            return ConnectionSlot::Absent;
        };
        match self.slots.get(token) {
            None => ConnectionSlot::Unknown,
            Some(Slot::Waiting { .. }) => ConnectionSlot::Waiting,
            Some(Slot::Attached(Some(connection))) if connection.machine().can_resume() => {
                ConnectionSlot::Resumable
            }
            Some(Slot::Attached(_)) => ConnectionSlot::Attached,
        }
    }

    /// The connection that other WebSockets may take over under this token.
    pub(crate) fn connection(&self, token: Option<&str>) -> Option<Arc<Connection>> {
        match self.slots.get(token?)? {
            Slot::Attached(connection) => connection.clone(),
            Slot::Waiting { .. } => None,
        }
    }

    /// Other WebSockets may take this connection over under its token.
    pub(crate) fn name(&mut self, token: &str, connection: &Arc<Connection>) {
        if let Some(Slot::Attached(named)) = self.slots.get_mut(token) {
            *named = Some(Arc::clone(connection));
        }
    }

    /// Takes the connection that waits under this token. Tells too whether it was granted stateful reconnect.
    pub(crate) fn attach(&mut self, token: Option<&str>) -> Option<(FreshIds, bool)> {
        let token = token?;
        let slot = self.slots.get_mut(token)?;
        match std::mem::replace(slot, Slot::Attached(None)) {
            Slot::Waiting {
                connection_id,
                stateful_reconnect,
            } => {
                let connection_token = token.into();
                let ids = FreshIds {
                    connection_id,
                    connection_token,
                };
                Some((ids, stateful_reconnect))
            }
            attached @ Slot::Attached(_) => {
                *slot = attached;
                None
            }
        }
    }

    pub(crate) fn remove(&mut self, token: &str) {
        self.slots.remove(token);
    }

    fn expire(&mut self) {
        let now = Instant::now();
        while self
            .expiries
            .front()
            .is_some_and(|(expiry, _)| *expiry <= now)
        {
            let Some((_, token)) = self.expiries.pop_front() else {
                return;
            };
            if matches!(self.slots.get(&token), Some(Slot::Waiting { .. })) {
                self.slots.remove(&token);
            }
        }
    }
}

/// Two ids of 128 random bits each.
pub(crate) fn fresh_ids() -> FreshIds {
    FreshIds {
        connection_id: fresh_id(),
        connection_token: fresh_id(),
    }
}

#[expect(
    clippy::expect_used,
    reason = "without randomness tokens could be guessed, and no server should go on then"
)]
fn fresh_id() -> Box<str> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).expect("the operating system has randomness");
    base64url(u128::from_be_bytes(bytes)).into()
}

/// The 22 letters of 128 bits in base64url without padding.
fn base64url(bits: u128) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let letter = |sextet: u128| {
        usize::try_from(sextet & 63)
            .ok()
            .and_then(|index| ALPHABET.get(index))
            .map_or('A', |&letter| char::from(letter))
    };
    let mut text: String = (0..21)
        .map(|place| letter(bits >> (122 - 6 * place)))
        .collect();
    text.push(letter(bits << 4));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_base64url_of_128_bits() {
        assert_eq!(base64url(0), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(base64url(u128::MAX), "_____________________w");
        assert_eq!(base64url(1), "AAAAAAAAAAAAAAAAAAAAAQ");
        let ids = fresh_ids();
        assert_ne!(ids.connection_id, ids.connection_token);
        assert_eq!(ids.connection_id.len(), 22);
    }

    #[tokio::test(start_paused = true)]
    async fn a_negotiated_connection_waits_for_its_transport_for_a_while() {
        let mut slots = Slots::new(Duration::from_secs(15));
        let (early, late) = (fresh_ids(), fresh_ids());
        assert!(slots.wait_for(&early, false));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(slots.wait_for(&late, false));
        assert_eq!(
            slots.state(Some(&early.connection_token)),
            ConnectionSlot::Waiting
        );
        assert_eq!(
            slots.state(Some(&early.connection_id)),
            ConnectionSlot::Unknown
        );
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(
            slots.state(Some(&early.connection_token)),
            ConnectionSlot::Unknown
        );
        assert!(slots.attach(Some(&late.connection_token)).is_some());
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(
            slots.state(Some(&late.connection_token)),
            ConnectionSlot::Attached
        );
        assert!(slots.attach(Some(&late.connection_token)).is_none());
        slots.remove(&late.connection_token);
        assert_eq!(
            slots.state(Some(&late.connection_token)),
            ConnectionSlot::Unknown
        );
        assert_eq!(slots.state(None), ConnectionSlot::Absent);
    }
}

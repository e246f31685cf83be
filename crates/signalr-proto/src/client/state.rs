//! The states of a client connection. Each variant holds only what that state owns, so that nothing stale can exist.
//!
//! The usual way is Disconnected, Connecting, Connected, Stopping, Disconnected. An attempt that fails and a connection that is
//! lost lead to Waiting when a policy knows the delay, to Deciding when the application is asked for it, and to Disconnected
//! when nothing is tried again; a stop leads there from everywhere.
//!
//! | from | to |
//! |---|---|
//! | Disconnected | Connecting |
//! | Connecting | Connected, Deciding, Waiting, Disconnected |
//! | Connected | Stopping, Deciding, Waiting, Disconnected |
//! | Deciding | Waiting, Disconnected |
//! | Waiting | Connecting, Disconnected |
//! | Stopping | Disconnected |
//!
//! A test walks all of these and finds no other.

use super::api::ConnectionState;
use super::connecting::{Attempt, Step};
use super::link::{HttpLink, Link};
use super::outage::{Decision, Outage};
use super::session::Session;
use crate::transport::negotiate::TransportKind;

/// Where a connection stands.
#[derive(Debug)]
pub(super) enum State {
    /// Not started, or over.
    Disconnected,
    /// On the way to a connection, for the first time or again.
    Connecting(Box<Attempt>),
    /// Calls can be made.
    Connected(Box<Session>),
    /// The application's policy was asked for a delay.
    Deciding(Box<Decision>),
    /// The delay before the next attempt runs.
    Waiting { outage: Outage },
    /// Our Close message is on its way, or the server's is awaited.
    Stopping(Box<Session>),
}

impl State {
    pub(super) fn public(&self) -> ConnectionState {
        let trying = |first: bool| {
            if first {
                ConnectionState::Connecting
            } else {
                ConnectionState::Reconnecting
            }
        };
        match self {
            Self::Disconnected => ConnectionState::Disconnected,
            Self::Connecting(attempt) => {
                trying(attempt.context.outage.is_none_or(|outage| outage.first))
            }
            Self::Deciding(decision) => trying(decision.outage.first),
            Self::Waiting { outage } => trying(outage.first),
            Self::Connected(_) => ConnectionState::Connected,
            Self::Stopping(_) => ConnectionState::Disconnecting,
        }
    }

    pub(super) const fn session(&self) -> Option<&Session> {
        match self {
            Self::Connected(session) | Self::Stopping(session) => Some(session),
            Self::Disconnected | Self::Connecting(_) | Self::Deciding(_) | Self::Waiting { .. } => {
                None
            }
        }
    }

    pub(super) const fn session_mut(&mut self) -> Option<&mut Session> {
        match self {
            Self::Connected(session) | Self::Stopping(session) => Some(session),
            Self::Disconnected | Self::Connecting(_) | Self::Deciding(_) | Self::Waiting { .. } => {
                None
            }
        }
    }

    /// The transport, also while it is being opened.
    pub(super) const fn link(&self) -> Option<&Link> {
        match self {
            Self::Connected(session) | Self::Stopping(session) => Some(&session.link),
            Self::Connecting(attempt) => attempt.step.link(),
            Self::Disconnected | Self::Deciding(_) | Self::Waiting { .. } => None,
        }
    }

    pub(super) const fn link_mut(&mut self) -> Option<&mut Link> {
        match self {
            Self::Connected(session) | Self::Stopping(session) => Some(&mut session.link),
            Self::Connecting(attempt) => match &mut attempt.step {
                Step::Opening(link, _) | Step::Handshaking(link, ..) => Some(link),
                Step::NegotiateToken(_) | Step::Negotiate(_) | Step::SocketToken(..) => None,
            },
            Self::Disconnected | Self::Deciding(_) | Self::Waiting { .. } => None,
        }
    }

    /// The transport, if it can be written to.
    pub(super) const fn open_link_mut(&mut self) -> Option<&mut Link> {
        match self {
            Self::Connected(session) | Self::Stopping(session) => Some(&mut session.link),
            Self::Connecting(attempt) => match &mut attempt.step {
                Step::Handshaking(link, ..) => Some(link),
                Step::NegotiateToken(_)
                | Step::Negotiate(_)
                | Step::SocketToken(..)
                | Step::Opening(..) => None,
            },
            Self::Disconnected | Self::Deciding(_) | Self::Waiting { .. } => None,
        }
    }

    /// The HTTP transport, also while it is being opened.
    pub(super) fn http_mut(&mut self) -> Option<&mut HttpLink> {
        self.link_mut().and_then(Link::http_mut)
    }

    /// Whether the transport keeps itself alive, so that there are no pings and no server timeout
    /// ([TR-66](crate::spec::transports#tr-66)).
    pub(super) fn is_polling(&self) -> bool {
        self.link()
            .is_some_and(|link| link.kind() == TransportKind::LongPolling)
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;
    use std::collections::BTreeSet;

    use bytes::Bytes;

    use super::*;
    use crate::Instant;
    use crate::client::{Action, ClientConfig, ClientConnection, Input, Output, ReconnectPolicy};
    use crate::transport::{EndCause, OpId};

    const EDGES: [(&str, &str); 14] = [
        ("Connected", "Deciding"),
        ("Connected", "Disconnected"),
        ("Connected", "Stopping"),
        ("Connected", "Waiting"),
        ("Connecting", "Connected"),
        ("Connecting", "Deciding"),
        ("Connecting", "Disconnected"),
        ("Connecting", "Waiting"),
        ("Deciding", "Disconnected"),
        ("Deciding", "Waiting"),
        ("Disconnected", "Connecting"),
        ("Stopping", "Disconnected"),
        ("Waiting", "Connecting"),
        ("Waiting", "Disconnected"),
    ];

    fn name(state: &State) -> &'static str {
        match state {
            State::Disconnected => "Disconnected",
            State::Connecting(_) => "Connecting",
            State::Connected(_) => "Connected",
            State::Deciding(_) => "Deciding",
            State::Waiting { .. } => "Waiting",
            State::Stopping(_) => "Stopping",
        }
    }

    /// A machine, and what the last poll left to answer.
    struct Walk {
        machine: ClientConnection,
        now: Instant,
        socket: Option<OpId>,
        question: Option<OpId>,
        edges: BTreeSet<(&'static str, &'static str)>,
    }

    impl Walk {
        fn new(policy: ReconnectPolicy) -> Self {
            let mut config = ClientConfig::new("http://host/hub").unwrap();
            config.skip_negotiation = true;
            config.reconnect = policy.clone();
            config.retry_start = policy;
            Self {
                machine: ClientConnection::new(config, 1),
                now: Instant::ZERO,
                socket: None,
                question: None,
                edges: BTreeSet::new(),
            }
        }

        fn step(&mut self, act: impl FnOnce(&mut ClientConnection, Instant)) {
            let before = name(&self.machine.state);
            act(&mut self.machine, self.now);
            self.note(before);
            loop {
                let before = name(&self.machine.state);
                let output = self.machine.poll_output();
                self.note(before);
                match output {
                    Output::Action(Action::OpenWebSocket { op, .. }) => self.socket = Some(op),
                    Output::Action(Action::NextRetryDelay { op, .. }) => self.question = Some(op),
                    Output::Action(_) | Output::Event(_) => {}
                    Output::Wait(_) => break,
                }
            }
        }

        fn note(&mut self, before: &'static str) {
            let after = name(&self.machine.state);
            if before != after {
                self.edges.insert((before, after));
            }
        }

        fn input(&mut self, input: Input) {
            self.step(|machine, now| machine.handle_input(now, input));
        }

        fn receive(&mut self, bytes: &'static [u8]) {
            if let Some(op) = self.socket {
                let bytes = Bytes::from_static(bytes);
                self.input(Input::Received { op, bytes });
            }
        }

        /// One of the things that can happen.
        fn go(&mut self, choice: u32) {
            match choice {
                0 => self.step(|machine, now| {
                    let _ = machine.start(now);
                }),
                1 => self.step(ClientConnection::stop),
                2 => self.step(ClientConnection::retry_now),
                3 => {
                    self.now = self.now.after(Duration::from_secs(60));
                    self.input(Input::Timeout);
                }
                4 | 5 => {
                    if let Some(op) = self.socket {
                        self.input(Input::Opened { op });
                    }
                }
                6 | 7 => self.receive(b"{}\x1e"),
                8 => self.receive(b"{\"type\":7}\x1e"),
                9 => self.receive(b"{\"type\":7,\"allowReconnect\":true}\x1e"),
                10 => {
                    if let Some(op) = self.socket {
                        let cause = EndCause::Clean;
                        self.input(Input::Ended { op, cause });
                    }
                }
                _ => {
                    let delay = (choice == 11).then_some(Duration::from_secs(1));
                    if let Some(op) = self.question.take() {
                        self.input(Input::RetryDelay { op, delay });
                    }
                }
            }
        }
    }

    #[test]
    fn every_edge_of_the_diagram_is_walked_and_there_is_no_other() {
        let mut seen = BTreeSet::new();
        // Without a delay of zero, after which one input takes two edges.
        let delays = ReconnectPolicy::Delays([1, 2].map(Duration::from_secs).into());
        for policy in [ReconnectPolicy::Never, delays, ReconnectPolicy::Ask] {
            let mut walk = Walk::new(policy);
            let mut random = 1_u32;
            for _ in 0..20_000 {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                walk.go((random >> 16) % 13);
            }
            seen.append(&mut walk.edges);
        }
        assert_eq!(seen, BTreeSet::from(EDGES));
    }
}

//! The link to the broker: how it comes about, is restored, watched over and lost.

use core::time::Duration;
use std::collections::VecDeque;

use bytes::BytesMut;

use super::BackplaneNode;
use super::state::{Link, Phase, State};
use crate::backplane::Channel;
use crate::backplane::api::{
    BackplaneAction, BackplaneEvent, BackplaneOutput, BackplaneState, Message,
};
use crate::backplane::outgoing::Purpose;
use crate::transport::OpId;

/// The link.
impl BackplaneNode {
    /// Does what is due, and sends what can be sent. `false` when there is nothing.
    pub(super) fn set_out(&mut self) -> bool {
        let action = match &self.state {
            State::Away { until, failures } if *until <= self.now => {
                let op = self.ids.next();
                let failures = *failures;
                let until = self.now.after(self.config.connect_timeout);
                self.state = State::Connecting {
                    op,
                    until,
                    failures,
                };
                Some(BackplaneAction::Connect { op })
            }
            State::Linked(_) => {
                let change = self.subscriptions.next_change(&mut self.ids);
                change.or_else(|| self.next_batch())
            }
            State::Away { .. } | State::Connecting { .. } | State::Stopped => None,
        };
        let any = action.is_some();
        let actions = action.into_iter().map(BackplaneOutput::Action);
        self.outputs.extend(actions);
        any
    }

    /// What is published next: nothing but the proof before a link is up.
    fn next_batch(&mut self) -> Option<BackplaneAction> {
        let State::Linked(link) = &mut self.state else {
            return None;
        };
        match &mut link.phase {
            Phase::Up { .. } => {
                let operations = &self.operations;
                self.outgoing
                    .next_batch(&mut self.ids, |purpose| operations.want(purpose))
            }
            Phase::Restoring { proving, .. } => {
                if *proving || !self.subscriptions.is_restored() {
                    return None;
                }
                *proving = true;
                let message = self.heartbeat();
                let purpose = Purpose::Heartbeat;
                Some(self.outgoing.alone(&mut self.ids, message, purpose))
            }
        }
    }

    pub(super) fn connected(&mut self, op: OpId) {
        let State::Connecting {
            op: awaited,
            failures,
            ..
        } = self.state
        else {
            return;
        };
        if awaited != op {
            return;
        }
        self.counters.connects += 1;
        self.subscriptions.lost();
        let phase = Phase::Restoring {
            until: self.now.after(self.config.connect_timeout),
            failures,
            held: VecDeque::new(),
            bytes: 0,
            proving: false,
        };
        self.state = State::Linked(Link { id: op, phase });
    }

    pub(super) fn subscribed(&mut self, op: OpId) {
        for operation in self.subscriptions.changed(op) {
            self.channel_ready(operation);
        }
        let State::Linked(link) = &mut self.state else {
            return;
        };
        if let Phase::Restoring { held, .. } = &mut link.phase {
            if self.subscriptions.is_restored() {
                let held = std::mem::take(held);
                held.into_iter().for_each(|message| self.read(message));
            }
        }
    }

    pub(super) fn published(&mut self, op: OpId, receivers: Vec<Option<u64>>) {
        if !self.outgoing.is_under_way(op) {
            return;
        }
        let flown = self.outgoing.landed();
        let receivers = receivers.into_iter().chain(std::iter::repeat(None));
        for (flown, receivers) in flown.into_iter().zip(receivers) {
            self.message_published(flown.purpose, receivers);
        }
    }

    pub(super) fn received(&mut self, link: OpId, message: Message) {
        let State::Linked(known) = &mut self.state else {
            return;
        };
        if known.id != link {
            return;
        }
        self.counters.received += 1;
        match &mut known.phase {
            Phase::Restoring { held, bytes, .. } if !self.subscriptions.is_restored() => {
                *bytes = bytes.saturating_add(message.payload.len() + 64);
                held.push_back(message);
                if *bytes > self.config.waiting_limit {
                    *bytes = 0;
                    let ready = std::mem::take(held);
                    ready.into_iter().for_each(|message| self.read(message));
                }
            }
            Phase::Restoring { .. } | Phase::Up { .. } => self.read(message),
        }
    }

    /// A heartbeat has come back.
    pub(super) fn heard_itself(&mut self) {
        let State::Linked(link) = &mut self.state else {
            return;
        };
        match &mut link.phase {
            Phase::Up { awaited, .. } => *awaited = false,
            Phase::Restoring { proving: true, .. } => {
                link.phase = Phase::Up {
                    beat_at: self.now.after(self.config.heartbeat_interval),
                    awaited: false,
                };
                self.tell(BackplaneEvent::Up);
            }
            // It was sent over the link before.
            Phase::Restoring { .. } => {}
        }
    }

    /// Somebody else's heartbeat has come. It will come again, and is told once.
    pub(super) fn heard_namesake(&mut self) {
        if !std::mem::replace(&mut self.has_namesake, true) {
            self.tell(BackplaneEvent::Namesake);
        }
    }

    /// A heartbeat has reached nobody.
    pub(super) fn unheard(&mut self) {
        self.lose(if self.state() == BackplaneState::Up {
            "the broker has forgotten this server's subscriptions"
        } else {
            "the broker does not let this server hear itself: it has to be allowed to subscribe"
        });
    }

    pub(super) fn failed(&mut self, op: OpId, detail: Box<str>) {
        let connecting = matches!(&self.state, State::Connecting { op: known, .. } if *known == op);
        if connecting || self.subscriptions.is_under_way(op) || self.outgoing.is_under_way(op) {
            self.lose(&detail);
        }
    }

    pub(super) fn link_lost(&mut self, link: OpId, detail: Box<str>) {
        if self.state.link() == Some(link) {
            self.lose(&detail);
        }
    }

    /// Gives the link up, or the attempt to get one.
    pub(super) fn lose(&mut self, detail: &str) {
        let Some(link) = self.state.link() else {
            return;
        };
        let linked = matches!(self.state, State::Linked(_));
        let failures = self.state.failures().saturating_add(1);
        let until = self.now.after(self.delay(failures));
        self.state = State::Away { until, failures };
        let action = BackplaneAction::Disconnect { link };
        self.outputs.push_back(BackplaneOutput::Action(action));
        self.tell(BackplaneEvent::Away {
            detail: detail.into(),
        });
        if linked {
            self.counters.losses += 1;
            self.fail_lost();
        } else {
            self.fail_away();
        }
    }

    /// The wait before the next attempt.
    fn delay(&mut self, failures: u32) -> Duration {
        let doubled = 1_u32
            .checked_shl(failures.saturating_sub(1))
            .unwrap_or(u32::MAX);
        let longest = self.config.longest_delay;
        let delay = self
            .config
            .shortest_delay
            .saturating_mul(doubled)
            .min(longest);
        // The low bits of a linear congruential generator are poor, and half of the high ones is enough for jitter.
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let share = u32::try_from(self.random >> 48).unwrap_or_default();
        delay - delay.saturating_mul(share) / 2 / (1 << 16)
    }

    /// Does what the clock demands of the link.
    pub(super) fn keep_link(&mut self) {
        if self
            .state
            .deadline()
            .is_none_or(|deadline| deadline > self.now)
        {
            return;
        }
        let timeout = self.config.connect_timeout;
        match &mut self.state {
            State::Connecting { .. } => {
                self.lose(&format!("the broker did not answer within {timeout:?}"));
            }
            State::Linked(link) => match &mut link.phase {
                Phase::Restoring { proving: false, .. } => {
                    self.lose(&format!("subscribing took longer than {timeout:?}"));
                }
                Phase::Restoring { .. } => {
                    self.lose(&format!(
                        "this server has not heard itself within {timeout:?}"
                    ));
                }
                Phase::Up { awaited: true, .. } => {
                    self.lose("the broker passes messages on no more");
                }
                Phase::Up { beat_at, awaited } => {
                    *beat_at = self.now.after(self.config.heartbeat_interval);
                    *awaited = true;
                    self.beat();
                }
            },
            // The next poll connects.
            State::Away { .. } | State::Stopped => {}
        }
    }

    fn beat(&mut self) {
        let Message { channel, payload } = self.heartbeat();
        self.outgoing.push(channel, payload, Purpose::Heartbeat);
    }

    fn heartbeat(&self) -> Message {
        let mut out = BytesMut::new();
        self.pulse.encode(&mut out);
        Message {
            channel: self.channels.name(Channel::Acks(&self.config.server_name)),
            payload: out.freeze(),
        }
    }
}

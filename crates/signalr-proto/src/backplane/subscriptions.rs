//! Which channels are wanted, by how many, and which of them the broker knows of ([SB-67](crate::spec::server_behaviour#sb-67)).
//!
//! One change is under way at a time: all channels to subscribe to that are known by then, or all to leave. So nothing can
//! overtake, and whoever joins and leaves in between costs nothing.

use std::collections::{BTreeMap, BTreeSet};

use bytestring::ByteString;

use super::api::{BackplaneAction, OperationId};
use crate::transport::{OpId, OpIds};

/// Channels in one change.
const MAX_BATCH: usize = 1_000;

#[derive(Debug, Default)]
struct Subscription {
    holders: usize,
    subscribed: bool,
    /// The change under way is about it.
    changing: bool,
    /// Operations that are done once it is subscribed to.
    waiting: Vec<OperationId>,
}

#[derive(Debug)]
struct Change {
    op: OpId,
    subscribe: bool,
    channels: Vec<ByteString>,
}

#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    channels: BTreeMap<ByteString, Subscription>,
    /// Channels that are wanted and not subscribed to, or the other way round, apart from those of the change under way.
    astray: BTreeSet<ByteString>,
    change: Option<Change>,
    /// Channels that were wanted when the link came about and have not been subscribed to since.
    lacking: BTreeSet<ByteString>,
}

impl Subscriptions {
    pub(super) fn len(&self) -> usize {
        self.channels.len()
    }

    /// How many want the channel.
    pub(super) fn holders(&self, channel: &str) -> usize {
        let subscription = self.channels.get(channel);
        subscription.map_or(0, |subscription| subscription.holders)
    }

    /// One more wants the channel.
    pub(super) fn hold(&mut self, channel: &ByteString) {
        let subscription = self.channels.entry(channel.clone()).or_default();
        subscription.holders += 1;
        self.look_at(channel);
    }

    /// One less wants the channel. Gives the operations that waited for it, if nobody wants it any more.
    #[must_use]
    pub(super) fn release(&mut self, channel: &ByteString) -> Vec<OperationId> {
        let Some(subscription) = self.channels.get_mut(channel) else {
            return Vec::new();
        };
        subscription.holders = subscription.holders.saturating_sub(1);
        if subscription.holders > 0 {
            return Vec::new();
        }
        let waiting = std::mem::take(&mut subscription.waiting);
        self.lacking.remove(channel);
        self.look_at(channel);
        waiting
    }

    /// Whether the channel is subscribed to. If it is not, the operation is given back when it is.
    #[must_use]
    pub(super) fn wait(&mut self, channel: &ByteString, operation: OperationId) -> bool {
        match self.channels.get_mut(channel) {
            // One that is being left is not there any more.
            Some(subscription) if !subscription.subscribed || subscription.changing => {
                subscription.waiting.push(operation);
                false
            }
            // Nobody wants what is not there.
            Some(_) | None => true,
        }
    }

    /// The operations that wait for the channel. Some of them may have ended in another way.
    pub(super) fn waiting(&self, channel: &ByteString) -> &[OperationId] {
        let subscription = self.channels.get(channel);
        subscription.map_or(&[], |subscription| &subscription.waiting)
    }

    fn look_at(&mut self, channel: &ByteString) {
        let Some(subscription) = self.channels.get(channel) else {
            return;
        };
        let wanted = subscription.holders > 0;
        if subscription.changing {
            return;
        }
        if wanted == subscription.subscribed {
            self.astray.remove(channel);
            if !wanted {
                self.channels.remove(channel);
            }
        } else {
            self.astray.insert(channel.clone());
        }
    }

    /// The next change, if one is needed and none is under way. Somebody may wait for subscriptions, so they come first.
    pub(super) fn next_change(&mut self, ids: &mut OpIds) -> Option<BackplaneAction> {
        if self.change.is_some() || self.astray.is_empty() {
            return None;
        }
        let channels = |subscribe: bool| -> Vec<ByteString> {
            let chosen = self.astray.iter().filter(|channel| {
                let known = self.channels.get(*channel);
                known.is_some_and(|known| (known.holders > 0) == subscribe)
            });
            chosen.take(MAX_BATCH).cloned().collect()
        };
        let wanted = channels(true);
        let subscribe = !wanted.is_empty();
        let channels = if subscribe { wanted } else { channels(false) };
        for channel in &channels {
            self.astray.remove(channel);
            if let Some(subscription) = self.channels.get_mut(channel) {
                subscription.changing = true;
            }
        }
        let op = ids.next();
        self.change = Some(Change {
            op,
            subscribe,
            channels: channels.clone(),
        });
        Some(if subscribe {
            BackplaneAction::Subscribe { op, channels }
        } else {
            BackplaneAction::Unsubscribe { op, channels }
        })
    }

    pub(super) fn is_under_way(&self, op: OpId) -> bool {
        self.change.as_ref().is_some_and(|change| change.op == op)
    }

    /// The change under way has been made. Gives the operations that waited for it.
    pub(super) fn changed(&mut self, op: OpId) -> Vec<OperationId> {
        let Some(change) = self.change.take_if(|change| change.op == op) else {
            return Vec::new();
        };
        let mut done = Vec::new();
        for channel in change.channels {
            if let Some(subscription) = self.channels.get_mut(&channel) {
                subscription.subscribed = change.subscribe;
                subscription.changing = false;
                if change.subscribe {
                    done.append(&mut subscription.waiting);
                }
            }
            if change.subscribe {
                self.lacking.remove(&channel);
            }
            self.look_at(&channel);
        }
        done
    }

    /// The broker knows of nothing any more.
    pub(super) fn lost(&mut self) {
        self.change = None;
        self.channels.retain(|_, subscription| {
            subscription.subscribed = false;
            subscription.changing = false;
            subscription.holders > 0
        });
        self.astray = self.channels.keys().cloned().collect();
        self.lacking.clone_from(&self.astray);
    }

    /// Whether everything that was wanted when the link came about is subscribed to.
    pub(super) fn is_restored(&self) -> bool {
        self.lacking.is_empty()
    }
}

//! What the model knows: who is certainly where, what was sent, and what has arrived.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;
use std::time::Duration;

use signalr_proto::Instant;
use signalr_proto::backplane::{Invocation, Message};

/// A connection.
pub(super) type Id = u32;

/// What happened in a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Messages that the broker took.
    pub messages: u64,
    /// Messages that arrived at a connection.
    pub deliveries: u64,
    /// Deliveries that had to happen, and did.
    pub owed: u64,
    /// Joins and leaves that were confirmed, by other servers alone.
    pub commands: u64,
    /// Questions that were answered.
    pub answers: u64,
    /// Operations that failed.
    pub failures: u64,
    /// Links that broke.
    pub cuts: u64,
    /// Restarts of the broker.
    pub restarts: u64,
    /// Servers that died.
    pub deaths: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.messages += other.messages;
        self.deliveries += other.deliveries;
        self.owed += other.owed;
        self.commands += other.commands;
        self.answers += other.answers;
        self.failures += other.failures;
        self.cuts += other.cuts;
        self.restarts += other.restarts;
        self.deaths += other.deaths;
    }
}

/// Who is meant by a message.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Recipients {
    All,
    Group(u64),
    User(u64),
    One(Id),
}

/// What is known of a membership.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum MembershipState {
    #[default]
    Out,
    In(Instant),
    /// Something is under way.
    Changing,
    /// Nobody can know, since a server did not confirm. Nothing is tried again until then.
    Unknown(Instant),
}

#[derive(Debug)]
struct Sent {
    meant: Recipients,
    excluded: BTreeSet<Id>,
    issued: Instant,
    published: Option<(Instant, u64)>,
}

/// When somebody certainly was within an audience.
#[derive(Debug)]
struct Membership {
    id: Id,
    server: usize,
    meant: Recipients,
    since: Instant,
    until: Option<Instant>,
}

#[derive(Debug, Default)]
pub(super) struct Model {
    sent: Vec<Sent>,
    memberships: Vec<Membership>,
    /// When each server could not be reached over the broker.
    outages: BTreeMap<usize, Vec<(Instant, Option<Instant>)>>,
    /// Messages that the broker lost on their way to a server.
    lost: BTreeSet<(usize, usize)>,
    arrived: BTreeSet<(Id, usize)>,
    /// The last message of each channel that a connection heard.
    heard: BTreeMap<(Id, Recipients), u64>,
    pub(super) tally: Tally,
}

impl Model {
    /// A message is about to be sent. Gives its number, which is its text.
    pub(super) fn sending(
        &mut self,
        meant: Recipients,
        excluded: BTreeSet<Id>,
        now: Instant,
    ) -> usize {
        self.sent.push(Sent {
            meant,
            excluded,
            issued: now,
            published: None,
        });
        self.sent.len() - 1
    }

    /// The broker has taken something. Gives the number if it is a message.
    pub(super) fn published(&mut self, message: &Message, order: u64, now: Instant) -> usize {
        let number = Invocation::decode(&message.payload).ok();
        let number = number.and_then(|invocation| number_of(&invocation));
        let Some(number) = number else {
            return usize::MAX;
        };
        let sent = self.sent.get_mut(number).expect("it was sent");
        assert!(
            sent.published.is_none(),
            "message {number} was published twice"
        );
        sent.published = Some((now, order));
        self.tally.messages += 1;
        number
    }

    pub(super) fn lost(&mut self, server: usize, number: usize) {
        self.lost.insert((server, number));
    }

    /// A connection hears a message.
    pub(super) fn hears(&mut self, id: Id, number: usize, meant: &Recipients) {
        let sent = self.sent.get(number).expect("it was sent");
        assert_eq!(&sent.meant, meant, "message {number} went astray");
        if matches!(meant, Recipients::All | Recipients::Group(_)) && sent.excluded.contains(&id) {
            return;
        }
        assert!(
            self.arrived.insert((id, number)),
            "{id} heard {number} twice"
        );
        let (_, order) = sent.published.expect("it was published");
        let last = self.heard.insert((id, meant.clone()), order);
        assert!(
            last.is_none_or(|last| last < order),
            "{id} heard {number} out of order"
        );
        self.tally.deliveries += 1;
    }

    pub(super) fn memberships(&mut self, id: Id, server: usize, meant: Recipients, since: Instant) {
        self.memberships.push(Membership {
            id,
            server,
            meant,
            since,
            until: None,
        });
    }

    /// A connection leaves an audience, or all.
    pub(super) fn leaves(&mut self, id: Id, meant: Option<&Recipients>, now: Instant) {
        for membership in &mut self.memberships {
            let left = membership.id == id && meant.is_none_or(|meant| *meant == membership.meant);
            if left && membership.until.is_none() {
                membership.until = Some(now);
            }
        }
    }

    pub(super) fn outage_begins(&mut self, server: usize, now: Instant) {
        let outages = self.outages.entry(server).or_default();
        if outages.last().is_none_or(|(_, end)| end.is_some()) {
            outages.push((now, None));
        }
    }

    pub(super) fn outage_ends(&mut self, server: usize, now: Instant) {
        if let Some((_, end)) = self.outages.entry(server).or_default().last_mut() {
            *end = end.or(Some(now));
        }
    }

    /// Whoever stayed has heard everything that was meant for them, if it takes so long at most.
    pub(super) fn settle(&mut self, longest: Duration) {
        for (number, sent) in self.sent.iter().enumerate() {
            let Some((published, _)) = sent.published else {
                continue;
            };
            let by = published.after(longest);
            for membership in self
                .memberships
                .iter()
                .filter(|membership| membership.meant == sent.meant)
            {
                let stayed =
                    membership.since <= sent.issued && membership.until.is_none_or(|end| end > by);
                let excluding = matches!(sent.meant, Recipients::All | Recipients::Group(_));
                let excluded = excluding && sent.excluded.contains(&membership.id);
                let outages = self.outages.get(&membership.server);
                let reached = outages
                    .into_iter()
                    .flatten()
                    .all(|(from, to)| *from > by || to.is_some_and(|to| to < published));
                let lost = self.lost.contains(&(membership.server, number));
                if !stayed || excluded || !reached || lost {
                    continue;
                }
                let Membership { id, .. } = membership;
                assert!(
                    self.arrived.contains(&(*id, number)),
                    "{id} stayed and did not hear {number}: {sent:?} {membership:?}"
                );
                self.tally.owed += 1;
            }
        }
    }
}

/// The number of a message, from its JSON payload.
pub(super) fn number_of(invocation: &Invocation) -> Option<usize> {
    let payload = invocation
        .payload(signalr_proto::Protocol::Json)?
        .as_ref()?;
    let text = std::str::from_utf8(payload).ok()?;
    text.trim_end_matches('\x1e').parse().ok()
}

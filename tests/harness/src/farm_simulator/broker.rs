//! The broker, and the links to it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use signalr_proto::backplane::{BackplaneAction, BackplaneInput, Message};
use signalr_proto::{Instant, OpId};

use super::world::{Happening, World};

/// Names a link: the server, which of its lives, and the node's name for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LinkId {
    pub(super) server: usize,
    pub(super) life: u32,
    pub(super) link: OpId,
}

#[derive(Debug, Default)]
struct Link {
    subscribed: BTreeSet<String>,
    /// When the last message of each channel arrives: the next one comes after it.
    last: BTreeMap<String, Instant>,
    /// The same of what is said to the broker, and of its answers, for each half of the link.
    sent: [Instant; 2],
    answered: [Instant; 2],
}

#[derive(Debug)]
pub(super) struct Broker {
    pub(super) up: bool,
    links: BTreeMap<LinkId, Link>,
    /// Messages so far, which gives them their order.
    published: u64,
}

impl Broker {
    pub(super) const fn new() -> Self {
        Self {
            up: true,
            links: BTreeMap::new(),
            published: 0,
        }
    }

    pub(super) fn is_linked(&self, id: LinkId) -> bool {
        self.links.contains_key(&id)
    }

    pub(super) fn links(&self) -> Vec<LinkId> {
        self.links.keys().copied().collect()
    }

    pub(super) fn forget(&mut self, id: LinkId) {
        self.links.remove(&id);
    }

    /// What the broker knows of a server's channels.
    pub(super) fn subscribed(&self, server: usize, life: u32) -> BTreeSet<String> {
        let links = self.links.iter();
        let own = links.filter(|(id, _)| (id.server, id.life) == (server, life));
        own.flat_map(|(_, link)| link.subscribed.iter().cloned())
            .collect()
    }
}

/// Which half of a link carries an action.
const fn half(action: &BackplaneAction) -> usize {
    match action {
        BackplaneAction::Publish { .. } => 0,
        _ => 1,
    }
}

impl World {
    /// A node wants something of the broker.
    pub(super) fn ask_broker(&mut self, server: usize, action: BackplaneAction) {
        let (life, now) = (self.servers[server].life, self.now);
        if let BackplaneAction::Connect { op } = action {
            let at = now.after(self.delay());
            return self.schedule(at, Happening::Connect { server, life, op });
        }
        if let BackplaneAction::Disconnect { link } = action {
            self.outage_begins(server);
            return self.broker.forget(LinkId { server, life, link });
        }
        let Some(link) = self.servers[server].link else {
            panic!("{server} has no link for {action:?}");
        };
        let id = LinkId { server, life, link };
        let arrives = now.after(self.delay());
        let half = half(&action);
        if let Some(link) = self.broker.links.get_mut(&id) {
            let at = arrives.max(link.sent[half]);
            link.sent[half] = at;
            self.schedule(at, Happening::AtBroker { id, action });
        }
    }

    pub(super) fn connect(&mut self, server: usize, life: u32, op: OpId) {
        if self.servers[server].life != life {
            return;
        }
        let input = if self.broker.up {
            let id = LinkId {
                server,
                life,
                link: op,
            };
            self.broker.links.insert(id, Link::default());
            self.servers[server].link = Some(op);
            BackplaneInput::Connected { op }
        } else {
            let detail = "refused".into();
            BackplaneInput::Failed { op, detail }
        };
        self.give(server, life, input);
    }

    /// An action has come to the broker, unless its link is gone.
    pub(super) fn at_broker(&mut self, id: LinkId, action: BackplaneAction) {
        if !self.broker.is_linked(id) {
            return;
        }
        let half = half(&action);
        let answer = match action {
            BackplaneAction::Publish { op, messages } => {
                let receivers = messages
                    .into_iter()
                    .map(|message| Some(self.spread(message)));
                let receivers = receivers.collect();
                BackplaneInput::Published { op, receivers }
            }
            BackplaneAction::Subscribe { op, channels } => {
                let link = self.broker.links.get_mut(&id).expect("it is linked");
                link.subscribed
                    .extend(channels.iter().map(|channel| channel.to_string()));
                BackplaneInput::Subscribed { op }
            }
            BackplaneAction::Unsubscribe { op, channels } => {
                let link = self.broker.links.get_mut(&id).expect("it is linked");
                for channel in channels {
                    link.subscribed.remove(&*channel);
                }
                BackplaneInput::Subscribed { op }
            }
            other => panic!("{other:?}"),
        };
        let at = self.now.after(self.delay());
        let Some(link) = self.broker.links.get_mut(&id) else {
            return;
        };
        let at = at.max(link.answered[half]);
        link.answered[half] = at;
        self.schedule(at, Happening::Answer { id, input: answer });
    }

    /// Passes a message on. Gives how many listen.
    fn spread(&mut self, message: Message) -> u64 {
        self.broker.published += 1;
        let order = self.broker.published;
        let number = self.model.published(&message, order, self.now);
        let mut receivers = 0;
        for id in self.broker.links() {
            let listens = self.broker.links.get(&id);
            if !listens.is_some_and(|link| link.subscribed.contains(&*message.channel)) {
                continue;
            }
            receivers += 1;
            if self.loses() {
                self.model.lost(id.server, number);
                continue;
            }
            let at = self.now.after(self.delay());
            let Some(link) = self.broker.links.get_mut(&id) else {
                continue;
            };
            let last = link.last.entry(message.channel.to_string()).or_default();
            *last = at.max(*last);
            let (at, message) = (*last, message.clone());
            let link = id.link;
            let input = BackplaneInput::Received { link, message };
            self.schedule(at, Happening::Answer { id, input });
        }
        receivers
    }

    /// A link breaks. Its server hears of it, or has to find out.
    pub(super) fn cut(&mut self, id: LinkId) {
        self.broker.forget(id);
        self.outage_begins(id.server);
        if self.random.percent(70) {
            let at = self.now.after(self.delay());
            let detail = "cut".into();
            let link = id.link;
            let input = BackplaneInput::Lost { link, detail };
            self.schedule(at, Happening::Told { id, input });
        }
    }

    fn delay(&mut self) -> Duration {
        self.random.up_to(self.plan.delay)
    }
}

//! Nodes over a broker that does as it should, unless it is told otherwise.

mod connections;
mod groups;
mod links;
mod messages;
mod questions;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use signalr_proto::backplane::{
    BackplaneAction, BackplaneConfig, BackplaneError, BackplaneEvent, BackplaneInput,
    BackplaneNode, BackplaneOutput, BackplaneState, Channel, Channels, Invocation, Message,
    OperationId,
};
use signalr_proto::{Instant, OpId, Protocol};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const START: Instant = Instant(seconds(1_000));

#[derive(Debug)]
struct Server {
    node: BackplaneNode,
    link: Option<OpId>,
    subscribed: BTreeSet<ByteString>,
    events: Vec<BackplaneEvent>,
    inputs: VecDeque<BackplaneInput>,
}

/// Servers `a`, `b`, … and the broker between them.
#[derive(Debug)]
struct Farm {
    now: Instant,
    servers: Vec<Server>,
    /// The broker refuses links while it is not.
    up: bool,
    /// The broker answers nothing while it is.
    frozen: bool,
    published: Vec<Message>,
    /// What was asked of the broker while it was frozen.
    unanswered: Vec<OpId>,
    actions: Vec<String>,
}

impl Farm {
    /// Servers that have found each other.
    fn of(servers: usize) -> Self {
        let mut farm = Self::away(servers, |_| {});
        farm.up = true;
        farm.settle();
        for server in &mut farm.servers {
            assert_eq!(server.node.state(), BackplaneState::Up);
            server.events.clear();
        }
        farm.actions.clear();
        farm.published.clear();
        farm
    }

    /// Servers that have not been polled yet, and a broker that is not there.
    fn away(servers: usize, configure: impl Fn(&mut BackplaneConfig)) -> Self {
        let server = |index: usize| {
            let name = ["a", "b", "c"][index];
            let mut config = BackplaneConfig::new("My.Hub", name);
            config.prefix = "pre".into();
            configure(&mut config);
            Server {
                node: BackplaneNode::new(config, index as u64, START),
                link: None,
                subscribed: BTreeSet::new(),
                events: Vec::new(),
                inputs: VecDeque::new(),
            }
        };
        Self {
            now: START,
            servers: (0..servers).map(server).collect(),
            up: false,
            frozen: false,
            published: Vec::new(),
            unanswered: Vec::new(),
            actions: Vec::new(),
        }
    }

    fn node(&mut self, server: usize) -> &mut BackplaneNode {
        &mut self.servers[server].node
    }

    /// Plays until nothing happens any more.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            let mut busy = false;
            for index in 0..self.servers.len() {
                busy |= self.step(index);
            }
            if !busy {
                return;
            }
        }
        panic!("the farm does not come to rest");
    }

    fn step(&mut self, index: usize) -> bool {
        let now = self.now;
        let server = &mut self.servers[index];
        if let Some(input) = server.inputs.pop_front() {
            server.node.handle_input(now, input);
            return true;
        }
        match server.node.poll_output() {
            BackplaneOutput::Event(event) => server.events.push(event),
            BackplaneOutput::Action(action) => self.perform(index, action),
            BackplaneOutput::Wait(_) => return false,
        }
        true
    }

    fn perform(&mut self, index: usize, action: BackplaneAction) {
        self.actions.push(described(index, &action));
        if self.frozen && !matches!(action, BackplaneAction::Disconnect { .. }) {
            self.unanswered.push(match action {
                BackplaneAction::Connect { op }
                | BackplaneAction::Disconnect { link: op }
                | BackplaneAction::Subscribe { op, .. }
                | BackplaneAction::Unsubscribe { op, .. }
                | BackplaneAction::Publish { op, .. } => op,
                other => panic!("{other:?}"),
            });
            return;
        }
        let input = match action {
            BackplaneAction::Connect { op } if self.up => {
                self.servers[index].link = Some(op);
                BackplaneInput::Connected { op }
            }
            BackplaneAction::Connect { op } => {
                let detail = "refused".into();
                BackplaneInput::Failed { op, detail }
            }
            BackplaneAction::Disconnect { .. } => {
                let server = &mut self.servers[index];
                server.link = None;
                server.subscribed.clear();
                return;
            }
            BackplaneAction::Subscribe { op, channels } => {
                self.servers[index].subscribed.extend(channels);
                BackplaneInput::Subscribed { op }
            }
            BackplaneAction::Unsubscribe { op, channels } => {
                let subscribed = &mut self.servers[index].subscribed;
                channels.iter().for_each(|channel| {
                    subscribed.remove(channel);
                });
                BackplaneInput::Subscribed { op }
            }
            BackplaneAction::Publish { op, messages } => {
                let receivers = messages
                    .into_iter()
                    .map(|message| Some(self.spread(message)));
                let receivers = receivers.collect();
                BackplaneInput::Published { op, receivers }
            }
            other => panic!("{other:?}"),
        };
        self.servers[index].inputs.push_back(input);
    }

    fn spread(&mut self, message: Message) -> u64 {
        let mut receivers = 0;
        for server in &mut self.servers {
            let Some(link) = server.link else { continue };
            if server.subscribed.contains(&message.channel) {
                receivers += 1;
                let message = message.clone();
                server
                    .inputs
                    .push_back(BackplaneInput::Received { link, message });
            }
        }
        self.published.push(message);
        receivers
    }

    /// All links break.
    fn cut(&mut self) {
        for server in &mut self.servers {
            server.subscribed.clear();
            if let Some(link) = server.link.take() {
                let detail = "cut".into();
                server
                    .inputs
                    .push_back(BackplaneInput::Lost { link, detail });
            }
        }
    }

    /// Lets time pass, with everything that it brings.
    fn pass(&mut self, time: Duration) {
        let end = self.now.after(time);
        loop {
            self.settle();
            let next =
                self.servers
                    .iter_mut()
                    .filter_map(|server| match server.node.poll_output() {
                        BackplaneOutput::Wait(deadline) => deadline,
                        BackplaneOutput::Action(_) | BackplaneOutput::Event(_) => None,
                    });
            let Some(next) = next.min().filter(|next| *next <= end) else {
                break;
            };
            self.now = self.now.max(next);
            for server in &mut self.servers {
                server.inputs.push_back(BackplaneInput::Timeout);
            }
        }
        self.now = end;
        for server in &mut self.servers {
            server.inputs.push_back(BackplaneInput::Timeout);
        }
        self.settle();
    }

    /// A client comes to a server.
    fn client(&mut self, server: usize, id: &str, user: Option<&str>) {
        let now = self.now;
        let operation = self.node(server).connect(now, id, user);
        self.settle();
        assert_eq!(self.result(server, operation), Some(Ok(())));
    }

    fn join(&mut self, server: usize, id: &str, group: &str) -> OperationId {
        let now = self.now;
        self.node(server).join(now, id, group).unwrap()
    }

    fn publish(&mut self, server: usize, channel: Channel<'_>, text: &'static str) -> OperationId {
        let now = self.now;
        let payload = message(text);
        self.node(server).publish(now, [channel], &payload)
    }

    /// What became of an operation, told once.
    fn result(&self, server: usize, wanted: OperationId) -> Option<Result<(), BackplaneError>> {
        let results = self.servers[server]
            .events
            .iter()
            .filter_map(|event| match event {
                BackplaneEvent::Done { operation, result } if *operation == wanted => Some(result),
                _ => None,
            });
        let results: Vec<_> = results.cloned().collect();
        assert!(results.len() < 2, "{results:?}");
        results.into_iter().next()
    }

    /// Texts for an audience that a server delivered, since it was asked the last time.
    fn delivered(&mut self, server: usize) -> Vec<String> {
        let events = std::mem::take(&mut self.servers[server].events);
        let told = events.into_iter().filter_map(|event| match event {
            BackplaneEvent::Deliver {
                audience,
                invocation,
            } => {
                let frame = invocation.payload(Protocol::Json)?.clone()?;
                let text = String::from_utf8_lossy(&frame);
                Some(format!("{audience:?} {}", text.trim_end_matches(END)))
            }
            _ => None,
        });
        told.collect()
    }

    fn subscribed(&self, server: usize) -> Vec<&str> {
        let channels = self.servers[server].subscribed.iter();
        let channels = channels.filter_map(|channel| channel.strip_prefix("preMy.Hub:"));
        channels
            .filter(|name| !name.starts_with("internal"))
            .collect()
    }
}

fn described(index: usize, action: &BackplaneAction) -> String {
    let short = |channel: &ByteString| channel.replace("preMy.Hub:", "");
    let list = |channels: &[ByteString]| channels.iter().map(short).collect::<Vec<_>>().join(" ");
    let name = ["a", "b", "c"][index];
    match action {
        BackplaneAction::Connect { .. } => format!("{name} connect"),
        BackplaneAction::Disconnect { .. } => format!("{name} disconnect"),
        BackplaneAction::Subscribe { channels, .. } => format!("{name} + {}", list(channels)),
        BackplaneAction::Unsubscribe { channels, .. } => format!("{name} - {}", list(channels)),
        BackplaneAction::Publish { messages, .. } => {
            let channels: Vec<_> = messages
                .iter()
                .map(|message| message.channel.clone())
                .collect();
            format!("{name} > {}", list(&channels))
        }
        other => panic!("{other:?}"),
    }
}

/// What stands behind each JSON message.
const END: char = '\x1e';

/// An encoded message of which JSON clients get this text.
fn message(text: &str) -> Bytes {
    frames(&[("json", format!("{text}{END}").as_bytes())])
}

/// The same with these frames.
fn frames(frames: &[(&str, &[u8])]) -> Bytes {
    let frame = |(protocol, frame): &(&str, &[u8])| {
        ((*protocol).into(), Some(Bytes::copy_from_slice(frame)))
    };
    let invocation = Invocation {
        payloads: frames.iter().map(frame).collect(),
        ..Invocation::default()
    };
    let mut out = BytesMut::new();
    invocation.encode(&mut out);
    out.freeze()
}

//! A node of a farm under arbitrary operations in arbitrary order, and what strangers put into its channels.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use signalr_proto::backplane::{
    Ack, BackplaneAction, BackplaneConfig, BackplaneEvent, BackplaneInput, BackplaneNode,
    BackplaneOutput, BackplaneState, Census, Channel, Channels, Completion, Count, Counted,
    GroupAction, GroupCommand, Invocation, Message, OperationId, ResultRequest, WhenAway,
};
use signalr_proto::codec::CompletionOutcome;
use signalr_proto::{DecodeError, Instant, OpId, Protocol};

use crate::bits::{Bits, pick};

/// What is read can be written, and is read again as the same; and nothing shorter than what is written can be read.
fn round<T: Debug + PartialEq>(
    data: &Bytes,
    decode: impl Fn(&Bytes) -> Result<T, DecodeError>,
    encode: impl Fn(&T, &mut BytesMut),
) {
    let Ok(value) = decode(data) else { return };
    let mut out = BytesMut::new();
    encode(&value, &mut out);
    let written = out.freeze();
    assert_eq!(decode(&written).as_ref(), Ok(&value));
    let lengths = (0..written.len()).rev().take(64);
    for length in lengths.chain(0..written.len().min(64)) {
        assert!(
            decode(&written.slice(..length)).is_err(),
            "{length}: {value:?}"
        );
    }
}

/// The bytes as each of the four payloads.
pub fn payloads(data: &[u8]) {
    let data = Bytes::copy_from_slice(data);
    round(&data, Invocation::decode, Invocation::encode);
    round(&data, GroupCommand::decode, GroupCommand::encode);
    round(&data, Ack::decode, |ack, out| ack.encode(out));
    round(&data, Completion::decode, Completion::encode);
    round(&data, Census::decode, Census::encode);
    round(&data, Count::decode, |count, out| count.encode(out));
    if let Ok(completion) = Completion::decode(&data) {
        let _ = completion.read();
    }
}

/// Both properties: the first byte says how a node is configured, and the rest is read as a payload and as operations.
pub fn check(data: &[u8]) {
    let Some((_, rest)) = data.split_first() else {
        return;
    };
    payloads(rest);
    let first = node(data);
    assert_eq!(first, node(data), "the same operations had other outcomes");
}

/// As [`check`], without comparing.
pub fn rules(data: &[u8]) {
    payloads(data.get(1..).unwrap_or_default());
    node(data);
}

const WAITING: usize = 1_024;

struct Play<'a> {
    bits: Bits<'a>,
    node: BackplaneNode,
    now: Instant,
    channels: Channels,
    link: Option<OpId>,
    /// Actions without an answer.
    open: Vec<OpId>,
    operations: BTreeSet<OperationId>,
    /// Questions for which probes may wait: those that are open, and those that were since nothing waited.
    asked: usize,
    /// What the node said to itself last.
    heartbeat: Option<Message>,
    trace: String,
}

/// Plays operations. Gives what the node did.
///
/// # Panics
/// When it breaks a rule.
pub fn node(data: &[u8]) -> String {
    let mut bits = Bits(data);
    let mut config = BackplaneConfig::new("H", "me");
    let options = bits.byte();
    if options & 1 > 0 {
        config.when_away = WhenAway::Wait(Duration::from_secs(10));
    }
    config.waiting_limit = WAITING;
    config.max_message_size = 256;
    config.maximum_groups_per_connection = 2;
    config.maximum_group_name_length = 4;
    let mut play = Play {
        bits,
        node: BackplaneNode::new(config, u64::from(options), Instant::ZERO),
        now: Instant::ZERO,
        channels: Channels::new("", "H"),
        link: None,
        open: Vec::new(),
        operations: BTreeSet::new(),
        asked: 0,
        heartbeat: None,
        trace: String::new(),
    };
    while !play.bits.0.is_empty() {
        play.step();
        play.drain();
        play.check_waiting();
    }
    play.node.stop(play.now);
    play.drain();
    assert!(
        play.operations.is_empty(),
        "{:?} never ended",
        play.operations
    );
    assert_eq!(play.node.state(), BackplaneState::Stopped);
    assert!(matches!(
        play.node.poll_output(),
        BackplaneOutput::Wait(None)
    ));
    play.trace
}

impl Play<'_> {
    fn id(&mut self) -> String {
        pick(&["1", "2", "3", ""], self.bits.byte()).to_owned()
    }

    fn group(&mut self) -> String {
        pick(&["a", "b", "c", "", "long name"], self.bits.byte()).to_owned()
    }

    fn step(&mut self) {
        let now = self.now;
        match self.bits.byte() % 64 {
            0 | 50..=52 => {
                let (id, user) = (self.id(), self.id());
                let user = (!user.is_empty()).then_some(&*user);
                let operation = self.node.connect(now, &id, user);
                self.begin(operation);
            }
            1 => {
                let id = self.id();
                self.node.disconnect(now, &id);
                assert!(!self.node.is_local(&id));
            }
            2 | 53..=55 => {
                let (id, group) = (self.id(), self.group());
                if let Ok(operation) = self.node.join(now, &id, &group) {
                    self.begin(operation);
                }
            }
            3 => {
                let (id, group) = (self.id(), self.group());
                let operation = self.node.leave(now, &id, &group);
                self.begin(operation);
            }
            4 | 56..=60 => self.publish(),
            5 => {
                let (id, length) = (self.id(), self.bits.byte());
                let payload = self.bits.take(length.into());
                let timeout = Duration::from_secs(self.bits.byte().into());
                let question = pick(&["q1", "q2"], self.bits.byte());
                let operation = self.node.ask(now, &id, question, payload, timeout);
                self.begin(operation);
                self.asked += 1;
            }
            6 => {
                let question = ResultRequest {
                    id: "q".into(),
                    return_address: "H:internal:return:other".into(),
                };
                let outcome = CompletionOutcome::Error("no");
                let answered = self.node.answer(now, &question, Protocol::Json, outcome);
                answered.expect("a text can be encoded");
            }
            7 => self.forget(),
            61 => {
                let group = self.group();
                let operation = self.node.count(now, Counted::Group(group.into()));
                self.begin(operation);
            }
            8..=31 => self.answer(),
            32..=47 => self.receive(),
            48 => {
                let link = self.link.take().unwrap_or(OpId::new(77));
                let detail = "lost".into();
                self.input(BackplaneInput::Lost { link, detail });
            }
            49 => {
                // Anything may be said about anything that is not under way: answers to that are counted.
                let op = OpId::new(self.bits.byte().into());
                if self.open.contains(&op) {
                    return;
                }
                let input = match self.bits.byte() % 4 {
                    0 => BackplaneInput::Connected { op },
                    1 => BackplaneInput::Subscribed { op },
                    2 => BackplaneInput::Published {
                        op,
                        receivers: Vec::new(),
                    },
                    _ => BackplaneInput::Failed {
                        op,
                        detail: "failed".into(),
                    },
                };
                self.input(input);
            }
            _ => {
                let wait = pick(&[0, 1, 100, 1_000, 5_000, 31_000], self.bits.byte());
                self.now = now.after(Duration::from_millis(wait));
                self.input(BackplaneInput::Timeout);
            }
        }
    }

    /// Each message may be larger than what is left, but none is taken after that. Beside it wait a heartbeat, and small probes for
    /// each question, two until the missing heartbeat ends the link.
    fn check_waiting(&mut self) {
        let waiting = self.node.counters().waiting_bytes;
        if waiting == 0 {
            self.asked = self.operations.len();
        }
        let probes = 2 * 128 * self.asked as u64;
        let limit = 3 * WAITING as u64 + probes;
        assert!(waiting < limit, "{waiting} bytes wait, not {limit}");
    }

    fn begin(&mut self, operation: OperationId) {
        assert!(
            self.operations.insert(operation),
            "{operation:?} was used before"
        );
    }

    fn input(&mut self, input: BackplaneInput) {
        self.node.handle_input(self.now, input);
    }

    fn publish(&mut self) {
        let (id, group, count) = (self.id(), self.group(), self.bits.byte() % 4);
        let length = self.bits.byte();
        let payload = self.bits.take(length.into());
        let all = [
            Channel::All,
            Channel::Group(&group),
            Channel::User(&id),
            Channel::Connection(&id),
        ];
        let channels = all.into_iter().take(count.into());
        let operation = self.node.publish(self.now, channels, &payload);
        self.begin(operation);
    }

    fn forget(&mut self) {
        let known: Vec<_> = self.operations.iter().copied().collect();
        let Some(index) = self.bits.index(known.len()) else {
            return;
        };
        let Some(operation) = known.get(index) else {
            return;
        };
        // What is forgotten may end without a word, and everything else goes on.
        self.operations.remove(operation);
        self.node.forget(self.now, *operation);
    }

    /// The broker answers the oldest action, or the newest.
    fn answer(&mut self) {
        let how = self.bits.byte();
        if self.open.is_empty() {
            return;
        }
        let op = if how & 1 > 0 {
            self.open.remove(0)
        } else {
            self.open.pop().expect("there is one")
        };
        let detail = || "failed".into();
        let receivers = pick(&[None, Some(0), Some(2)], how >> 4);
        let receivers = vec![receivers; 8];
        // The node knows what the action was, and ignores what does not belong to it.
        for input in [
            BackplaneInput::Connected { op },
            BackplaneInput::Subscribed { op },
            BackplaneInput::Published { op, receivers },
        ] {
            if how % 8 == 6 {
                let detail = detail();
                return self.input(BackplaneInput::Failed { op, detail });
            }
            self.input(input);
        }
        if how & 8 > 0 {
            // Without that, no link would ever be up.
            if let (Some(link), Some(message)) = (self.link, self.heartbeat.clone()) {
                self.input(BackplaneInput::Received { link, message });
            }
        }
    }

    /// Something comes over the broker: made for the purpose, or any bytes.
    fn receive(&mut self) {
        let (id, group, kind) = (self.id(), self.group(), self.bits.byte());
        let channel = pick(
            &[
                Channel::All,
                Channel::Group(&group),
                Channel::User(&id),
                Channel::Connection(&id),
                Channel::GroupCommands,
                Channel::Acks("me"),
                Channel::Returns("me"),
                Channel::Census,
            ],
            kind & 7,
        );
        let channel = self.channels.name(channel);
        let payload = match kind >> 6 {
            0 if kind & 8 > 0 => encoded(|out| {
                let question = ResultRequest {
                    id: "q".into(),
                    return_address: "H:internal:return:other".into(),
                };
                let invocation = Invocation {
                    result_request: Some(question),
                    ..Invocation::default()
                };
                invocation.encode(out);
            }),
            0 => {
                let length = self.bits.byte();
                self.bits.take(length.into())
            }
            1 => encoded(|out| {
                let command = GroupCommand {
                    id: (kind >> 3).into(),
                    server: "other".into(),
                    action: pick(
                        &[
                            GroupAction::Add,
                            GroupAction::Remove,
                            GroupAction::Unknown(9),
                        ],
                        kind >> 3 & 3,
                    ),
                    group: group.as_str().into(),
                    connection_id: id.as_str().into(),
                };
                command.encode(out);
            }),
            2 => encoded(|out| {
                let id = i32::from(kind >> 3 & 7) - 1;
                Ack { id }.encode(out);
            }),
            _ => encoded(|out| {
                let completion = Completion {
                    protocol: "json".into(),
                    frame: Bytes::from_static(b"{\"type\":3,\"invocationId\":\"q1\"}\x1e"),
                };
                completion.encode(out);
            }),
        };
        let link = self.link.unwrap_or(OpId::new(1));
        let message = Message { channel, payload };
        self.input(BackplaneInput::Received { link, message });
    }

    /// Takes what the node has to say.
    fn drain(&mut self) {
        loop {
            let output = self.node.poll_output();
            let line = match &output {
                BackplaneOutput::Wait(_) => return,
                BackplaneOutput::Action(action) => format!("{action:?}\n"),
                BackplaneOutput::Event(event) => format!("{event:?}\n"),
            };
            self.trace.push_str(&line);
            match output {
                BackplaneOutput::Action(action) => self.perform(&action),
                BackplaneOutput::Event(
                    BackplaneEvent::Done { operation, .. }
                    | BackplaneEvent::Answered { operation, .. }
                    | BackplaneEvent::Counted { operation, .. },
                ) => {
                    self.operations.remove(&operation);
                }
                BackplaneOutput::Event(_) | BackplaneOutput::Wait(_) => {}
            }
        }
    }

    fn perform(&mut self, action: &BackplaneAction) {
        match action {
            BackplaneAction::Connect { op } => {
                assert!(self.open.is_empty(), "{action:?} beside {:?}", self.open);
                self.link = Some(*op);
                self.open.push(*op);
            }
            BackplaneAction::Disconnect { .. } => self.open.clear(),
            BackplaneAction::Subscribe { op, channels }
            | BackplaneAction::Unsubscribe { op, channels } => {
                assert!(!channels.is_empty());
                self.open.push(*op);
            }
            BackplaneAction::Publish { op, messages } => {
                assert!(!messages.is_empty());
                let own = self.channels.name(Channel::Acks("me"));
                if let Some(heartbeat) = messages.iter().find(|message| message.channel == own) {
                    self.heartbeat = Some(heartbeat.clone());
                }
                self.open.push(*op);
            }
            other => panic!("{other:?}"),
        }
        assert!(self.open.len() <= 2, "{action:?} beside {:?}", self.open);
    }
}

fn encoded(encode: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::new();
    encode(&mut out);
    out.freeze()
}

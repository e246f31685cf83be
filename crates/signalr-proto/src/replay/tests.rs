use proptest::prelude::*;

use super::*;
use crate::codec::frame::FrameDecoder;
use crate::codec::{HubMessage, InvocationHead, Protocol, Role};
use crate::error::SendError;
use crate::outbox::Outbox;
use crate::transport::OpId;

const JSON: Protocol = Protocol::Json;

fn sequence(out: &mut BytesMut, id: u64) {
    JSON.encode_sequence(out, id);
}

/// An outbox with a transport that takes everything at once.
struct Sender {
    outbox: Outbox,
    op: u32,
}

impl Sender {
    fn new(limit: usize) -> Self {
        let mut outbox = Outbox::new(1 << 20);
        outbox.enable_replay(limit);
        Self { outbox, op: 0 }
    }

    fn write(&mut self, text: &'static str) -> Result<(), SendError> {
        self.outbox.write(|out| {
            out.extend_from_slice(text.as_bytes());
            Ok(())
        })
    }

    fn writes(texts: &[&'static str]) -> Self {
        let mut sender = Self::new(100_000);
        for text in texts {
            sender.write(text).unwrap();
        }
        sender
    }

    /// A batch that stays in flight.
    fn batch(&mut self) -> String {
        self.op += 1;
        let batch = self.outbox.next_batch(OpId(self.op)).unwrap_or_default();
        String::from_utf8(batch.to_vec()).unwrap()
    }

    fn take(&mut self) -> bool {
        self.outbox.sent(OpId(self.op))
    }

    fn resume(&mut self) -> String {
        self.outbox.resume(sequence);
        self.batch().replace('\u{1e}', "|")
    }

    fn lose(&mut self) -> String {
        self.outbox.hold();
        self.resume()
    }
}

#[test]
fn a_replay_begins_with_the_first_message_that_was_not_acknowledged() {
    let mut sender = Sender::writes(&["a", "b", "c", "d", "e", "f"]);
    assert_eq!(sender.batch(), "abcdef");
    sender.take();
    sender.outbox.acknowledge(3);
    assert_eq!(sender.lose(), r#"{"type":9,"sequenceId":4}|def"#);
}

#[test]
fn with_nothing_to_repeat_the_sequence_names_the_next_message() {
    let mut sender = Sender::new(100);
    assert_eq!(sender.lose(), r#"{"type":9,"sequenceId":1}|"#);
    sender.take();
    sender.write("a").unwrap();
    sender.batch();
    sender.take();
    sender.outbox.acknowledge(1);
    assert_eq!(sender.lose(), r#"{"type":9,"sequenceId":2}|"#);
}

#[test]
fn messages_of_the_protocol_are_neither_numbered_nor_repeated_nor_refused() {
    let mut sender = Sender::new(1);
    let ping = |outbox: &mut Outbox| outbox.write_control(|out| out.extend_from_slice(b"-"));
    sender.write("aa").unwrap();
    assert!(sender.write("b").is_err());
    ping(&mut sender.outbox);
    sender
        .outbox
        .write_always(|out| out.extend_from_slice(b"c"));
    ping(&mut sender.outbox);
    assert_eq!(sender.batch(), "aa-c-");
    sender.outbox.hold();
    ping(&mut sender.outbox);
    assert_eq!(sender.resume(), r#"{"type":9,"sequenceId":1}|aac"#);
    sender.take();
    sender.outbox.acknowledge(1);
    assert_eq!(sender.lose(), r#"{"type":9,"sequenceId":2}|c"#);
}

#[test]
fn what_is_written_without_a_transport_follows_the_replay() {
    let mut sender = Sender::writes(&["a", "b"]);
    sender.batch();
    sender.write("c").unwrap();
    sender.outbox.hold();
    sender.write("d").unwrap();
    assert_eq!(sender.batch(), "");
    assert_eq!(sender.resume(), r#"{"type":9,"sequenceId":1}|abcd"#);
}

#[test]
fn a_second_loss_starts_again_with_the_first_message_that_was_not_acknowledged() {
    let mut sender = Sender::writes(&["a", "b"]);
    sender.batch();
    sender.lose();
    sender.outbox.acknowledge(1);
    sender.write("c").unwrap();
    assert_eq!(sender.lose(), r#"{"type":9,"sequenceId":2}|bc"#);
    // Lost before the batch was even asked for.
    sender.outbox.hold();
    sender.outbox.resume(sequence);
    sender.write("d").unwrap();
    assert_eq!(sender.lose(), r#"{"type":9,"sequenceId":2}|bcd"#);
}

#[test]
fn a_message_counts_as_taken_when_its_bytes_are_first_taken() {
    let mut sender = Sender::writes(&["a"]);
    sender.batch();
    sender.write("bc").unwrap();
    let position = sender.outbox.written();
    assert_eq!(position, 3);
    sender.outbox.hold();
    assert!(
        !sender.take(),
        "an answer about the lost transport is ignored"
    );
    assert_eq!(sender.outbox.taken(), 0);
    sender.resume();
    assert_eq!(sender.outbox.taken(), 0);
    sender.write("d").unwrap();
    sender.take();
    assert_eq!(sender.outbox.taken(), 3);
    sender.batch();
    sender.take();
    assert_eq!(
        (sender.outbox.taken(), sender.outbox.written()),
        (4, position + 1)
    );
}

#[test]
fn stale_repeated_and_too_large_acks_are_harmless() {
    let mut sender = Sender::writes(&["a", "b", "c"]);
    sender.outbox.acknowledge(1);
    sender.batch();
    sender.take();
    for id in [2, 1, 0, 2, 4, u64::MAX] {
        sender.outbox.acknowledge(id);
    }
    assert_eq!(sender.lose(), r#"{"type":9,"sequenceId":3}|c"#);
    sender.outbox.acknowledge(3);
    sender.outbox.acknowledge(3);
    assert_eq!(sender.lose(), r#"{"type":9,"sequenceId":4}|"#);
}

#[test]
fn writers_are_refused_above_the_limit_until_acks_bring_it_below() {
    let mut sender = Sender::new(4);
    sender.write("largest").unwrap();
    assert_eq!(
        sender.write("b"),
        Err(SendError::Full {
            waiting: 7,
            limit: 4
        })
    );
    sender.batch();
    assert!(!sender.take(), "room at the transport is not enough");
    assert!(sender.outbox.acknowledge(1));
    for text in ["aa", "bb", "cc"] {
        sender.write(text).unwrap();
    }
    assert!(sender.write("d").is_err());
    sender.batch();
    sender.take();
    assert!(
        !sender.outbox.acknowledge(2),
        "at the limit is not below it"
    );
    assert!(sender.outbox.acknowledge(3));
    assert!(!sender.outbox.acknowledge(4), "nobody waits any more");
}

#[test]
fn a_resume_admits_one_message_over_the_limit_until_something_is_acknowledged() {
    let mut sender = Sender::new(1);
    sender.write("aa").unwrap();
    assert!(sender.write("b").is_err());
    sender.batch();
    sender.take();
    sender.lose();
    assert!(sender.take(), "the writer is invited");
    sender.write("b").unwrap();
    assert!(sender.write("c").is_err());
    sender.lose();
    assert!(sender.write("c").is_err());
    sender.outbox.acknowledge(1);
    sender.write("cc").unwrap();
    sender.lose();
    sender.write("d").unwrap();
}

#[test]
fn messages_are_kept_without_a_copy() {
    let mut sender = Sender::writes(&["a", "bcd"]);
    let batch = sender.outbox.next_batch(OpId(1)).unwrap();
    let mut kept = Unacknowledged::new(100);
    kept.wrote(0..1);
    kept.wrote(1..4);
    kept.keep(&batch);
    assert_eq!(kept.sent[1].as_ptr(), batch[1..].as_ptr());
}

#[test]
fn without_replay_a_lost_transport_changes_nothing_and_acks_mean_nothing() {
    let mut outbox = Outbox::new(100);
    outbox.write_control(|out| out.extend_from_slice(b"a"));
    outbox.hold();
    outbox.resume(sequence);
    assert!(!outbox.acknowledge(1) && !outbox.is_held());
    assert_eq!(outbox.next_batch(OpId(1)).unwrap(), "a");
}

#[test]
fn a_cleared_outbox_keeps_nothing() {
    let mut sender = Sender::writes(&["a"]);
    sender.outbox.hold();
    sender.outbox.clear();
    assert!(!sender.outbox.is_held() && !sender.outbox.is_replay_enabled());
    assert_eq!((sender.outbox.taken(), sender.outbox.is_idle()), (0, true));
}

#[test]
fn repetitions_are_told_from_new_messages() {
    let mut inbound = Inbound::default();
    assert!((0..3).all(|_| inbound.is_new()));
    assert_eq!(inbound.take_ack(), Some(3));
    inbound.sequence(2).unwrap();
    assert!(!inbound.is_new());
    assert!(
        !inbound.is_ack_due(),
        "only the last repetition is worth an ack"
    );
    assert!(!inbound.is_new());
    assert_eq!(inbound.take_ack(), Some(3));
    assert!(inbound.is_new());
    assert_eq!((inbound.take_ack(), inbound.take_ack()), (Some(4), None));
}

#[test]
fn counting_goes_on_without_a_sequence() {
    let mut inbound = Inbound::default();
    inbound.is_new();
    inbound.resume();
    assert!(inbound.is_new());
}

#[test]
fn a_resume_makes_an_ack_due_when_anything_was_received() {
    let mut inbound = Inbound::default();
    inbound.resume();
    assert_eq!(inbound.take_ack(), None);
    inbound.is_new();
    inbound.take_ack();
    inbound.resume();
    assert_eq!(inbound.take_ack(), Some(1));
}

#[test]
fn a_sequence_may_not_leave_messages_out_nor_be_zero() {
    let mut inbound = Inbound::default();
    inbound.is_new();
    assert_eq!(inbound.sequence(3), Err(SequenceError::Ahead));
    assert_eq!(inbound.sequence(0), Err(SequenceError::Zero));
    assert_eq!(
        SequenceError::Ahead.to_string(),
        "sequence ID greater than amount of messages we've received"
    );
    inbound.sequence(2).unwrap();
    assert!(inbound.is_new());
}

#[test]
fn a_sequence_may_pass_over_messages_that_were_being_repeated() {
    let mut inbound = Inbound::default();
    assert!((0..6).all(|_| inbound.is_new()));
    inbound.sequence(4).unwrap();
    assert!(!inbound.is_new());
    inbound.sequence(7).unwrap();
    assert!(inbound.is_new());
}

/// What happens between a sender and a receiver that speak through sockets which may break at any byte.
#[derive(Clone, Debug)]
enum Step {
    /// A message, encoded in its place or before.
    Write(Encoded),
    WriteControl,
    /// The sender gives a batch to the socket.
    Flush,
    /// The transport reports the batch as taken.
    Taken,
    /// So many bytes arrive.
    Deliver(usize),
    /// The receiver acknowledges. The Ack may be lost with the socket.
    Ack(bool),
    /// The socket breaks, what it holds is lost, and perhaps there is a new one.
    Break(bool),
    Resume,
}

#[derive(Clone, Copy, Debug)]
enum Encoded {
    InPlace,
    Before,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Write(Encoded::InPlace)),
        4 => Just(Step::Write(Encoded::Before)),
        2 => Just(Step::WriteControl),
        6 => Just(Step::Flush),
        6 => Just(Step::Taken),
        8 => (0_usize..200).prop_map(Step::Deliver),
        3 => any::<bool>().prop_map(Step::Ack),
        2 => any::<bool>().prop_map(Step::Break),
        2 => Just(Step::Resume),
    ]
}

struct Link {
    protocol: Protocol,
    outbox: Outbox,
    inbound: Inbound,
    frames: FrameDecoder,
    socket: BytesMut,
    written: i32,
    received: i32,
    op: u32,
}

impl Link {
    fn new(protocol: Protocol) -> Self {
        let mut outbox = Outbox::new(500);
        outbox.enable_replay(300);
        Self {
            protocol,
            outbox,
            inbound: Inbound::default(),
            frames: FrameDecoder::new(protocol, 1000),
            socket: BytesMut::new(),
            written: 0,
            received: 0,
            op: 0,
        }
    }

    fn run(&mut self, step: &Step) {
        let protocol = self.protocol;
        match step {
            Step::Write(encoded) => self.write(*encoded),
            Step::WriteControl => self.outbox.write_control(|out| protocol.encode_ping(out)),
            Step::Flush => {
                if let Some(batch) = self.outbox.next_batch(OpId(self.op)) {
                    self.socket.extend_from_slice(&batch);
                }
            }
            Step::Taken => drop(self.outbox.sent(OpId(self.op))),
            Step::Deliver(count) => self.deliver(*count),
            Step::Ack(true) => {
                if let Some(id) = self.inbound.take_ack() {
                    self.outbox.acknowledge(id);
                }
            }
            Step::Ack(false) => {
                self.inbound.take_ack();
                self.run(&Step::Break(false));
            }
            Step::Break(resume) => {
                self.op += 1;
                self.outbox.hold();
                self.socket.clear();
                self.frames = FrameDecoder::new(protocol, 1000);
                if *resume {
                    self.resume();
                }
            }
            Step::Resume => self.resume(),
        }
        assert!(self.outbox.taken() <= self.outbox.written());
    }

    fn write(&mut self, encoded: Encoded) {
        let head = InvocationHead {
            streaming: false,
            headers: &[],
            invocation_id: None,
            target: "T",
            stream_ids: &[],
        };
        let (protocol, number) = (self.protocol, self.written);
        let encode = |out: &mut BytesMut| protocol.encode_invocation(out, head, &(number,));
        let written = match encoded {
            Encoded::InPlace => self.outbox.write(encode),
            Encoded::Before => {
                let mut frame = BytesMut::new();
                encode(&mut frame).unwrap();
                self.outbox.write_frame(&frame.freeze())
            }
        };
        self.written += i32::from(written.is_ok());
    }

    fn resume(&mut self) {
        if self.outbox.is_held() {
            let protocol = self.protocol;
            self.outbox
                .resume(|out, id| protocol.encode_sequence(out, id));
            self.inbound.resume();
        }
    }

    fn deliver(&mut self, count: usize) {
        let mut bytes = self.socket.split_to(count.min(self.socket.len())).freeze();
        while let Some(frame) = self.frames.decode(&mut bytes).unwrap() {
            match self.protocol.decode(Role::Client, &frame).unwrap() {
                Some(HubMessage::Sequence { sequence_id }) => {
                    self.inbound.sequence(sequence_id).unwrap();
                }
                Some(HubMessage::Invocation(invocation)) => {
                    if self.inbound.is_new() {
                        let (number,) = invocation.arguments.decode::<(i32,)>().unwrap();
                        assert_eq!(number, self.received, "out of order");
                        self.received += 1;
                    }
                }
                other => assert_eq!(other, Some(HubMessage::Ping)),
            }
        }
    }

    /// Without further trouble everything arrives.
    fn settle(&mut self) {
        let calm = [
            Step::Resume,
            Step::Taken,
            Step::Flush,
            Step::Taken,
            Step::Flush,
            Step::Deliver(usize::MAX),
            Step::Ack(true),
        ];
        calm.iter().for_each(|step| self.run(step));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn each_message_arrives_once_and_in_order_wherever_sockets_break(
        steps in proptest::collection::vec(step(), 0..200), binary in any::<bool>(),
    ) {
        let mut link = Link::new(if binary { Protocol::MessagePack } else { JSON });
        steps.iter().for_each(|step| link.run(step));
        link.settle();
        prop_assert_eq!(link.received, link.written);
        link.write(Encoded::InPlace);
        prop_assert!(link.written > link.received, "there is room again");
        link.settle();
        prop_assert_eq!(link.outbox.taken(), link.outbox.written());
    }
}

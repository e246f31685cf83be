//! What holds whatever the client, the application and the network do.

use core::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::limits::Limits;

#[derive(Clone, Debug)]
enum Step {
    Receive(Vec<u8>),
    Sent,
    Timeout(u16),
    Pause,
    Resume,
    End(bool),
    Accept,
    Send(u16),
    Complete,
    Close,
    Attach,
    Poll,
}

const PIECES: &[&[u8]] = &[
    b"{\"protocol\":\"json\",\"version\":1}\x1e",
    b"{\"protocol\":\"messagepack\",\"version\":1}\x1e",
    b"{\"protocol\":\"json\",\"version\":2}\x1e",
    b"{\"type\":8,\"sequenceId\":2}\x1e",
    b"{\"type\":9,\"sequenceId\":1}\x1e",
    b"{\"type\":6}\x1e",
    b"{\"type\":1,\"target\":\"T\",\"arguments\":[1]}\x1e",
    b"{\"type\":3,\"invocationId\":\"s1\"}\x1e",
    b"{\"type\":7}\x1e",
    b"{\"type\":99}\x1e",
    b"\x02\x91\x06",
    b"\x0d\x96\x01\x80\xa1\x31\xa3Add\x92\x01\x02\x90",
    b"{\"type\":",
    b"\x1e",
];

fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => proptest::sample::select(PIECES).prop_map(<[u8]>::to_vec),
        1 => proptest::collection::vec(any::<u8>(), 0..40),
        1 => (0_usize..600).prop_map(|size| vec![b' '; size]),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => piece().prop_map(Step::Receive),
        6 => Just(Step::Sent),
        3 => any::<u16>().prop_map(Step::Timeout),
        1 => Just(Step::Pause),
        2 => Just(Step::Resume),
        1 => any::<bool>().prop_map(Step::End),
        3 => Just(Step::Accept),
        4 => (0_u16..300).prop_map(Step::Send),
        2 => Just(Step::Complete),
        1 => Just(Step::Close),
        2 => Just(Step::Attach),
        8 => Just(Step::Poll),
    ]
}

/// The machine and what must be true of it.
struct Watch {
    machine: ServerConnection,
    now: Instant,
    in_flight: bool,
    over: bool,
    trace: String,
}

impl Watch {
    fn new() -> Self {
        let limits = Limits {
            max_message_size: 512,
            max_incoming_bytes: 1024,
            max_outgoing_bytes: 256,
            ..Limits::SERVER
        };
        let config = ServerConfig {
            limits,
            stateful_reconnect: true,
            stateful_reconnect_buffer_size: 256,
            ..ServerConfig::default()
        };
        let machine = ServerConnection::new(config, Instant::ZERO);
        Self {
            machine,
            now: Instant::ZERO,
            in_flight: false,
            over: false,
            trace: String::new(),
        }
    }

    fn run(&mut self, step: &Step) {
        let now = self.now;
        let machine = &mut self.machine;
        match step {
            Step::Receive(bytes) => machine.handle_input(
                now,
                ServerInput::Received {
                    bytes: Bytes::copy_from_slice(bytes),
                },
            ),
            Step::Sent => {
                self.in_flight = false;
                machine.handle_input(now, ServerInput::Sent);
            }
            Step::Timeout(milliseconds) => {
                self.now = now.after(Duration::from_millis(u64::from(*milliseconds)));
                machine.handle_input(self.now, ServerInput::Timeout);
            }
            Step::Pause => machine.handle_input(now, ServerInput::ReadPaused),
            Step::Resume => machine.handle_input(now, ServerInput::ReadResumed),
            Step::End(clean) => {
                let cause = if *clean {
                    EndCause::Clean
                } else {
                    EndCause::Failed {
                        detail: "broken".into(),
                    }
                };
                machine.handle_input(now, ServerInput::Ended { cause });
            }
            Step::Accept => machine.accept(now),
            Step::Send(size) => drop(machine.send(now, "T", &["x".repeat(usize::from(*size))])),
            Step::Complete => drop(machine.complete(now, "1", CompletionOutcome::Result(&1))),
            Step::Close => machine.close(now, None, true),
            Step::Attach => {
                if machine.attach(now) {
                    self.in_flight = false;
                }
            }
            Step::Poll => self.poll(),
        }
        assert!(
            self.machine.outbox.pending() <= 256 + 300 + 1024,
            "too much waits to be sent"
        );
        assert!(
            self.machine.incoming_bytes() <= 1024 + 600,
            "too much waits to be read"
        );
    }

    fn poll(&mut self) {
        for _ in 0..1000 {
            let output = self.machine.poll_output();
            self.trace.push_str(&format!("{output:?}\n"));
            match output {
                ServerOutput::Action(ServerAction::Send { .. }) => {
                    assert!(!self.in_flight, "two sends at a time");
                    self.in_flight = true;
                }
                ServerOutput::Action(_) => assert!(!self.over, "an action after the end"),
                ServerOutput::Event(event) => {
                    assert!(!self.over, "an event after the end");
                    self.over = matches!(event, ServerEvent::Closed { .. });
                }
                ServerOutput::Wait(deadline) => {
                    assert!(
                        deadline.is_none_or(|deadline| deadline > self.now),
                        "a deadline that has passed"
                    );
                    assert!(!self.over || deadline.is_none(), "a deadline after the end");
                    return;
                }
            }
        }
        panic!("the machine does not come to rest");
    }

    fn run_all(steps: &[Step]) -> String {
        let mut watch = Self::new();
        watch.machine.handle_input(
            Instant::ZERO,
            ServerInput::Received {
                bytes: Bytes::from_static(PIECES[0]),
            },
        );
        steps.iter().for_each(|step| watch.run(step));
        watch.poll();
        // Whatever happened, an end of the transport and of all pauses is the end.
        watch.machine.accept(watch.now);
        watch
            .machine
            .handle_input(watch.now, ServerInput::ReadResumed);
        watch.machine.handle_input(
            watch.now,
            ServerInput::Ended {
                cause: EndCause::Clean,
            },
        );
        watch.poll();
        assert!(
            watch.over && watch.machine.is_closed(),
            "the connection does not end"
        );
        watch.trace
    }
}

proptest! {
    #[test]
    fn any_sequence_of_events_keeps_the_invariants_and_can_be_replayed(steps in proptest::collection::vec(step(), 0..120)) {
        prop_assert_eq!(Watch::run_all(&steps), Watch::run_all(&steps));
    }
}

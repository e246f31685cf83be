//! Stateful reconnect: the counting of messages, back-pressure, losses upon losses, and what lives through them.

use std::time::Duration;

use bytes::Bytes;
use signalr_harness::script::{Script, Wish, Words, granted};
use signalr_proto::client::{
    Action, CallError, ClientConfig, ConnectionState, Event, Ignored, Input, Misuse,
    ReconnectPolicy, ReplyTo,
};
use signalr_proto::codec::{ArgumentWriter, CompletionOutcome, HubArguments};
use signalr_proto::transport::negotiate::TransportKind::WebSockets;
use signalr_proto::{CloseReason, EncodeError, EndCause, Protocol, SendError, SequenceError};

const MILLISECOND: Duration = Duration::from_millis(1);
const PROTOCOLS: [Protocol; 2] = [Protocol::Json, Protocol::MessagePack];

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn never(_: &mut ClientConfig) {}

/// A stateful connection whose log is cleared; pings and the server timeout keep out of the way.
fn connected_with(protocol: Protocol, change: impl FnOnce(&mut ClientConfig)) -> Script {
    let mut script = Script::with(|config| {
        config.protocol = protocol;
        config.stateful_reconnect = Some(100_000);
        config.keep_alive_interval = seconds(10_000);
        config.server_timeout = seconds(10_000);
        change(config);
    });
    script.start();
    connect(&mut script);
    script.clear();
    script
}

fn connected(change: impl FnOnce(&mut ClientConfig)) -> Script {
    connected_with(Protocol::Json, change)
}

/// Plays the server from negotiation up to the handshake.
fn connect(script: &mut Script) {
    script.answer(Wish::Negotiate, 200, &granted(&[WebSockets]));
    script.open();
    script.receive(b"{}\x1e");
}

fn sent(script: &mut Script) -> Vec<u8> {
    std::mem::take(&mut script.sent)
}

/// Loses the socket and opens the next.
fn resume(script: &mut Script) {
    script.cut();
    script.open();
}

/// Some upload streams and nothing else.
struct Uploads(usize);

impl HubArguments for Uploads {
    fn stream_count(&self) -> usize {
        self.0
    }

    fn write(&self, _: &mut ArgumentWriter<'_>) -> Result<(), EncodeError> {
        Ok(())
    }
}

#[test]
fn a_number_ahead_of_what_was_received_ends_the_connection_in_the_official_words() {
    for protocol in PROTOCOLS {
        for (received, number, expected) in [
            (0, 2, SequenceError::Ahead),
            (3, 5, SequenceError::Ahead),
            (3, 0, SequenceError::Zero),
        ] {
            let mut script = connected_with(protocol, |config| {
                config.reconnect = ReconnectPolicy::standard();
            });
            let words = Words::of(&script);
            for _ in 0..received {
                script.receive(&words.invocation(None, "a"));
            }
            resume(&mut script);
            script.clear();
            let late = words.invocation(None, "late");
            script.receive(&[words.sequence(number), late].concat());
            let reason = CloseReason::Sequence(expected);
            assert_eq!(script.events, [Event::Reconnecting { reason }]);
            assert!(matches!(
                &script.actions[..],
                [Action::Close { code: 1000, .. }]
            ));
        }
    }
    assert_eq!(
        CloseReason::Sequence(SequenceError::Ahead).to_string(),
        "sequence ID greater than amount of messages we've received"
    );
}

#[test]
fn a_number_outside_of_a_resume_obeys_the_same_rules() {
    let mut script = connected(never);
    let words = Words::of(&script);
    script.receive(&words.sequence(1));
    script.receive(&words.invocation(None, "a"));
    script.receive(&[words.sequence(1), words.invocation(None, "a")].concat());
    assert_eq!(script.events.len(), 1);
    script.clear();
    script.receive(&words.sequence(3));
    assert_eq!(
        script.closed(),
        &CloseReason::Sequence(SequenceError::Ahead)
    );
}

#[test]
fn after_a_resume_the_number_comes_first_but_for_pings_and_close() {
    let mut early = connected(never);
    let words = Words::of(&early);
    resume(&mut early);
    early.clear();
    early.receive(&words.ping());
    assert_eq!(early.events, []);
    early.receive(&words.invocation(None, "a"));
    assert_eq!(early.closed(), &CloseReason::MissingSequence);
    let mut closing = connected(never);
    resume(&mut closing);
    closing.clear();
    closing.receive(&words.close());
    assert!(matches!(
        closing.closed(),
        CloseReason::ClosedByServer { error: None, .. }
    ));
}

#[test]
fn without_the_feature_its_messages_mean_nothing() {
    let mut script = Script::connected(never);
    let words = Words::of(&script);
    script.receive(&[words.ack(9), words.sequence(9), words.invocation(None, "a")].concat());
    assert!(matches!(script.events[..], [Event::Invocation { .. }]));
    script.advance(seconds(5));
    assert_eq!(sent(&mut script), b"");
}

#[test]
fn a_second_loss_repeats_from_the_first_message_that_was_not_acknowledged() {
    for protocol in PROTOCOLS {
        let mut script = connected_with(protocol, never);
        let words = Words::of(&script);
        let say = |target| words.invocation(None, target);
        script.send("1");
        script.send("2");
        // The repetition itself is lost in flight, then half of it was heard.
        script.clear();
        script.takes_sends = false;
        resume(&mut script);
        script.send("3");
        let first = [words.sequence(1), say("1"), say("2")].concat();
        assert_eq!(sent(&mut script), first);
        resume(&mut script);
        assert_eq!(sent(&mut script), [first, say("3")].concat());
        script.receive(&[words.sequence(1), words.ack(1)].concat());
        script.cut();
        script.send("4");
        script.open();
        let rest = [words.sequence(2), say("2"), say("3"), say("4")];
        assert_eq!(sent(&mut script), rest.concat());
    }
}

#[test]
fn losses_in_a_row_are_each_one_attempt_and_leave_the_calls_pending() {
    let mut script = connected(never);
    let words = Words::of(&script);
    let call = script.invoke("A");
    for _ in 0..5 {
        script.clear();
        resume(&mut script);
        assert_eq!(
            script.take_sent().into_bytes(),
            [words.sequence(1), words.invocation(Some("1"), "A")].concat()
        );
        assert!(matches!(
            script.events[..],
            [Event::Resuming { .. }, Event::Resumed]
        ));
    }
    script.clear();
    script.receive(&[words.sequence(1), words.completion("1")].concat());
    assert!(matches!(
        script.events[..],
        [Event::Completion { invocation_id, outcome: Ok(_) }] if invocation_id == call.id()
    ));
}

#[test]
fn late_news_of_a_replaced_socket_is_ignored() {
    let mut script = connected(never);
    let words = Words::of(&script);
    script.invoke("A");
    let old = script.socket.unwrap();
    script.cut();
    let news = |script: &mut Script| {
        let bytes = Bytes::from(words.completion("1"));
        script.input(Input::Received { op: old, bytes });
        script.input(Input::Sent { op: old });
        script.input(Input::Opened { op: old });
        let cause = EndCause::Clean;
        script.input(Input::Ended { op: old, cause });
    };
    script.clear();
    news(&mut script);
    assert_eq!((script.events.len(), script.actions.len()), (0, 0));
    script.open();
    script.clear();
    news(&mut script);
    assert_eq!((script.events.len(), script.actions.len()), (0, 0));
    assert_eq!(script.client.state(), ConnectionState::Connected);
}

#[test]
fn nothing_is_received_on_a_socket_before_it_is_open() {
    let mut script = connected(never);
    let words = Words::of(&script);
    script.cut();
    script.clear();
    script.receive(&[words.sequence(1), words.invocation(None, "a")].concat());
    assert!(
        matches!(
            script.events[..],
            [Event::Ignored(Ignored::Misuse {
                misuse: Misuse::NotOpened,
                ..
            })]
        ),
        "{:?}",
        script.events
    );
    assert_eq!(script.client.incoming_bytes(), 0);
}

#[test]
fn messages_are_refused_once_more_than_the_limit_waits_for_acknowledgement() {
    for protocol in PROTOCOLS {
        let size = Words(protocol).invocation(None, "A").len();
        // Two messages reach the limit, the third exceeds it.
        let mut script = connected_with(protocol, |config| {
            config.stateful_reconnect = Some(2 * size);
        });
        let words = Words::of(&script);
        for _ in 0..3 {
            script.send("A");
        }
        let full = SendError::Full {
            waiting: 3 * size,
            limit: 2 * size,
        };
        for _ in 0..2 {
            assert_eq!(
                script.client.send(script.now, "A", &()).err(),
                Some(full.clone())
            );
        }
        // Down to the limit is not below it.
        script.receive(&words.ack(1));
        assert_eq!(script.events, []);
        script.receive(&words.ack(2));
        assert_eq!(script.take_events(), [Event::Writable]);
        script.send("A");
        script.send("A");
        assert!(script.client.send(script.now, "A", &()).is_err());
    }
}

#[test]
fn a_message_larger_than_the_limit_passes_when_nothing_waits() {
    let mut script = connected(|config| config.stateful_reconnect = Some(10));
    let words = Words::of(&script);
    script.send("a long name");
    assert!(script.client.send(script.now, "B", &()).is_err());
    script.receive(&words.ack(1));
    assert_eq!(script.take_events(), [Event::Writable]);
    script.send("another long name");
}

#[test]
fn the_limit_is_a_hundred_thousand_bytes_where_the_address_alone_asks() {
    let config = ClientConfig::new("http://host/hub?useStatefulReconnect=true").unwrap();
    let mut script = Script::new(config);
    script.start();
    connect(&mut script);
    let size = Words::of(&script).invocation(None, "A").len();
    let accepted = (0..10_000)
        .take_while(|_| script.client.send(script.now, "A", &()).is_ok())
        .count();
    assert_eq!(accepted, 100_000 / size + 1);
}

#[test]
fn pings_acknowledgements_cancellations_and_close_pass_although_messages_do_not() {
    let mut script = connected(|config| {
        config.stateful_reconnect = Some(10);
        config.keep_alive_interval = seconds(15);
    });
    let words = Words::of(&script);
    let call = script.invoke("a long name");
    assert!(script.client.send(script.now, "B", &()).is_err());
    script.clear();
    script.advance(seconds(15));
    assert_eq!(sent(&mut script), words.ping());
    script.receive(&words.invocation(None, "a"));
    script.advance(seconds(1));
    assert_eq!(sent(&mut script), words.ack(1));
    script.client.cancel(script.now, call.id());
    script.poll();
    assert_eq!(
        script.take_sent(),
        "{\"type\":5,\"invocationId\":\"1\"}\u{1e}"
    );
    script.stop();
    assert_eq!(sent(&mut script), words.close());
}

#[test]
fn messages_that_are_kept_meanwhile_are_bounded_and_one_more_may_follow_a_resume() {
    let size = Words(Protocol::Json).invocation(None, "A").len();
    let mut script = connected(|config| config.stateful_reconnect = Some(2 * size));
    let words = Words::of(&script);
    script.cut();
    for _ in 0..3 {
        script.send("A");
    }
    assert!(script.client.send(script.now, "A", &()).is_err());
    script.clear();
    // The Ack that would make room may be lost, and some servers send it again only behind another message.
    script.open();
    assert_eq!(script.take_events(), [Event::Resumed, Event::Writable]);
    script.send("A");
    assert!(script.client.send(script.now, "A", &()).is_err());
    script.receive(&[words.sequence(1), words.ack(4)].concat());
    assert_eq!(script.events, [Event::Writable]);
}

#[test]
fn a_refused_call_is_told_that_the_connection_is_gone_when_the_attempt_fails() {
    let mut script = connected(|config| {
        config.stateful_reconnect = Some(10);
        config.reconnect = ReconnectPolicy::standard();
    });
    let call = script.invoke("a long name");
    assert!(matches!(
        script.client.send(script.now, "B", &()),
        Err(SendError::Full { .. })
    ));
    script.cut();
    script.clear();
    script.cut();
    assert!(matches!(
        script.events[..],
        [Event::Completion { invocation_id, outcome: Err(CallError::ConnectionLost(_)) }, Event::Reconnecting { .. }]
            if invocation_id == call.id()
    ));
    assert_eq!(
        script.client.send(script.now, "B", &()).err(),
        Some(SendError::NotConnected)
    );
    // The buffer of the old connection does not weigh on the new one.
    script.advance(MILLISECOND);
    connect(&mut script);
    script.send("B");
}

#[test]
fn buffered_messages_put_the_next_ping_off() {
    let mut script = connected(|config| config.keep_alive_interval = seconds(15));
    for _ in 0..4 {
        script.advance(seconds(10));
        script.send("A");
    }
    let words = Words::of(&script);
    assert_eq!(sent(&mut script), words.invocation(None, "A").repeat(4));
}

fn question(script: &mut Script) -> ReplyTo {
    match script.take_events().pop() {
        Some(Event::Invocation {
            reply_to: Some(reply_to),
            ..
        }) => reply_to,
        other => panic!("{other:?}"),
    }
}

#[test]
fn questions_of_the_server_are_answered_across_a_resume_but_not_across_a_reconnect() {
    for protocol in PROTOCOLS {
        let mut script = connected_with(protocol, |config| {
            config.reconnect = ReconnectPolicy::standard();
        });
        let words = Words::of(&script);
        script.receive(&words.invocation(Some("s1"), "q"));
        let first = question(&mut script);
        script.receive(&words.invocation(Some("s2"), "q"));
        let second = question(&mut script);
        script.receive(&words.invocation(Some("s3"), "q"));
        let third = question(&mut script);
        script.cut();
        let answer = CompletionOutcome::Result(&5);
        script.client.complete(script.now, first, answer).unwrap();
        script.open();
        assert_eq!(
            sent(&mut script),
            [words.sequence(1), words.completion("s1")].concat()
        );
        script.client.complete(script.now, second, answer).unwrap();
        script.poll();
        assert_eq!(sent(&mut script), words.completion("s2"));
        script.cut();
        script.cut();
        script.advance(MILLISECOND);
        connect(&mut script);
        let late = script.client.complete(script.now, third, answer);
        assert!(matches!(late, Err((SendError::UnknownId, _))));
    }
}

#[test]
fn uploads_go_on_across_a_resume_and_are_over_after_a_failed_one() {
    let mut script = connected(|config| config.reconnect = ReconnectPolicy::standard());
    let words = Words::of(&script);
    let call = script.client.invoke(script.now, "Up", &Uploads(2)).unwrap();
    let [first, second] = call.streams().collect::<Vec<_>>()[..] else {
        panic!("{call:?}")
    };
    script.poll();
    script.client.send_item(script.now, first, "a").unwrap();
    script.poll();
    script.clear();
    script.cut();
    script.client.send_item(script.now, second, "b").unwrap();
    script.client.end_stream(script.now, first, None).unwrap();
    script.open();
    let repeated = script.take_sent();
    let expected = [
        "\"streamIds\":[\"1\",\"2\"]",
        "{\"type\":2,\"invocationId\":\"1\",\"item\":\"a\"}",
        "{\"type\":2,\"invocationId\":\"2\",\"item\":\"b\"}",
        "{\"type\":3,\"invocationId\":\"1\"}",
    ];
    let places = expected.map(|part| repeated.find(part).unwrap_or_else(|| panic!("{repeated}")));
    assert!(places.is_sorted(), "{repeated}");
    script.receive(&words.sequence(1));
    script.cut();
    script.cut();
    assert_eq!(
        script.client.send_item(script.now, second, "c"),
        Err(SendError::NotConnected)
    );
    script.advance(MILLISECOND);
    connect(&mut script);
    assert_eq!(
        script.client.send_item(script.now, second, "c"),
        Err(SendError::UnknownId)
    );
}

#[test]
fn a_call_may_be_cancelled_while_there_is_no_socket() {
    let mut script = connected(never);
    let words = Words::of(&script);
    let call = script.invoke("A");
    script.cut();
    script.client.cancel(script.now, call.id());
    script.clear();
    script.open();
    assert_eq!(
        script.take_sent(),
        concat!(
            "{\"type\":9,\"sequenceId\":1}\u{1e}",
            "{\"type\":1,\"invocationId\":\"1\",\"target\":\"A\",\"arguments\":[]}\u{1e}",
            "{\"type\":5,\"invocationId\":\"1\"}\u{1e}"
        )
    );
    script.clear();
    script.receive(&[words.sequence(1), words.completion("1")].concat());
    assert_eq!(script.events, []);
}

#[test]
fn reading_may_be_paused_across_a_resume() {
    let mut script = connected(|config| config.server_timeout = seconds(20));
    script.input(Input::ReadPaused);
    script.advance(seconds(50));
    resume(&mut script);
    script.advance(seconds(50));
    assert_eq!(script.client.state(), ConnectionState::Connected);
    script.input(Input::ReadResumed);
    script.clear();
    script.advance(seconds(20));
    assert!(matches!(script.closed(), CloseReason::ServerTimeout { .. }));
}

#[test]
fn a_stopping_client_says_nothing_behind_its_close() {
    let mut script = connected(|config| {
        config.keep_alive_interval = seconds(1);
        config.close_timeout = seconds(60);
    });
    let words = Words::of(&script);
    script.stop();
    assert_eq!(sent(&mut script), words.close());
    script.receive(&words.invocation(None, "late"));
    script.advance(seconds(59));
    assert_eq!((sent(&mut script), script.events.len()), (vec![], 0));
    script.receive(&words.close());
    assert_eq!(script.closed(), &CloseReason::Stopped);
}

#[test]
fn a_stop_upon_the_news_of_a_loss_ends_the_connection_once() {
    let mut script = connected(|config| config.reconnect = ReconnectPolicy::standard());
    script.cut();
    script.cut();
    assert!(matches!(
        script.events.last(),
        Some(Event::Reconnecting { .. })
    ));
    script.clear();
    script.stop();
    script.stop();
    assert_eq!(script.closed(), &CloseReason::Stopped);
    script.assert_over();
}

#[test]
fn what_is_not_said_for_want_of_a_socket_is_not_counted() {
    let mut script = connected(|config| config.keep_alive_interval = seconds(1));
    let words = Words::of(&script);
    script.receive(&words.invocation(None, "a"));
    let before = script.client.stats();
    script.cut();
    script.advance(seconds(20));
    assert_eq!(script.client.stats(), before);
    script.open();
    let after = script.client.stats();
    assert_eq!(
        (after.messages_sent - before.messages_sent, after.resumes),
        (1, 1)
    );
}

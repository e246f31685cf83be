//! How much may wait for acknowledgement.

use super::*;

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

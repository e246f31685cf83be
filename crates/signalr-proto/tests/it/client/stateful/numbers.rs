//! Sequence numbers, and what obeys them.

use super::*;

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

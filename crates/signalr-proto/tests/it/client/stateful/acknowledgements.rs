//! What is counted, acknowledged and repeated.

use super::*;

#[test]
fn one_acknowledgement_follows_a_second_after_the_first_message_for_all() {
    for protocol in PROTOCOLS {
        let mut script = connected_with(protocol, never);
        let words = Words::of(&script);
        script.receive(&words.ping());
        script.advance(seconds(5));
        script.receive(&words.invocation(None, "a"));
        script.advance(seconds(1) - MILLISECOND);
        script.receive(&words.invocation(None, "b"));
        script.receive(&words.completion("9"));
        assert_eq!(sent(&mut script), b"");
        script.advance(MILLISECOND);
        assert_eq!(sent(&mut script), words.ack(3));
        script.receive(&[words.ping(), words.ack(0)].concat());
        script.advance(seconds(5));
        assert_eq!(sent(&mut script), b"");
        script.receive(&words.invocation(None, "c"));
        script.advance(seconds(1));
        assert_eq!(sent(&mut script), words.ack(4));
    }
}

#[test]
fn messages_count_by_their_type_whatever_becomes_of_them() {
    let mut script = connected(never);
    // Three that count: an unknown call's completion, and two that servers do not send. Two that do not: a type from the future,
    // and a ping.
    for text in [
        r#"{"type":3,"invocationId":"7"}"#,
        r#"{"type":99}"#,
        r#"{"type":4,"invocationId":"7","target":"a","arguments":[]}"#,
        r#"{"type":6}"#,
        r#"{"type":5,"invocationId":"7"}"#,
    ] {
        script.receive_json(text);
    }
    script.advance(seconds(1));
    let words = Words::of(&script);
    assert_eq!(sent(&mut script), words.ack(3));
    assert_eq!(script.client.state(), ConnectionState::Connected);
}

#[test]
fn an_acknowledgement_that_may_be_lost_is_said_again_on_the_new_socket() {
    let mut script = connected(never);
    let words = Words::of(&script);
    script.receive(&words.invocation(None, "a"));
    script.advance(seconds(1));
    assert_eq!(sent(&mut script), words.ack(1));
    script.clear();
    resume(&mut script);
    assert_eq!(sent(&mut script), words.sequence(1));
    script.advance(seconds(1));
    assert_eq!(sent(&mut script), words.ack(1));
    // A server that repeats it has not heard of it.
    script.receive(&[words.sequence(1), words.invocation(None, "a")].concat());
    assert_eq!(targets(&mut script), Vec::<String>::new());
    script.advance(seconds(1));
    assert_eq!(sent(&mut script), words.ack(1));
    // Where nothing was received there is nothing to acknowledge.
    let mut silent = connected(never);
    resume(&mut silent);
    silent.clear();
    silent.advance(seconds(5));
    assert_eq!(sent(&mut silent), b"");
}

#[test]
fn repetitions_of_the_server_are_not_delivered_again() {
    for protocol in PROTOCOLS {
        let mut script = connected_with(protocol, never);
        let words = Words::of(&script);
        let say = |target| words.invocation(None, target);
        script.receive(&[say("a"), say("b"), say("c")].concat());
        resume(&mut script);
        script.receive(&[words.sequence(2), say("b"), say("c"), say("d")].concat());
        // A sequence may come again at any time.
        script.receive(&[words.sequence(4), say("d"), say("e")].concat());
        assert_eq!(targets(&mut script), ["a", "b", "c", "d", "e"]);
        sent(&mut script);
        script.advance(seconds(1));
        assert_eq!(sent(&mut script), words.ack(5));
    }
}

#[test]
fn a_message_that_the_loss_cut_in_two_is_taken_whole_from_the_repetition() {
    for protocol in PROTOCOLS {
        let mut script = connected_with(protocol, never);
        let words = Words::of(&script);
        let message = words.invocation(None, "a");
        script.receive(&message[..message.len() - 3]);
        resume(&mut script);
        script.receive(&words.sequence(1));
        script.receive(&message);
        assert_eq!(targets(&mut script), ["a"]);
    }
}

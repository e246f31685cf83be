//! Losses upon losses.

use super::*;

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

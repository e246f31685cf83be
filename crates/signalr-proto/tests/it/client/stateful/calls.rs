//! What lives through a resume.

use super::*;

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

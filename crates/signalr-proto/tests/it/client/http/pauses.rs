//! Reading that is paused.

use super::*;

#[test]
fn while_reading_is_paused_nothing_more_is_polled() {
    let mut script = polling();
    script.input(Input::ReadPaused);
    // The poll under way may still bring something.
    script.answer_poll(b"{\"type\":1,\"target\":\"a\",\"arguments\":[]}\x1e");
    assert!(matches!(
        script.take_events()[..],
        [Event::Invocation { .. }]
    ));
    script.advance(seconds(500));
    assert_eq!((script.wishes(), script.events.len()), (vec![], 0));
    script.send("A");
    script.take_posts();
    script.input(Input::ReadResumed);
    assert_eq!(script.wishes(), [Wish::Poll]);
    script.input(Input::ReadResumed);
    assert_eq!(script.wishes(), [Wish::Poll]);
}

#[test]
fn a_poll_is_neither_repeated_nor_given_up_while_reading_is_paused() {
    for reading in [false, true] {
        let mut script = polling();
        if reading {
            script.head(Wish::Poll, 200);
        }
        script.input(Input::ReadPaused);
        let poll = script.wish(Wish::Poll).op;
        script.advance(seconds(500));
        assert_eq!((script.events.len(), script.wish(Wish::Poll).op), (0, poll));
        script.input(Input::ReadResumed);
        script.advance(seconds(100) - MILLISECOND);
        assert_eq!(script.wish(Wish::Poll).op, poll);
        script.advance(MILLISECOND);
        assert_eq!(script.events.len(), usize::from(reading));
    }
}

#[test]
fn a_connection_is_made_and_ended_although_reading_is_paused() {
    let mut script = Script::connected_over(LongPolling, |config| {
        config.reconnect = ReconnectPolicy::standard();
    });
    script.input(Input::ReadPaused);
    script.break_request(Wish::Poll);
    script.answer(Wish::Delete, 202, "");
    script.advance(MILLISECOND);
    script.clear();
    script.connect_http(LongPolling);
    assert!(matches!(script.events[..], [Event::Reconnected { .. }]));
    script.clear();
    assert_eq!(script.wishes(), []);
    script.stop();
    assert_eq!(script.wishes(), [Wish::Poll, Wish::Post]);
    script.take_posts();
    script.answer(Wish::Delete, 202, "");
    assert_eq!(script.closed(), &CloseReason::Stopped);
}

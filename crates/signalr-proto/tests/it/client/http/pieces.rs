//! Messages that are cut anywhere.

use super::*;

#[test]
fn streams_and_polls_cut_anywhere_give_the_same_messages() {
    let messages = concat!(
        "{\"type\":1,\"target\":\"a\",\"arguments\":[\"é\"]}\u{1e}{\"type\":6}\u{1e}",
        "{\"type\":1,\"target\":\"b\",\"arguments\":[]}\u{1e}"
    );
    let mut whole = polling();
    whole.answer_poll(messages.as_bytes());
    assert_eq!(whole.events.len(), 2);
    let mut events = BytesMut::new();
    events.extend_from_slice(b": hello\r\nevent: message\r\nid: 7\r\n");
    event_stream::encode(&mut events, messages.as_bytes());
    for size in 1..20 {
        let mut polls = polling();
        for body in messages.as_bytes().chunks(size) {
            polls.answer_poll(body);
        }
        let mut one_poll = polling();
        one_poll.head(Wish::Poll, 200);
        for piece in messages.as_bytes().chunks(size) {
            one_poll.chunk(Wish::Poll, piece);
        }
        let mut stream = streaming();
        for piece in events.chunks(size) {
            stream.chunk(Wish::Events, piece);
        }
        for script in [polls, one_poll, stream] {
            assert_eq!(script.events, whole.events);
        }
    }
}

#[test]
fn the_rest_of_a_half_message_may_come_with_the_next_poll_but_must_come() {
    let mut script = polling();
    script.answer_poll(b"{\"type\":1,\"target\":\"a\",");
    script.answer_poll(b"");
    script.answer_poll(b"\"arguments\":[]}\x1e{\"type\"");
    assert!(matches!(
        script.take_events()[..],
        [Event::Invocation { .. }]
    ));
    script.head(Wish::Poll, 204);
    assert!(matches!(
        script.closed(),
        CloseReason::Protocol(error) if error.kind == DecodeErrorKind::Truncated
    ));
}

#[test]
fn a_protocol_error_ends_the_connection_and_everything_under_way() {
    let mut script = polling();
    script.send("A");
    script.head(Wish::Poll, 200);
    script.chunk(Wish::Poll, b"{\"type\":}\x1e");
    assert!(matches!(script.closed(), CloseReason::Protocol(_)));
    assert_eq!(
        (script.wishes(), script.deadline),
        (vec![Wish::Delete], None)
    );
}

#[test]
fn an_event_may_be_as_long_as_the_largest_message_although_less_may_wait() {
    let mut script = Script::connected_over(ServerSentEvents, |config| {
        config.limits.max_message_size = 100_000;
        config.limits.max_incoming_bytes = 1000;
    });
    let text = "x".repeat(90_000);
    let call = format!("{{\"type\":1,\"target\":\"Hear\",\"arguments\":[\"{text}\"]}}\u{1e}");
    script.take_events();
    script.event(call.as_bytes());
    assert_eq!(script.events.len(), 1, "{:?}", script.client.state());
}

#[test]
fn a_round_trip_begins_when_the_call_is_posted_and_not_when_the_post_is_answered() {
    let mut script = polling();
    script.invoke("M");
    script.advance(30 * MILLISECOND);
    let completion = b"{\"type\":3,\"invocationId\":\"1\"}\x1e";
    script.answer_poll(completion);
    script.answer(Wish::Post, 200, "");
    let stats = script.client.stats();
    assert_eq!(stats.round_trip, Some(30 * MILLISECOND));
}

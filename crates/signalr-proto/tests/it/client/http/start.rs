//! Connections over requests, from the first on.

use super::*;

#[test]
fn long_polling_polls_posts_the_handshake_and_is_connected_without_a_ping() {
    let mut script = Script::with(never);
    script.start();
    script.offer(&[LongPolling]);
    assert_eq!(script.wishes(), [Wish::Poll]);
    assert_eq!(
        script.wish(Wish::Poll).uri(),
        "http://host/hub?id=token&_=1"
    );
    script.head(Wish::Poll, 200);
    assert_eq!(script.wishes(), [Wish::Poll, Wish::Post]);
    assert_eq!(script.wish(Wish::Post).uri(), "http://host/hub?id=token");
    script.end_request(Wish::Poll, EndCause::Clean);
    assert_eq!(script.take_post(), HELLO);
    assert_eq!(
        (script.wishes(), script.events.len()),
        (vec![Wish::Poll], 0)
    );
    script.answer_poll(b"{}\x1e");
    assert_eq!(
        script.take_events(),
        [Event::Connected {
            connection_id: Some("id".into()),
            transport: LongPolling
        }]
    );
    assert_eq!(script.client.transport(), Some(LongPolling));
    // No ping: the next poll is all there is.
    assert_eq!(script.wishes(), [Wish::Poll]);
}

#[test]
fn an_event_stream_opens_posts_the_handshake_pings_and_is_connected() {
    let mut script = Script::with(never);
    script.start();
    script.offer(&[ServerSentEvents]);
    let request = script.wish(Wish::Events);
    assert_eq!(request.uri(), "http://host/hub?id=token");
    assert_eq!(request.header("accept"), Some("text/event-stream"));
    assert_eq!(script.wishes(), [Wish::Events]);
    script.head(Wish::Events, 200);
    script.chunk(Wish::Events, b":\r\n");
    assert_eq!(script.take_post(), HELLO);
    assert_eq!(script.events, []);
    script.event(b"{}\x1e");
    assert_eq!(
        script.take_events(),
        [Event::Connected {
            connection_id: Some("id".into()),
            transport: ServerSentEvents
        }]
    );
    assert_eq!(script.client.transport(), Some(ServerSentEvents));
    assert_eq!(script.take_post(), PING);
    assert_eq!(script.wishes(), [Wish::Events]);
}

#[test]
fn posts_name_their_format_and_every_request_carries_the_headers() {
    for (protocol, content_type) in [
        (Protocol::Json, "text/plain;charset=UTF-8"),
        (Protocol::MessagePack, "application/octet-stream"),
    ] {
        let mut script = Script::connected_over(LongPolling, |config| {
            config.protocol = protocol;
            config.headers.insert("x-mine", "yes".parse().unwrap());
        });
        script.send("A");
        assert_eq!(
            script.wish(Wish::Post).header("content-type"),
            Some(content_type)
        );
        script.stop();
        script.answer(Wish::Post, 200, "");
        script.answer(Wish::Post, 200, "");
        for action in &script.actions {
            if let Action::Request { request, .. } = action {
                assert_eq!(request.headers()["x-mine"], "yes");
                assert_eq!(request.headers()["x-requested-with"], "XMLHttpRequest");
                assert!(request.headers().contains_key("user-agent"));
                assert!(!request.headers().contains_key("authorization"));
            }
        }
        assert!(script.wishes().contains(&Wish::Delete));
    }
}

#[test]
fn messagepack_travels_over_long_polling_and_its_messages_may_be_cut_by_polls() {
    let mut script = Script::with(|config| config.protocol = Protocol::MessagePack);
    script.start();
    script.connect_http(LongPolling);
    assert_eq!(
        script.take_sent(),
        "{\"protocol\":\"messagepack\",\"version\":1}\u{1e}"
    );
    let call = script.client.invoke(script.now, "Add", &(1, 2)).unwrap();
    script.poll();
    assert_eq!(
        script.wish(Wish::Post).request.body().as_ref(),
        b"\x0d\x96\x01\x80\xa11\xa3Add\x92\x01\x02\x90"
    );
    script.answer(Wish::Post, 200, "");
    script.clear();
    let answer = b"\x07\x95\x03\x80\xa11\x03\x03";
    for byte in answer {
        script.answer_poll(&[*byte]);
    }
    let [
        Event::Completion {
            invocation_id,
            outcome: Ok(Some(result)),
        },
    ] = &script.events[..]
    else {
        panic!("{:?}", script.events)
    };
    assert_eq!((*invocation_id, result.decode::<i32>()), (call.id(), Ok(3)));
}

//! Calls that wait for a connection, are repeated on the next, or lie in the offline queue; and what the machine counts.

use std::time::Duration;

use signalr_harness::script::Script;
use signalr_proto::client::{
    CallError, CallOptions, ClientConfig, ConnectionState, Event, InvocationId, OfflineQueue,
    ReconnectPolicy, WhileReconnecting,
};
use signalr_proto::{CloseReason, SendError};

fn reconnecting(config: &mut ClientConfig) {
    config.reconnect = ReconnectPolicy::Delays([Duration::from_secs(1); 2].into());
}

fn waiting() -> CallOptions {
    let mut options = CallOptions::default();
    options.wait = true;
    options
}

fn idempotent() -> CallOptions {
    let mut options = waiting();
    options.repeat = true;
    options
}

/// A connection that was lost and is being made again.
fn lost(change: impl FnOnce(&mut ClientConfig)) -> Script {
    let mut script = Script::connected(|config| {
        reconnecting(config);
        change(config);
    });
    cut(&mut script);
    script.clear();
    script
}

fn cut(script: &mut Script) {
    script.receive_close(1006);
    assert_eq!(script.client.state(), ConnectionState::Reconnecting);
}

fn come_back(script: &mut Script) {
    script.advance(Duration::from_secs(1));
    script.connect();
    assert_eq!(script.client.state(), ConnectionState::Connected);
}

fn give_up(script: &mut Script) {
    for _ in 0..2 {
        script.advance(Duration::from_secs(1));
        let op = script.request().unwrap();
        script.respond(op, 503, "");
    }
    assert_eq!(script.client.state(), ConnectionState::Disconnected);
}

fn text(script: &Script) -> String {
    String::from_utf8(script.sent.clone()).unwrap()
}

fn completions(script: &Script) -> Vec<(u64, bool)> {
    let completion = |event: &Event| match event {
        Event::Completion {
            invocation_id,
            outcome,
        } => Some((invocation_id.number(), outcome.is_ok())),
        _ => None,
    };
    script.events.iter().filter_map(completion).collect()
}

#[test]
fn a_waiting_call_goes_out_when_the_connection_is_back_and_is_answered() {
    let mut script = lost(|_| {});
    let now = script.now;
    assert_eq!(
        script.client.invoke(now, "M", &(1,)),
        Err(SendError::NotConnected)
    );
    let call = script
        .client
        .invoke_with(now, "M", &(1,), waiting())
        .unwrap();
    let later = script
        .client
        .invoke_with(now, "N", &(2,), waiting())
        .unwrap();
    assert!(later.id() > call.id());
    script.poll();
    assert_eq!(text(&script), "");
    come_back(&mut script);
    let sent = text(&script);
    assert!(
        sent.find("\"M\"") < sent.find("\"N\"") && sent.contains("\"N\""),
        "{sent}"
    );
    script.receive(
        format!(
            "{{\"type\":3,\"invocationId\":\"{}\",\"result\":5}}\u{1e}",
            call.id()
        )
        .as_bytes(),
    );
    assert_eq!(completions(&script), [(call.id().number(), true)]);
}

#[test]
fn waiting_calls_fail_when_there_will_be_no_connection_before_that_is_told() {
    let mut script = lost(|config| config.while_reconnecting = WhileReconnecting::Wait);
    let now = script.now;
    let call = script.client.stream(now, "M", &()).unwrap();
    give_up(&mut script);
    let last = script.events.split_off(script.events.len() - 2);
    match last.as_slice() {
        [
            Event::Completion {
                invocation_id,
                outcome: Err(CallError::ConnectionLost(CloseReason::RetriesExhausted { .. })),
            },
            Event::Closed { .. },
        ] => assert_eq!(*invocation_id, call.id()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_stop_answers_waiting_calls_at_once() {
    let mut script = lost(|_| {});
    let now = script.now;
    let call = script.client.invoke_with(now, "M", &(), waiting()).unwrap();
    script.client.stop(now);
    script.poll();
    assert_eq!(completions(&script), [(call.id().number(), false)]);
    assert!(matches!(script.events.last(), Some(Event::Closed { .. })));
}

#[test]
fn calls_may_wait_for_the_first_start_too_but_not_before_it() {
    let mut script = Script::with(|_| {});
    let now = script.now;
    let refused = script.client.invoke_with(now, "M", &(), waiting());
    assert_eq!(refused, Err(SendError::NotConnected));
    script.start();
    script.client.invoke_with(now, "M", &(), waiting()).unwrap();
    script.connect();
    assert!(text(&script).contains("\"M\""));
}

#[test]
fn a_repeatable_call_is_made_again_with_the_same_id_and_completed_once() {
    let mut script = Script::connected(reconnecting);
    let now = script.now;
    let plain = script.client.invoke(now, "P", &()).unwrap();
    let call = script
        .client
        .invoke_with(now, "R", &(7,), idempotent())
        .unwrap();
    script.poll();
    let first = text(&script);
    for _ in 0..2 {
        script.clear();
        cut(&mut script);
        come_back(&mut script);
        let again = text(&script);
        let message = first
            .split('\u{1e}')
            .find(|part| part.contains("\"R\""))
            .unwrap();
        assert_eq!(again.matches(message).count(), 1, "{again}");
        assert!(!again.contains("\"P\""), "{again}");
    }
    let answer = format!("{{\"type\":3,\"invocationId\":\"{}\"}}\u{1e}", call.id());
    script.clear();
    script.receive(answer.as_bytes());
    assert_eq!(completions(&script), [(call.id().number(), true)]);
    script.clear();
    cut(&mut script);
    come_back(&mut script);
    assert!(
        !text(&script).contains("\"R\""),
        "an answered call is not repeated"
    );
    assert_ne!(plain.id(), call.id());
}

#[test]
fn a_repeatable_call_fails_without_a_policy_and_when_it_is_cancelled_is_forgotten() {
    let mut script = Script::connected(|_| {});
    let now = script.now;
    let call = script
        .client
        .invoke_with(now, "R", &(), idempotent())
        .unwrap();
    script.poll();
    script.receive_close(1006);
    assert_eq!(completions(&script), [(call.id().number(), false)]);

    let mut script = lost(|_| {});
    let now = script.now;
    let call = script
        .client
        .invoke_with(now, "R", &(), idempotent())
        .unwrap();
    script.client.cancel(now, call.id());
    come_back(&mut script);
    assert!(!text(&script).contains("\"R\""));
}

#[test]
fn streams_and_sends_cannot_be_repeated() {
    let mut script = Script::connected(reconnecting);
    let now = script.now;
    let refused = Err(SendError::NotRepeatable);
    assert_eq!(
        script.client.stream_with(now, "M", &(), idempotent()),
        refused
    );
    assert_eq!(
        script.client.send_with(now, "M", &(), idempotent()),
        refused
    );
}

#[test]
fn the_offline_queue_keeps_sends_up_to_its_size_and_age() {
    let queue = OfflineQueue::new(100, Duration::from_millis(500));
    let mut script = lost(|config| config.offline_queue = Some(queue));
    let now = script.now;
    assert_eq!(
        script.client.invoke(now, "M", &()),
        Err(SendError::NotConnected)
    );
    script.client.send(now, "Old", &()).unwrap();
    script.client.send(now, "Old", &()).unwrap();
    let full = script.client.send(now, "Old", &());
    assert!(
        matches!(full, Err(SendError::Full { limit: 100, .. })),
        "{full:?}"
    );
    script.advance(Duration::from_millis(600));
    let now = script.now;
    let sent = script.client.send(now, "New", &()).unwrap();
    assert!(script.client.sent_position() >= sent.position());
    script.poll();
    assert!(
        script.events.contains(&Event::Expired { messages: 2 }),
        "{:?}",
        script.events
    );
    script.advance(Duration::from_millis(400));
    script.connect();
    assert!(text(&script).contains("\"New\"") && !text(&script).contains("\"Old\""));
}

#[test]
fn the_machine_counts_what_it_does() {
    let mut script = Script::connected(reconnecting);
    let before = script.client.stats();
    assert_eq!((before.pings_sent, before.reconnects), (1, 0));
    assert_eq!(before.round_trip, Some(Duration::ZERO));
    let now = script.now;
    let call = script.client.invoke(now, "M", &()).unwrap();
    script.poll();
    script.advance(Duration::from_millis(30));
    script.receive(format!("{{\"type\":3,\"invocationId\":\"{}\"}}\u{1e}", call.id()).as_bytes());
    script.receive(b"{\"type\":6}\x1e");
    let after = script.client.stats();
    assert_eq!(after.messages_sent, before.messages_sent + 1);
    assert_eq!(after.messages_received, before.messages_received + 2);
    assert_eq!(after.pings_received, 1);
    assert!(after.bytes_sent > before.bytes_sent && after.bytes_received > before.bytes_received);
    assert_eq!(after.round_trip, Some(Duration::from_millis(30)));
    assert_eq!(after.shortest_round_trip, Some(Duration::ZERO));
    cut(&mut script);
    come_back(&mut script);
    assert_eq!(script.client.stats().reconnects, 1);
}

#[test]
fn a_repeatable_call_that_failed_is_not_made_again() {
    let mut script = Script::connected(reconnecting);
    script
        .client
        .invoke_with(script.now, "A", &(), idempotent())
        .unwrap();
    script.poll();
    script.receive_json(r#"{"type":2,"invocationId":"1","item":1}"#);
    assert_eq!(completions(&script), [(1, false)]);
    cut(&mut script);
    script.clear();
    come_back(&mut script);
    assert!(!text(&script).contains("\"A\""));
}

#[test]
fn who_found_no_room_among_what_waits_hears_of_it_when_there_is_some() {
    let room: [fn(&mut Script, InvocationId); 2] = [
        |script, _| come_back(script),
        |script, id| {
            script.client.cancel(script.now, id);
            script.poll();
        },
    ];
    for make in room {
        let mut script = lost(|config| {
            reconnecting(config);
            config.limits.max_outgoing_bytes = 100;
        });
        let now = script.now;
        let large = "x".repeat(80);
        let first = script.client.invoke_with(now, "A", &(&large,), waiting());
        let full = script.client.invoke_with(now, "B", &(&large,), waiting());
        assert!(matches!(full, Err(SendError::Full { .. })), "{full:?}");
        script.clear();
        make(&mut script, first.unwrap().id());
        let told = script.take_events();
        let rooms = told.iter().filter(|event| **event == Event::Writable);
        assert_eq!(rooms.count(), 1, "{told:?}");
    }
}

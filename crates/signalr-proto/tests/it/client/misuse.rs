//! What a driver says by mistake has no effect, and is told.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use signalr_harness::script::{Script, Wish};
use signalr_proto::client::{
    ConnectionState, Event, Ignored, Input, Misuse, Output, ReconnectPolicy,
};
use signalr_proto::{AccessToken, EndCause, OpId, TransportKind};

const HANDSHAKE: Bytes = Bytes::from_static(b"{}\x1e");

fn told(op: OpId, misuse: Misuse) -> Event {
    Event::Ignored(Ignored::Misuse { op, misuse })
}

fn opening() -> (Script, OpId) {
    let mut script = Script::with(|config| config.skip_negotiation = true);
    script.start();
    let op = script.socket.unwrap();
    (script, op)
}

#[test]
fn bytes_of_a_web_socket_that_was_not_reported_as_open_are_missed_aloud() {
    let (mut script, op) = opening();
    let bytes = HANDSHAKE;
    script.input(Input::Received { op, bytes });
    assert_eq!(script.take_events(), [told(op, Misuse::NotOpened)]);
    script.input(Input::Sent { op });
    assert_eq!(script.take_events(), [told(op, Misuse::NotOpened)]);
    assert_eq!(script.client.state(), ConnectionState::Connecting);
    script.connect();
    assert_eq!(script.client.state(), ConnectionState::Connected);
}

#[test]
fn neither_are_those_of_one_that_takes_the_place_of_a_lost_one_in_silence() {
    let mut script = Script::with(|config| config.stateful_reconnect = Some(1000));
    script.start();
    let negotiation = script.request().unwrap();
    let offer = signalr_harness::script::OFFER.replacen('{', r#"{"useStatefulReconnect":true,"#, 1);
    script.respond(negotiation, 200, &offer);
    script.open();
    script.receive(&HANDSHAKE);
    script.cut();
    script.clear();
    let op = script.socket.unwrap();
    let bytes = HANDSHAKE;
    script.input(Input::Received { op, bytes });
    assert_eq!(script.take_events(), [told(op, Misuse::NotOpened)]);
    script.open();
    assert_eq!(script.take_events(), [Event::Resumed]);
}

#[test]
fn a_second_answer_and_one_of_another_kind_are_told() {
    let (mut script, op) = opening();
    script.open();
    script.open();
    let input = "Opened";
    assert_eq!(
        script.take_events(),
        [told(op, Misuse::Unexpected { input })]
    );

    let mut script = Script::with(|_| {});
    script.start();
    let op = script.request().unwrap();
    let token = Ok(AccessToken::new("token"));
    script.input(Input::AccessToken { op, token });
    let input = "AccessToken";
    assert_eq!(
        script.take_events(),
        [told(op, Misuse::Unexpected { input })]
    );
    script.connect();
    assert_eq!(script.client.state(), ConnectionState::Connected);
}

#[test]
fn a_body_before_or_in_its_head_is_told() {
    let mut script = Script::with(|config| config.transports = vec![TransportKind::LongPolling]);
    script.start();
    let negotiation = script.request().unwrap();
    let offer = signalr_harness::script::offer(&[TransportKind::LongPolling]);
    script.respond(negotiation, 200, &offer);
    let op = script.find(Wish::Poll).unwrap().op;
    let bytes = HANDSHAKE;
    script.input(Input::Chunk { op, bytes });
    assert_eq!(script.take_events(), [told(op, Misuse::NoHead)]);
    let response = Response::new(HANDSHAKE);
    script.input(Input::Response { op, response });
    assert_eq!(script.take_events(), [told(op, Misuse::BodyWithHead)]);
}

#[test]
fn an_operation_that_no_action_named_is_told() {
    let (mut script, op) = opening();
    let cause = EndCause::Clean;
    let unknown = OpId::new(1000);
    script.input(Input::Ended { op: unknown, cause });
    assert_eq!(script.take_events(), [told(unknown, Misuse::UnknownOp)]);
    assert_eq!(script.socket, Some(op));
}

#[test]
fn late_answers_are_no_mistakes() {
    let (mut script, op) = opening();
    let late = |script: &mut Script| {
        let (bytes, cause) = (HANDSHAKE, EndCause::Clean);
        script.input(Input::Received { op, bytes });
        script.input(Input::Opened { op });
        script.input(Input::Sent { op });
        script.input(Input::Ended { op, cause });
    };
    script.client.stop(script.now);
    script.poll();
    script.clear();
    late(&mut script);
    // Nothing follows the end.
    let op = OpId::new(1000);
    script.input(Input::Opened { op });
    assert_eq!(script.take_events(), []);

    let mut script = Script::connected(|config| config.reconnect = ReconnectPolicy::standard());
    let old = script.socket.unwrap();
    script.cut();
    script.clear();
    script.input(Input::Sent { op: old });
    assert_eq!(script.take_events(), []);
}

#[test]
fn a_mistake_that_is_repeated_before_anybody_looks_is_told_once() {
    let (mut script, op) = opening();
    for _ in 0..1000 {
        let bytes = HANDSHAKE;
        script
            .client
            .handle_input(script.now, Input::Received { op, bytes });
    }
    let mut events = Vec::new();
    while let Output::Event(event) = script.client.poll_output() {
        events.push(event);
    }
    assert_eq!(events, [told(op, Misuse::NotOpened)]);
    script.advance(Duration::from_secs(1));
    assert_eq!(script.take_events(), []);
}

#[test]
fn what_is_wrong_is_said_in_words() {
    let input = "Sent";
    assert_eq!(
        Misuse::Unexpected { input }.to_string(),
        "`Sent` is no answer to this action, or the second one"
    );
    assert_eq!(
        Misuse::NotOpened.to_string(),
        "the WebSocket was not reported as `Opened`"
    );
}

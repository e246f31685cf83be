//! What a driver cannot have meant.

use signalr_proto::server::{Ignored, Misuse};

use super::*;

fn sent(op: OpId) -> Input {
    Input::Sent { op }
}

fn body(op: OpId) -> Input {
    Input::Body {
        op,
        bytes: Bytes::from_static(b"x"),
        last: false,
    }
}

fn misuse(op: OpId, misuse: Misuse) -> Event {
    Event::Ignored(Ignored::Misuse { op, misuse })
}

#[test]
fn news_of_what_never_arrived_are_a_mistake() {
    let mut test = Test::open();
    let never = OpId::new(77);
    test.input(sent(never));
    test.input(Input::Received {
        op: never,
        bytes: Bytes::from_static(b"x"),
    });
    let unknown = || misuse(never, Misuse::UnknownOp);
    assert_eq!(test.events, [unknown(), unknown()]);
    assert!(!test.machine.is_closed());
}

#[test]
fn news_that_a_request_never_has_are_a_mistake() {
    let mut test = Test::open();
    let socket = test.socket;
    test.input(body(socket));
    let unexpected = misuse(socket, Misuse::Unexpected { input: "Body" });
    assert_eq!(test.events, [unexpected]);
}

#[test]
fn a_mistake_that_is_repeated_between_polls_is_told_once() {
    let mut test = Test::open();
    let now = test.now;
    for _ in 0..1000 {
        test.machine.handle_input(now, body(test.socket));
    }
    test.poll();
    assert_eq!(test.events.len(), 1);
}

#[test]
fn late_news_are_none_and_neither_is_anything_after_the_end() {
    let mut test = Test::open();
    let post = test.arrive(Port::Post);
    test.events.clear();
    test.input(body(post));
    assert_eq!(test.events, [], "it was refused and is over");
    test.machine.close(test.now, false);
    test.poll();
    let socket = test.socket;
    test.input(Input::Ended {
        op: socket,
        cause: EndCause::Clean,
    });
    assert!(test.machine.is_closed());
    test.events.clear();
    test.input(sent(OpId::new(77)));
    test.input(sent(socket));
    assert_eq!(test.events, []);
}

//! What connections cost that do nothing, and calls that do little.

use allocation_counter::measure;
use bytes::Bytes;
use signalr_proto::server::{
    Action, Arrival, CallOutcome, ConnectionOptions, Event, Input, Output, Port, ServerConfig,
    ServerConnection,
};
use signalr_proto::{Instant, OpId};
use std::sync::Arc;

const OP: OpId = OpId::new(1);
const HANDSHAKE: &[u8] = b"{\"protocol\":\"json\",\"version\":1}\x1e{\"type\":6}\x1e";
const CALL: &[u8] =
    b"{\"type\":1,\"invocationId\":\"1\",\"target\":\"Add\",\"arguments\":[1,2]}\x1e";

fn run(machine: &mut ServerConnection) {
    loop {
        match machine.poll_output() {
            Output::Action(Action::Send { op, .. }) => {
                machine.handle_input(Instant::ZERO, Input::Sent { op });
            }
            Output::Event(Event::Handshaken { .. }) => machine.accept(Instant::ZERO),
            Output::Event(Event::Invocation { call, .. }) => {
                let answer = CallOutcome::Value(&3);
                machine.finish(Instant::ZERO, call, answer).unwrap();
            }
            Output::Action(_) | Output::Event(_) => {}
            Output::Wait(_) => return,
        }
    }
}

fn receive(machine: &mut ServerConnection, bytes: Bytes) {
    machine.handle_input(Instant::ZERO, Input::Received { op: OP, bytes });
    run(machine);
}

fn connect(config: Arc<ServerConfig>) -> Box<ServerConnection> {
    let options = ConnectionOptions::default();
    let mut machine = Box::new(ServerConnection::new(config, options, Instant::ZERO));
    let (port, identity) = (Port::WebSocket, None);
    let arrival = Arrival {
        op: OP,
        port,
        identity,
    };
    machine.handle_input(Instant::ZERO, Input::Arrived(arrival));
    receive(&mut machine, Bytes::from_static(HANDSHAKE));
    machine
}

/// What an idle machine may hold, with the place for its one call.
const BOUND: i64 = 1100;

#[test]
fn an_idle_connection_holds_a_kibibyte() {
    let config = Arc::new(ServerConfig::default());
    let calls = |count: usize| {
        let mut machine = None;
        let info = measure(|| {
            let mut connected = connect(Arc::clone(&config));
            for _ in 0..count {
                receive(&mut connected, Bytes::from_static(CALL));
            }
            machine = Some(connected);
        });
        drop(machine);
        info.bytes_current
    };
    // What is allocated once does not count.
    calls(1);
    for count in [0, 1, 100] {
        let held = calls(count);
        assert!(held <= BOUND, "{held} bytes after {count} calls");
    }
}

#[test]
fn a_plain_call_costs_no_allocation_of_its_own() {
    let mut machine = connect(Arc::new(ServerConfig::default()));
    let sixteen = Bytes::from(CALL.repeat(16));
    receive(&mut machine, sixteen.clone());
    let one = measure(|| receive(&mut machine, Bytes::from_static(CALL)));
    let many = measure(|| receive(&mut machine, sixteen.clone()));
    // The batch that they are answered in, which grows.
    assert!(one.count_total <= 2, "{one:?}");
    assert!(many.count_total <= 6, "{many:?}");
}

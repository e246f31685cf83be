//! How often our server allocates for a call, and what it holds for a connection.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::mpsc;

use allocation_counter::AllocationInfo;
use futures_channel::oneshot;
use signalr_harness::hubs::test_hubs;
use signalr_proto::Protocol;
use tungstenite::{Message, WebSocket};

const CALLS: u64 = 1000;
/// Calls before it counts: what is allocated once, or grows to its size, does not.
const EARLIER: u64 = 100;
/// Allocations for each call, and a little for what is not due to one.
const BOUND: f64 = 4.1;

const CONNECTIONS: i64 = 100;
/// Bytes that the server may hold for each, most of them in the task that serves it.
const IDLE_BOUND: i64 = 7 << 10;

/// What a client writes for a call of 100 bytes, and how its answer ends.
fn call(protocol: Protocol) -> (Message, Vec<u8>) {
    let text = "b".repeat(100);
    if protocol == Protocol::Json {
        let call = format!(
            "{{\"type\":1,\"invocationId\":\"1\",\"target\":\"EchoText\",\"arguments\":[\"{text}\"]}}\u{1e}"
        );
        return (
            Message::text(call),
            format!("\"{text}\"}}\u{1e}").into_bytes(),
        );
    }
    let mut call = b"\x76\x96\x01\x80\xa11\xa8EchoText\x91\xd9\x64".to_vec();
    call.extend_from_slice(text.as_bytes());
    call.push(0x90);
    (Message::binary(call), text.into_bytes())
}

fn connect(address: SocketAddr, protocol: Protocol) -> WebSocket<TcpStream> {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut socket, _) = tungstenite::client(format!("ws://{address}/hub"), stream).unwrap();
    let hello = format!(
        "{{\"protocol\":\"{}\",\"version\":1}}\u{1e}",
        protocol.name()
    );
    socket.send(Message::text(hello)).unwrap();
    assert_eq!(socket.read().unwrap().into_data(), &b"{}\x1e"[..]);
    socket
}

fn make_calls(socket: &mut WebSocket<TcpStream>, protocol: Protocol, count: u64) {
    let (call, end) = call(protocol);
    for _ in 0..count {
        socket.send(call.clone()).unwrap();
        let answer = socket.read().unwrap().into_data();
        assert!(answer.ends_with(&end), "{answer:?}");
    }
}

/// What the server does while the client makes its second step. Allocations are counted for one thread: the server has this one for
/// itself, the client is on another.
fn measure_server<S: Send + 'static, T: Send + 'static>(
    first: impl FnOnce(SocketAddr) -> S + Send + 'static,
    second: impl FnOnce(&mut S, SocketAddr) -> T + Send + 'static,
) -> AllocationInfo {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (router, _world) = test_hubs().unwrap();
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .unwrap();
    let address = listener.local_addr().unwrap();
    let server = runtime.spawn(async move { axum::serve(listener, router).await });
    let (warm, is_warm) = oneshot::channel();
    let (go_on, may_go_on) = mpsc::channel();
    let (done, is_done) = oneshot::channel();
    let client = std::thread::spawn(move || {
        let mut state = first(address);
        warm.send(()).unwrap();
        may_go_on.recv().unwrap();
        let kept = second(&mut state, address);
        done.send(()).unwrap();
        // What it has opened stays open until all is counted.
        may_go_on.recv().unwrap();
        drop((state, kept));
    });
    runtime.block_on(is_warm).unwrap();
    let used = allocation_counter::measure(|| {
        go_on.send(()).unwrap();
        runtime.block_on(is_done).unwrap();
    });
    go_on.send(()).unwrap();
    server.abort();
    client.join().unwrap();
    used
}

fn allocations_for_a_call(protocol: Protocol) -> f64 {
    let used = measure_server(
        move |address| {
            let mut socket = connect(address, protocol);
            make_calls(&mut socket, protocol, EARLIER);
            socket
        },
        move |socket, _| make_calls(socket, protocol, CALLS),
    );
    let total = u32::try_from(used.count_total).unwrap();
    let each = f64::from(total) / f64::from(u32::try_from(CALLS).unwrap());
    eprintln!(
        "a call in {} takes {each:.2} allocations of the server, {} bytes",
        protocol.name(),
        used.bytes_total / CALLS
    );
    each
}

#[test]
fn an_idle_connection_holds_no_buffer() {
    let open = |address| {
        let mut socket = connect(address, Protocol::Json);
        make_calls(&mut socket, Protocol::Json, 1);
        socket
    };
    let used = measure_server(open, move |_, address| {
        (0..CONNECTIONS).map(|_| open(address)).collect::<Vec<_>>()
    });
    let each = used.bytes_current / CONNECTIONS;
    eprintln!("an idle connection holds {each} bytes of the server");
    assert!(each <= IDLE_BOUND, "{each} are more than {IDLE_BOUND}");
}

#[test]
fn an_echoed_call_in_json_takes_few_allocations() {
    let each = allocations_for_a_call(Protocol::Json);
    assert!(each <= BOUND, "{each} are more than {BOUND}");
}

#[test]
fn an_echoed_call_in_messagepack_takes_few_allocations() {
    let each = allocations_for_a_call(Protocol::MessagePack);
    assert!(each <= BOUND, "{each} are more than {BOUND}");
}

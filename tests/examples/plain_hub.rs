//! The plainest server a client can be measured against: blocking sockets, one thread for each connection, answers to all
//! calls of one WebSocket message in one message.
//!
//! `plain_hub [PORT]` prints `READY ws://127.0.0.1:PORT` and ends with its standard input. The path `/echo` gives every WebSocket message back as it came; any
//! other path is a hub without negotiation whose methods all return their only argument: a string without brackets.

#![expect(
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    clippy::result_large_err,
    reason = "a tool for measurements"
)]

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use memchr::memmem;
use signalr_proto::codec::frame::FrameDecoder;
use signalr_proto::codec::handshake::{self, HandshakeDecoder};
use signalr_proto::codec::{CompletionOutcome, Role};
use signalr_proto::{HubMessage, Payload, Protocol};
use tungstenite::handshake::server::{Request, Response};
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::{Message, WebSocket};

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let port = std::env::args().nth(1).map_or(Ok(0), |port| port.parse())?;
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    println!("READY ws://{}", listener.local_addr()?);
    std::thread::spawn(|| {
        // It goes when whoever started it does.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    for stream in listener.incoming() {
        let stream = stream?;
        std::thread::spawn(move || {
            // A client that leaves ends its thread, nothing more.
            let _ = serve(stream);
        });
    }
    Ok(())
}

fn serve(stream: TcpStream) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    let is_echo = Arc::new(AtomicBool::new(false));
    let found = Arc::clone(&is_echo);
    let socket = tungstenite::accept_hdr(stream, move |request: &Request, response: Response| {
        found.store(request.uri().path() == "/echo", Ordering::Relaxed);
        Ok(response)
    })?;
    if is_echo.load(Ordering::Relaxed) {
        echo(socket)
    } else {
        hub(socket)
    }
}

fn echo(mut socket: WebSocket<TcpStream>) -> Result<(), Failure> {
    loop {
        let message = socket.read()?;
        if message.is_text() || message.is_binary() {
            socket.send(message)?;
        }
    }
}

fn receive(socket: &mut WebSocket<TcpStream>) -> Result<Bytes, Failure> {
    loop {
        match socket.read()? {
            Message::Text(text) => return Ok(text.into()),
            Message::Binary(bytes) => return Ok(bytes),
            _ => {}
        }
    }
}

fn send(
    socket: &mut WebSocket<TcpStream>,
    protocol: Protocol,
    out: &mut BytesMut,
) -> Result<(), Failure> {
    if out.is_empty() {
        return Ok(());
    }
    let bytes = out.split().freeze();
    let kind = match protocol {
        Protocol::Json => Data::Text,
        _ => Data::Binary,
    };
    let frame = Frame::message(bytes, OpCode::Data(kind), true);
    Ok(socket.send(Message::Frame(frame))?)
}

fn hub(mut socket: WebSocket<TcpStream>) -> Result<(), Failure> {
    let mut shake = HandshakeDecoder::new(4096);
    let (protocol, mut input) = loop {
        let mut input = receive(&mut socket)?;
        if let Some(frame) = shake.decode(&mut input)? {
            let request = handshake::decode_request(&frame)?;
            break (
                Protocol::from_name(&request.protocol).ok_or("unknown protocol")?,
                input,
            );
        }
    };
    let mut out = BytesMut::new();
    handshake::encode_response(&mut out, None);
    let mut frames = FrameDecoder::new(protocol, 64 << 20);
    loop {
        while let Some(frame) = frames.decode(&mut input)? {
            answer(protocol, &frame, &mut out)?;
        }
        send(&mut socket, protocol, &mut out)?;
        input = receive(&mut socket)?;
    }
}

/// Answers a call in JSON by cutting its id and its only argument out of it, in whatever order they come, so that what the
/// server does hardly counts. None for anything that does not look like one.
fn answer_json(frame: &[u8], out: &mut BytesMut) -> Option<()> {
    let after = |mark: &[u8]| frame.get(memmem::find(frame, mark)? + mark.len()..);
    let until = |rest: &[u8], end: u8| memchr::memchr(end, rest);
    let id = after(b"\"invocationId\":\"")?;
    let id = id.get(..until(id, b'"')?)?;
    let argument = after(b"\"arguments\":[")?;
    let argument = argument.get(..until(argument, b']')?)?;
    for part in [
        &b"{\"type\":3,\"invocationId\":\""[..],
        id,
        b"\",\"result\":",
        argument,
        b"}\x1e",
    ] {
        out.extend_from_slice(part);
    }
    Some(())
}

fn answer(protocol: Protocol, frame: &Bytes, out: &mut BytesMut) -> Result<(), Failure> {
    if protocol == Protocol::Json && answer_json(frame, out).is_some() {
        return Ok(());
    }
    match protocol.decode(Role::Server, frame)? {
        Some(HubMessage::Invocation(invocation)) => {
            let Some(id) = invocation.invocation_id else {
                return Ok(());
            };
            // The one argument is the result, byte for byte.
            let arguments = invocation.arguments.as_bytes();
            let result = frame.slice_ref(arguments.get(1..).unwrap_or_default());
            let result = Payload::new(protocol, result);
            protocol.encode_completion(out, &[], &id, CompletionOutcome::Result(&result))?;
        }
        Some(HubMessage::Close { .. }) => protocol.encode_close(out, None, false),
        _ => {}
    }
    Ok(())
}

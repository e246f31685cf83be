//! From nothing to a connection that a hub takes calls on.

use std::net::{SocketAddr, TcpStream};

use crate::Failure;
use crate::dialect::{Dialect, Language};
use crate::frames::{self, Opcode};
use crate::http::Wire;

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
/// What a client of SignalR says first.
const HANDSHAKE_JSON: &[u8] = b"{\"protocol\":\"json\",\"version\":1}\x1e";
const HANDSHAKE_PACKED: &[u8] = b"{\"protocol\":\"messagepack\",\"version\":1}\x1e";
/// What a server answers.
const WELCOME: &[u8] = b"{}\x1e";

/// A socket, and what came on it that nobody has read.
pub type Opened = (TcpStream, Vec<u8>);

/// Opens a WebSocket without negotiation, and shakes hands as its language wants it. Gives what came behind that, too.
///
/// # Errors
/// When the server does not play along.
pub fn web_socket(address: SocketAddr, dialect: &Dialect) -> Result<Opened, Failure> {
    web_socket_at(address, dialect, dialect.path())
}

/// The same at another path than the language's own.
///
/// # Errors
/// When the server does not play along.
pub fn web_socket_at(
    address: SocketAddr,
    dialect: &Dialect,
    path: &str,
) -> Result<Opened, Failure> {
    let mut wire = Wire::connect(address)?;
    wire.send("GET", path, UPGRADE, b"")?;
    let head = wire.head()?;
    if head.status != 101 {
        return Err(format!("the WebSocket was answered with {}", head.status).into());
    }
    match dialect.language {
        Language::Json => greet(&mut wire, Opcode::Text, HANDSHAKE_JSON, WELCOME)?,
        Language::MessagePack => greet(&mut wire, Opcode::Binary, HANDSHAKE_PACKED, WELCOME)?,
        Language::SocketIo => {
            expect(&mut wire, b"0{")?;
            greet(&mut wire, Opcode::Text, b"40", b"40")?;
        }
        Language::Raw => {}
    }
    Ok(wire.into_parts())
}

fn greet(wire: &mut Wire, opcode: Opcode, hello: &[u8], answer: &[u8]) -> Result<(), Failure> {
    let mut frame = Vec::new();
    frames::write_masked(&mut frame, opcode, hello);
    wire.write(&frame)?;
    expect(wire, answer)
}

fn expect(wire: &mut Wire, beginning: &[u8]) -> Result<(), Failure> {
    while !took(wire, beginning)? {
        let mut pong = Vec::new();
        frames::write_masked(&mut pong, Opcode::Text, b"3");
        wire.write(&pong)?;
    }
    Ok(())
}

/// Whether the next message begins like that. A server of Socket.IO may ping before it has said anything else.
fn took(wire: &mut Wire, beginning: &[u8]) -> Result<bool, Failure> {
    wire.take(|bytes| {
        let Some(frame) = frames::cut(bytes)? else {
            return Ok(None);
        };
        let payload = bytes.get(frame.start..frame.end).unwrap_or_default();
        if payload == b"2" {
            return Ok(Some((false, frame.end)));
        }
        if !payload.starts_with(beginning) {
            let said = String::from_utf8_lossy(payload);
            return Err(format!("the server's first word was {said:?}").into());
        }
        Ok(Some((true, frame.end)))
    })
}

/// The path of a connection that was negotiated.
fn negotiate(control: &mut Wire) -> Result<String, Failure> {
    let answer = control.ask("POST", "/hub/negotiate?negotiateVersion=1", b"")?;
    let answer = std::str::from_utf8(&answer)?;
    let token = answer
        .split_once("\"connectionToken\":\"")
        .and_then(|(_, rest)| rest.split('"').next())
        .ok_or("an answer to negotiate without a token")?;
    Ok(format!("/hub?id={token}"))
}

/// Opens an event stream and shakes hands; what is posted goes over `control`.
///
/// # Errors
/// When the server does not play along.
pub fn event_stream(address: SocketAddr, control: &mut Wire) -> Result<Opened, Failure> {
    let path = negotiate(control)?;
    let mut wire = Wire::connect(address)?;
    wire.send("GET", &path, "Accept: text/event-stream\r\n", b"")?;
    let head = wire.head()?;
    if head.status != 200 {
        return Err(format!("the event stream was answered with {}", head.status).into());
    }
    control.ask("POST", &path, HANDSHAKE_JSON)?;
    wire.until(WELCOME)?;
    Ok(wire.into_parts())
}

/// Shakes hands over long polling and leaves a poll waiting; what is posted goes over `control`.
///
/// # Errors
/// When the server does not play along.
pub fn long_poll(address: SocketAddr, control: &mut Wire) -> Result<Opened, Failure> {
    let path = negotiate(control)?;
    let mut wire = Wire::connect(address)?;
    wire.ask("GET", &path, b"")?;
    control.ask("POST", &path, HANDSHAKE_JSON)?;
    let welcome = wire.ask("GET", &path, b"")?;
    if welcome != WELCOME {
        return Err("the first poll that was answered held no handshake".into());
    }
    wire.send("GET", &path, "", b"")?;
    Ok(wire.into_parts())
}

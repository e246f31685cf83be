//! SignalR over a Unix domain socket, on smol: a stream of numbers from a server to a client.
//!
//! Reading with a deadline is the only thing that is async here; the rest is the loop of every driver.

#![cfg(unix)]
#![allow(clippy::print_stdout, reason = "prints what happens")]
#![allow(clippy::wildcard_enum_match_arm, reason = "it handles what it needs")]

use core::future::pending;
use std::io;
use std::net::Shutdown;
use std::time::Duration;

use bytes::Bytes;
use signalr_proto::client::{Action, ClientConfig, ClientConnection, Event, Input, Output};
use signalr_proto::server::{self, CallOutcome, ServerConfig, ServerConnection};
use signalr_proto::{EndCause, Instant, OpId, Protocol};
use smol::future::or;
use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};
use smol::net::unix::UnixStream;

type Failure = Box<dyn std::error::Error + Send + Sync>;

pub(crate) fn main() -> Result<(), Failure> {
    smol::block_on(async {
        let (near, far) = UnixStream::pair()?;
        let server = smol::spawn(serve(far));
        call(near).await?;
        server.await
    })
}

/// Some bytes, none at the end, `None` when the deadline came first.
async fn hear(stream: &mut UnixStream, time: Option<Duration>) -> io::Result<Option<Bytes>> {
    let mut buffer = [0; 4096];
    let read = async {
        let count = stream.read(&mut buffer).await?;
        Ok(Some(buffer.into_iter().take(count).collect()))
    };
    let timeout = async {
        match time {
            Some(time) => drop(smol::Timer::after(time).await),
            None => pending().await,
        }
        Ok(None)
    };
    or(read, timeout).await
}

async fn call(mut stream: UnixStream) -> Result<(), Failure> {
    let epoch = std::time::Instant::now();
    let now = || Instant(epoch.elapsed());
    let mut config = ClientConfig::new("http://counter/")?;
    config.skip_negotiation = true;
    config.protocol = Protocol::MessagePack;
    let mut machine = ClientConnection::new(config, 1);
    machine.start(now())?;
    let mut socket = None;
    loop {
        match machine.poll_output() {
            Output::Action(Action::OpenWebSocket { op, .. }) => {
                socket = Some(op);
                machine.handle_input(now(), Input::Opened { op });
            }
            Output::Action(Action::Send { op, bytes, .. }) => {
                stream.write_all(&bytes).await?;
                machine.handle_input(now(), Input::Sent { op });
            }
            Output::Action(Action::Close { .. }) => stream.shutdown(Shutdown::Write)?,
            Output::Action(_) => stream.shutdown(Shutdown::Both)?,
            Output::Event(Event::Connected { .. }) => {
                machine.stream(now(), "Count", &(3,))?;
            }
            Output::Event(Event::StreamItem { item, .. }) => {
                println!("client: {}", item.decode::<u32>()?);
            }
            Output::Event(Event::Completion { outcome, .. }) => {
                println!("client: the stream is over, {outcome:?}");
                machine.stop(now());
            }
            Output::Event(Event::Closed { reason }) => {
                println!("client: {reason}");
                return Ok(());
            }
            Output::Event(event) => println!("client: {event:?}"),
            Output::Wait(deadline) => {
                let op = socket.ok_or("there is no socket to wait for")?;
                let cause = EndCause::Clean;
                let heard = hear(&mut stream, deadline.map(|at| at.since(now()))).await?;
                let input = match heard {
                    Some(bytes) if bytes.is_empty() => Input::Ended { op, cause },
                    Some(bytes) => Input::Received { op, bytes },
                    None => Input::Timeout,
                };
                machine.handle_input(now(), input);
            }
        }
    }
}

async fn serve(mut stream: UnixStream) -> Result<(), Failure> {
    let epoch = std::time::Instant::now();
    let now = || Instant(epoch.elapsed());
    let op = OpId::new(1);
    let mut machine = ServerConnection::with_web_socket(ServerConfig::default(), op, now());
    loop {
        match machine.poll_output() {
            server::Output::Action(server::Action::Send { op, bytes, .. }) => {
                stream.write_all(&bytes).await?;
                machine.handle_input(now(), server::Input::Sent { op });
            }
            server::Output::Action(_) => stream.shutdown(Shutdown::Both)?,
            server::Output::Event(server::Event::Handshaken { .. }) => machine.accept(now()),
            server::Output::Event(server::Event::Invocation {
                call, invocation, ..
            }) => {
                let (count,): (u32,) = invocation.arguments.decode()?;
                println!("server: counting to {count}");
                for number in 1..=count {
                    machine.item(now(), call, &number)?;
                }
                machine.finish(now(), call, CallOutcome::done())?;
            }
            server::Output::Event(server::Event::Closed { reason }) => {
                println!("server: {reason}");
                return Ok(());
            }
            server::Output::Event(event) => println!("server: {event:?}"),
            server::Output::Wait(deadline) => {
                let cause = EndCause::Clean;
                let input = match hear(&mut stream, deadline.map(|at| at.since(now()))).await? {
                    Some(bytes) if bytes.is_empty() => server::Input::Ended { op, cause },
                    Some(bytes) => server::Input::Received { op, bytes },
                    None => server::Input::Timeout,
                };
                machine.handle_input(now(), input);
            }
        }
    }
}

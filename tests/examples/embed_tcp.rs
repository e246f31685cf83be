//! SignalR over a bare TCP connection: no HTTP, no WebSockets, no async, nothing but the standard library and two threads.
//!
//! Hub messages say themselves where they end, so a transport only has to carry bytes in order.

#![allow(clippy::print_stdout, reason = "prints what happens")]
#![allow(clippy::wildcard_enum_match_arm, reason = "it handles what it needs")]

use std::io::ErrorKind::{TimedOut, WouldBlock};
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use bytes::Bytes;
use signalr_proto::client::{Action, ClientConfig, ClientConnection, Event, Input, Output};
use signalr_proto::server::{self, CallOutcome, ServerConfig, ServerConnection};
use signalr_proto::{EndCause, Instant, OpId};

type Failure = Box<dyn std::error::Error + Send + Sync>;

pub(crate) fn main() -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let server = std::thread::spawn(move || serve(Link::new(listener.accept()?.0)));
    call(address)?;
    server.join().map_err(|_| "the server panicked")?
}

struct Link {
    stream: TcpStream,
    epoch: std::time::Instant,
}

impl Link {
    fn new(stream: TcpStream) -> Self {
        let epoch = std::time::Instant::now();
        Self { stream, epoch }
    }

    fn now(&self) -> Instant {
        Instant(self.epoch.elapsed())
    }

    /// Some bytes, none at the end, `None` when the deadline came first.
    fn read(&mut self, deadline: Option<Instant>) -> io::Result<Option<Bytes>> {
        let now = self.now();
        let wait = deadline.map(|deadline| deadline.since(now).max(Duration::from_millis(1)));
        self.stream.set_read_timeout(wait)?;
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(count) => Ok(Some(buffer.into_iter().take(count).collect())),
            Err(error) if [WouldBlock, TimedOut].contains(&error.kind()) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The client's driver and application.
fn call(address: SocketAddr) -> Result<(), Failure> {
    let mut config = ClientConfig::new("http://calculator/")?;
    config.skip_negotiation = true;
    let mut machine = ClientConnection::new(config, 1);
    machine.start(Instant::ZERO)?;
    let Output::Action(Action::OpenWebSocket { op, .. }) = machine.poll_output() else {
        return Err("the client wants something else".into());
    };
    let mut link = Link::new(TcpStream::connect(address)?);
    machine.handle_input(link.now(), Input::Opened { op });
    loop {
        match machine.poll_output() {
            Output::Action(Action::Send { op, bytes, .. }) => {
                link.stream.write_all(&bytes)?;
                machine.handle_input(link.now(), Input::Sent { op });
            }
            // Close frames have no place here: the end of the connection is the end.
            Output::Action(Action::Close { .. }) => link.stream.shutdown(Shutdown::Write)?,
            Output::Action(Action::Abort { .. }) => link.stream.shutdown(Shutdown::Both)?,
            Output::Action(action) => return Err(format!("cannot do {action:?}").into()),
            Output::Event(Event::Connected { .. }) => {
                println!("client: connected, asking for 20 + 22");
                machine.invoke(link.now(), "Add", &(20, 22))?;
            }
            Output::Event(Event::Completion { outcome, .. }) => {
                let sum: i32 = outcome?.ok_or("no sum")?.decode()?;
                println!("client: it is {sum}, goodbye");
                machine.stop(link.now());
            }
            Output::Event(Event::Closed { reason }) => {
                println!("client: {reason}");
                return Ok(());
            }
            Output::Event(event) => println!("client: {event:?}"),
            Output::Wait(deadline) => {
                let cause = EndCause::Clean;
                let input = match link.read(deadline)? {
                    Some(bytes) if bytes.is_empty() => Input::Ended { op, cause },
                    Some(bytes) => Input::Received { op, bytes },
                    None => Input::Timeout,
                };
                machine.handle_input(link.now(), input);
            }
        }
    }
}

/// The server's driver and application, for one client: to the machine the connection is a WebSocket.
fn serve(mut link: Link) -> Result<(), Failure> {
    let op = OpId::new(1);
    let mut machine = ServerConnection::with_web_socket(ServerConfig::default(), op, link.now());
    loop {
        match machine.poll_output() {
            server::Output::Action(server::Action::Send { op, bytes, .. }) => {
                link.stream.write_all(&bytes)?;
                machine.handle_input(link.now(), server::Input::Sent { op });
            }
            server::Output::Action(_) => link.stream.shutdown(Shutdown::Both)?,
            server::Output::Event(server::Event::Handshaken { .. }) => machine.accept(link.now()),
            server::Output::Event(server::Event::Invocation {
                call, invocation, ..
            }) => {
                println!("server: asked for {}", invocation.target);
                let (a, b): (i32, i32) = invocation.arguments.decode()?;
                machine.finish(link.now(), call, CallOutcome::Value(&(a + b)))?;
            }
            server::Output::Event(server::Event::Closed { reason }) => {
                println!("server: {reason}");
                return Ok(());
            }
            server::Output::Event(event) => println!("server: {event:?}"),
            server::Output::Wait(deadline) => {
                let cause = EndCause::Clean;
                let input = match link.read(deadline)? {
                    Some(bytes) if bytes.is_empty() => server::Input::Ended { op, cause },
                    Some(bytes) => server::Input::Received { op, bytes },
                    None => server::Input::Timeout,
                };
                machine.handle_input(link.now(), input);
            }
        }
    }
}

//! A client and a server in one thread, without a network and without a clock: an hour passes in a moment.
//!
//! Time jumps from deadline to deadline, and a second run is the same.

#![allow(clippy::print_stdout, reason = "prints what happens")]
#![allow(clippy::wildcard_enum_match_arm, reason = "it handles what it needs")]

use std::time::Duration;

use signalr_proto::client::{Action, ClientConfig, ClientConnection, Event, Input, Output};
use signalr_proto::server::{self, CallOutcome, ServerConfig, ServerConnection};
use signalr_proto::{EndCause, Instant, OpId};

type Failure = Box<dyn std::error::Error + Send + Sync>;

pub(crate) fn main() -> Result<(), Failure> {
    let first = World::run()?;
    first.iter().for_each(|line| println!("{line}"));
    assert_eq!(first, World::run()?, "the second run was another");
    println!("the second run was the same");
    Ok(())
}

/// What the server calls its only WebSocket.
const SOCKET: OpId = OpId::new(1);

struct World {
    now: Instant,
    client: ClientConnection,
    server: ServerConnection,
    /// What the client calls its WebSocket.
    socket: Option<OpId>,
    log: Vec<String>,
}

impl World {
    fn run() -> Result<Vec<String>, Failure> {
        let mut config = ClientConfig::new("http://nowhere/hub")?;
        config.skip_negotiation = true;
        let now = Instant::ZERO;
        let mut world = Self {
            now,
            client: ClientConnection::new(config, 1),
            server: ServerConnection::with_web_socket(ServerConfig::default(), SOCKET, now),
            socket: None,
            log: Vec::new(),
        };
        world.client.start(now)?;
        let end = Instant(Duration::from_secs(3600));
        while world.now < end {
            world.now = world.settle()?.map_or(end, |deadline| deadline.min(end));
            world.client.handle_input(world.now, Input::Timeout);
            world.server.handle_input(world.now, server::Input::Timeout);
        }
        world.say("an hour later".into());
        world.client.stop(end);
        world.settle()?;
        Ok(world.log)
    }

    fn say(&mut self, what: String) {
        self.log.push(format!("{:?} {what}", self.now.0));
    }

    fn settle(&mut self) -> Result<Option<Instant>, Failure> {
        loop {
            let client = match self.client.poll_output() {
                Output::Action(action) => {
                    self.act(action)?;
                    continue;
                }
                Output::Event(event) => {
                    self.say(format!("client: {event:?}"));
                    if let Event::Connected { .. } = event {
                        self.client.invoke(self.now, "Greet", &("world",))?;
                    }
                    continue;
                }
                Output::Wait(deadline) => deadline,
            };
            match self.server.poll_output() {
                server::Output::Action(action) => self.serve(action),
                server::Output::Event(event) => self.answer(event)?,
                server::Output::Wait(server) => {
                    return Ok([client, server].into_iter().flatten().min());
                }
            }
        }
    }

    fn act(&mut self, action: Action) -> Result<(), Failure> {
        let input = match action {
            Action::OpenWebSocket { op, .. } => {
                self.socket = Some(op);
                Input::Opened { op }
            }
            Action::Send { op, bytes, .. } => {
                let heard = server::Input::Received { op: SOCKET, bytes };
                self.server.handle_input(self.now, heard);
                Input::Sent { op }
            }
            Action::Close { .. } => {
                let (op, cause) = (SOCKET, EndCause::Clean);
                self.server
                    .handle_input(self.now, server::Input::Ended { op, cause });
                return Ok(());
            }
            other => return Err(format!("cannot do {other:?}").into()),
        };
        self.client.handle_input(self.now, input);
        Ok(())
    }

    fn serve(&mut self, action: server::Action) {
        let Some(op) = self.socket else { return };
        let input = match action {
            server::Action::Send {
                op: socket, bytes, ..
            } => {
                self.server
                    .handle_input(self.now, server::Input::Sent { op: socket });
                Input::Received { op, bytes }
            }
            _ => {
                let cause = EndCause::Clean;
                Input::Ended { op, cause }
            }
        };
        self.client.handle_input(self.now, input);
    }

    fn answer(&mut self, event: server::Event) -> Result<(), Failure> {
        self.say(format!("server: {event:?}"));
        match event {
            server::Event::Handshaken { .. } => self.server.accept(self.now),
            server::Event::Invocation {
                call, invocation, ..
            } => {
                let (name,): (String,) = invocation.arguments.decode()?;
                let hello = CallOutcome::Value(&format!("hello, {name}"));
                self.server.finish(self.now, call, hello)?;
            }
            _ => {}
        }
        Ok(())
    }
}

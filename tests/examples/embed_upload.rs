//! An upload stream through both machines, in one thread and without a network: ten thousand readings, and never more than a few
//! of them in memory. The client waits when there is no room to write, and its message is not taken while the server does not read.

#![allow(clippy::print_stdout, reason = "prints what happens")]
#![allow(clippy::wildcard_enum_match_arm, reason = "it handles what it needs")]

use std::iter::Peekable;
use std::ops::RangeInclusive;

use bytes::Bytes;
use signalr_proto::client::{Action, ClientConfig, ClientConnection, Event, Input, Output};
use signalr_proto::server::{self, CallOutcome, ServerConfig, ServerConnection};
use signalr_proto::{EndCause, Instant, InvocationId, OpId, SendError, WithUploads};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const SOCKET: OpId = OpId::new(1);
const NOW: Instant = Instant::ZERO;

pub(crate) fn main() -> Result<(), Failure> {
    let mut config = ClientConfig::new("http://nowhere/hub")?;
    config.skip_negotiation = true;
    config.limits.max_outgoing_bytes = 1024;
    let mut world = World {
        client: ClientConnection::new(config, 1),
        server: ServerConnection::with_web_socket(ServerConfig::default(), SOCKET, NOW),
        socket: None,
        on_its_way: None,
        upload: None,
        readings: (1..=10_000).peekable(),
        total: (0, 0),
    };
    world.client.start(NOW)?;
    while world.turn()? {}
    Ok(())
}

struct World {
    client: ClientConnection,
    server: ServerConnection,
    socket: Option<OpId>,
    /// The client's message that the server has not read yet.
    on_its_way: Option<Bytes>,
    upload: Option<InvocationId>,
    readings: Peekable<RangeInclusive<u32>>,
    /// The number and the sum of those that the method has seen.
    total: (u32, u32),
}

impl World {
    /// Does what is next. `false` when both have said goodbye.
    fn turn(&mut self) -> Result<bool, Failure> {
        match self.client.poll_output() {
            Output::Action(Action::OpenWebSocket { op, .. }) => {
                self.socket = Some(op);
                self.client.handle_input(NOW, Input::Opened { op });
            }
            Output::Action(Action::Send { bytes, .. }) => self.on_its_way = Some(bytes),
            // The server has said goodbye by then, too.
            Output::Action(Action::Close { .. }) => {}
            Output::Action(other) => return Err(format!("cannot do {other:?}").into()),
            Output::Event(Event::Closed { .. }) => return Ok(false),
            Output::Event(event) => self.hear(event)?,
            Output::Wait(_) => match self.server.poll_output() {
                server::Output::Action(action) => self.serve(action),
                server::Output::Event(event) => self.run(event)?,
                server::Output::Wait(_) => self.carry()?,
            },
        }
        Ok(true)
    }

    fn carry(&mut self) -> Result<(), Failure> {
        let op = self.server.reading().ok_or("the server does not read")?;
        let bytes = self.on_its_way.take().ok_or("nothing moves any more")?;
        let received = server::Input::Received { op, bytes };
        self.server.handle_input(NOW, received);
        let op = self.socket.ok_or("nobody sent this")?;
        self.client.handle_input(NOW, Input::Sent { op });
        Ok(())
    }

    fn serve(&mut self, action: server::Action) {
        let cause = EndCause::Clean;
        let Some(op) = self.socket else { return };
        let mut input = Input::Ended { op, cause };
        if let server::Action::Send { bytes, .. } = action {
            let sent = server::Input::Sent { op: SOCKET };
            self.server.handle_input(NOW, sent);
            input = Input::Received { op, bytes };
        }
        self.client.handle_input(NOW, input);
    }

    /// The client's application.
    fn hear(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Connected { .. } => {
                let one = WithUploads::new((), 1);
                let call = self.client.invoke(NOW, "Average", &one)?;
                self.upload = call.streams().next();
                self.feed()?;
            }
            Event::Writable => self.feed()?,
            Event::Completion { outcome, .. } => {
                let average: f64 = outcome?.ok_or("no average")?.decode()?;
                println!("client: the average is {average}");
                assert!((average - 5000.5).abs() < 1e-9);
                self.client.stop(NOW);
            }
            _ => {}
        }
        Ok(())
    }

    /// Sends readings while there is room, then the end. What there was no room for has its turn at `Event::Writable`.
    fn feed(&mut self) -> Result<(), Failure> {
        while let Some(upload) = self.upload {
            let sent = match self.readings.peek() {
                Some(reading) => self.client.send_item(NOW, upload, reading),
                None => self.client.end_stream(NOW, upload, None),
            };
            if let Err(SendError::Full { .. }) = sent {
                break;
            }
            sent?;
            self.upload = self.readings.next().and(self.upload);
        }
        Ok(())
    }

    /// The server's application: a method that takes each item as it comes.
    fn run(&mut self, event: server::Event) -> Result<(), Failure> {
        match event {
            server::Event::Handshaken { .. } => self.server.accept(NOW),
            server::Event::Invocation { call, .. } => self.server.hungry(NOW, call, 0),
            server::Event::StreamItem { call, upload, item } => {
                self.total = (self.total.0 + 1, self.total.1 + item.decode::<u32>()?);
                self.server.credit(NOW, call, upload, 1);
            }
            server::Event::UploadEnded { call, .. } => {
                let average = f64::from(self.total.1) / f64::from(self.total.0);
                self.server
                    .finish(NOW, call, CallOutcome::Value(&average))?;
            }
            _ => {}
        }
        Ok(())
    }
}

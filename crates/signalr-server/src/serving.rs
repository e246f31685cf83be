//! One WebSocket of a connection: carries out what the machine wants of it, until it ends or another takes its place.

use std::fmt::Display;
use std::task::{Context, Poll, ready};

use futures_util::future::OptionFuture;
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};
use signalr_proto::server::{DisconnectReason, ServerAction, ServerInput, ServerOutput};
use signalr_proto::{EndCause, WsMessage};
use tokio::sync::oneshot;

use crate::driver::Driver;
use crate::server::{Accepted, Seat};

/// Received bytes that may wait while the application is busy: beyond them the socket is not read.
const MANY_BYTES: usize = 64 << 10;

/// Where the driver of a connection goes when another WebSocket takes over.
pub(crate) type Heir = oneshot::Sender<Box<Driver>>;

pub(crate) async fn serve<I, O, E>(accepted: Accepted, incoming: I, outgoing: O)
where
    I: Stream<Item = Result<WsMessage, E>> + Send + Unpin,
    O: Sink<WsMessage, Error = E> + Send + Unpin,
    E: Display + Send,
{
    let driver = match accepted.seat {
        Seat::New(newcomer) => Driver::new(*newcomer),
        Seat::Taken(connection) => {
            let (heir, inheritance) = oneshot::channel();
            connection.succeed(heir);
            match inheritance.await {
                Ok(driver) => *driver,
                // The connection ended meanwhile.
                Err(_) => return,
            }
        }
    };
    let socket = Socket {
        incoming,
        writer: Writer {
            sink: outgoing,
            state: Writing::Idle,
        },
    };
    let serving = Serving {
        driver,
        socket: Some(socket),
        leave: Leave::Drop,
        ended: false,
    };
    serving.run().await;
}

/// How the transport is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leave {
    /// With a close frame of this code.
    Close(u16),
    /// The client has closed it.
    Closed,
    /// At once.
    Drop,
}

struct Socket<I, O> {
    incoming: I,
    writer: Writer<O>,
}

struct Serving<I, O> {
    driver: Driver,
    /// None when it was dropped; the connection may live on.
    socket: Option<Socket<I, O>>,
    leave: Leave,
    /// The transport is over: nothing is read or written any more.
    ended: bool,
}

impl<I, O, E> Serving<I, O>
where
    I: Stream<Item = Result<WsMessage, E>> + Send + Unpin,
    O: Sink<WsMessage, Error = E> + Send + Unpin,
    E: Display + Send,
{
    async fn run(mut self) {
        loop {
            self.carry_out();
            if let Some(reason) = self.driver.closed.take() {
                return self.finish(reason).await;
            }
            if let Some(heir) = self.wait().await {
                match self.hand_over(heir) {
                    Ok(()) => return,
                    Err(this) => self = *this,
                }
            }
        }
    }

    /// Waits for whatever happens next, and tells the machine.
    async fn wait(&mut self) -> Option<Heir> {
        // A client that leaves is noticed even while its calls wait for their turn.
        let connection = &self.driver.connection;
        let reading = !self.ended
            && (!self.driver.is_blocked() || connection.machine().incoming_bytes() < MANY_BYTES);
        let connection = std::sync::Arc::clone(connection);
        let (incoming, writer) = match &mut self.socket {
            Some(socket) => (
                Some(socket.incoming.next()).filter(|_| reading),
                Some(&mut socket.writer).filter(|writer| writer.is_busy()),
            ),
            None => (None, None),
        };
        tokio::select! {
            Some(message) = OptionFuture::from(incoming) => self.received(message),
            Some(written) = OptionFuture::from(writer.map(Writer::progress)) => self.written(written),
            () = self.driver.wait() => {
                if self.ended {
                    self.driver.lost();
                }
            }
            () = connection.cut.notified() => self.lost("the connection was cut"),
            heir = connection.heir() => return heir,
        }
        None
    }

    /// Another WebSocket goes on, if the machine can. This one is dropped: the client has given it up.
    fn hand_over(self, heir: Heir) -> Result<(), Box<Self>> {
        let connection = std::sync::Arc::clone(&self.driver.connection);
        if heir.is_closed() || !connection.command(|machine, now| machine.attach(now)) {
            return Err(Box::new(self));
        }
        let Err(driver) = heir.send(Box::new(self.driver)) else {
            return Ok(());
        };
        // The other one is gone already, and this one is not listened to any more.
        let mut this = Self {
            driver: *driver,
            socket: self.socket,
            leave: self.leave,
            ended: self.ended,
        };
        this.lost("the client left again");
        Err(Box::new(this))
    }

    fn received(&mut self, message: Option<Result<WsMessage, E>>) {
        match message {
            Some(Ok(WsMessage::Text(bytes) | WsMessage::Binary(bytes))) => {
                self.driver.input(ServerInput::Received { bytes })
            }
            Some(Ok(WsMessage::Close(code))) => {
                self.ended(
                    Leave::Closed,
                    EndCause::WebSocketClose {
                        code,
                        reason: Box::default(),
                    },
                );
            }
            Some(Err(error)) => self.lost(&error.to_string()),
            None => self.ended(
                Leave::Drop,
                EndCause::WebSocketClose {
                    code: 1006,
                    reason: Box::default(),
                },
            ),
        }
    }

    fn written(&mut self, written: Result<(), E>) {
        match written {
            Ok(()) => self.driver.input(ServerInput::Sent),
            Err(error) => self.lost(&error.to_string()),
        }
    }

    fn lost(&mut self, detail: &str) {
        let detail = detail.into();
        self.ended(Leave::Drop, EndCause::Failed { detail });
    }

    fn ended(&mut self, leave: Leave, cause: EndCause) {
        self.leave(leave);
        self.ended = true;
        self.driver.input(ServerInput::Ended { cause });
        self.driver.lost();
    }

    fn leave(&mut self, leave: Leave) {
        self.leave = leave;
        if leave == Leave::Drop {
            self.socket = None;
        }
        if let Some(socket) = &mut self.socket {
            socket.writer.state = Writing::Idle;
        }
    }

    /// Polls the machine until it has nothing more to say.
    fn carry_out(&mut self) {
        loop {
            let output = self.driver.connection.machine().poll_output();
            match output {
                ServerOutput::Action(action) => self.act(action),
                ServerOutput::Event(event) => self.driver.tell(event),
                ServerOutput::Wait(deadline) => return self.driver.sleep_until(deadline),
            }
        }
    }

    fn act(&mut self, action: ServerAction) {
        match action {
            ServerAction::Send { message } => {
                if let Some(socket) = &mut self.socket {
                    socket.writer.state = Writing::Waiting(message);
                }
            }
            ServerAction::Close { code } => self.leave = Leave::Close(code),
            // Whatever else a later machine may want of a transport, this one cannot give it.
            ServerAction::Abort | _ => {
                self.leave(Leave::Drop);
                self.ended = true;
            }
        }
    }

    /// The farewell of the application and that of the transport, side by side.
    async fn finish(self, reason: DisconnectReason) {
        let Self {
            driver,
            socket,
            leave,
            ..
        } = self;
        let timeout = driver.shared.options.close_timeout;
        let hang_up = async {
            if let Some(socket) = socket {
                let hang_up = hang_up(leave, socket.incoming, socket.writer.sink);
                let _ = tokio::time::timeout(timeout, hang_up).await;
            }
        };
        driver.finish(reason, hang_up).await;
    }
}

async fn hang_up<I, O, E>(leave: Leave, mut incoming: I, mut outgoing: O)
where
    I: Stream<Item = Result<WsMessage, E>> + Unpin,
    O: Sink<WsMessage, Error = E> + Unpin,
{
    match leave {
        Leave::Drop => {}
        Leave::Closed => {
            let _ = outgoing.close().await;
        }
        Leave::Close(code) => {
            if outgoing.send(WsMessage::Close(code)).await.is_ok() {
                while let Some(Ok(message)) = incoming.next().await {
                    if matches!(message, WsMessage::Close(_)) {
                        break;
                    }
                }
                let _ = outgoing.close().await;
            }
        }
    }
}

/// Sends one message at a time, and can be left and come back to.
struct Writer<O> {
    sink: O,
    state: Writing,
}

enum Writing {
    Idle,
    Waiting(WsMessage),
    Flushing,
}

impl<O: Sink<WsMessage> + Unpin> Writer<O> {
    const fn is_busy(&self) -> bool {
        !matches!(self.state, Writing::Idle)
    }

    async fn progress(&mut self) -> Result<(), O::Error> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), O::Error>> {
        if let Writing::Waiting(_) = self.state {
            ready!(self.sink.poll_ready_unpin(cx))?;
            if let Writing::Waiting(message) = std::mem::replace(&mut self.state, Writing::Flushing)
            {
                self.sink.start_send_unpin(message)?;
            }
        }
        let flushed = ready!(self.sink.poll_flush_unpin(cx));
        self.state = Writing::Idle;
        Poll::Ready(flushed)
    }
}

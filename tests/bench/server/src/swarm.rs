//! Many WebSockets on one thread.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::Failure;
use crate::connect::{self, Opened};
use crate::dialect::{Dialect, Tally};
use crate::frames::{self, Opcode};

/// What one read may bring.
const BUFFER: usize = 256 << 10;
/// How long a server may be silent when it owes something.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// One WebSocket.
#[derive(Debug)]
pub struct Member {
    stream: TcpStream,
    /// A frame of which the end is missing.
    torn: Vec<u8>,
    /// A message of which the end is missing.
    partial: Vec<u8>,
    unsent: Vec<u8>,
    /// We have said goodbye.
    leaving: bool,
    closed: bool,
}

/// Many WebSockets to one server.
#[derive(Debug)]
pub struct Swarm {
    poll: Poll,
    events: Events,
    members: Vec<Member>,
    buffer: Vec<u8>,
    idle: Duration,
}

impl Swarm {
    /// Opens that many, one after another.
    ///
    /// # Errors
    /// When one of them cannot be opened.
    pub fn connect(address: SocketAddr, dialect: &Dialect, count: usize) -> Result<Self, Failure> {
        let streams = (0..count).map(|_| connect::web_socket(address, dialect));
        Self::new(streams.collect::<Result<_, _>>()?)
    }

    /// Of sockets that are open already.
    ///
    /// # Errors
    /// When there are too many.
    pub fn new(opened: Vec<Opened>) -> Result<Self, Failure> {
        let poll = Poll::new()?;
        let mut members = Vec::with_capacity(opened.len());
        for (index, (stream, rest)) in opened.into_iter().enumerate() {
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry()
                .register(&mut stream, Token(index), interest)?;
            members.push(Member {
                stream,
                torn: rest,
                partial: Vec::new(),
                unsent: Vec::new(),
                leaving: false,
                closed: false,
            });
        }
        Ok(Self {
            poll,
            events: Events::with_capacity(1024),
            members,
            buffer: vec![0; BUFFER],
            idle: Duration::ZERO,
        })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// How many of them the server has closed.
    #[must_use]
    pub fn closed(&self) -> usize {
        self.members.iter().filter(|member| member.closed).count()
    }

    /// For how long there was nothing to do.
    #[must_use]
    pub const fn idle(&self) -> Duration {
        self.idle
    }

    /// One of them.
    ///
    /// # Errors
    /// When there are not so many.
    pub fn member(&mut self, index: usize) -> Result<&mut Member, Failure> {
        self.members
            .get_mut(index)
            .ok_or_else(|| "no such WebSocket".into())
    }

    /// Every one of them.
    pub fn members(&mut self) -> impl Iterator<Item = &mut Member> {
        self.members.iter_mut()
    }

    /// Reads from whoever has something, and tells `on` what it was. Gives the time, and whether there was anything.
    ///
    /// With a `nap` of zero this does not sleep: waking a sleeper is work that the server would have to do, and that a peer on
    /// another machine does not cause.
    ///
    /// # Errors
    /// When a server says something unexpected or closes a connection, or when `on` fails.
    pub fn look(
        &mut self,
        nap: Duration,
        dialect: &Dialect,
        mut on: impl FnMut(usize, &mut Member, Tally) -> Result<(), Failure>,
    ) -> Result<(Instant, bool), Failure> {
        let begin = Instant::now();
        if let Err(error) = self.poll.poll(&mut self.events, Some(nap))
            && error.kind() != ErrorKind::Interrupted
        {
            return Err(error.into());
        }
        for event in &self.events {
            let Token(index) = event.token();
            let Some(member) = self.members.get_mut(index) else {
                continue;
            };
            if event.is_writable() && !member.unsent.is_empty() {
                member.flush()?;
            }
            if event.is_readable() {
                let tally = member.receive(&mut self.buffer, dialect)?;
                on(index, member, tally)?;
            }
        }
        let now = Instant::now();
        let busy = !self.events.is_empty();
        if !busy {
            self.idle += now - begin;
        }
        Ok((now, busy))
    }

    /// Closes all of them and waits until the server has done so, too: who is half gone would still be sent to.
    ///
    /// # Errors
    /// When the server keeps one open.
    pub fn close(mut self, dialect: &Dialect) -> Result<(), Failure> {
        let mut frame = Vec::new();
        frames::write_masked(&mut frame, Opcode::Close, &1000_u16.to_be_bytes());
        for member in &mut self.members {
            member.write(&frame)?;
            member.leaving = true;
        }
        let deadline = Instant::now() + PATIENCE;
        while self.closed() < self.len() {
            let (now, _) = self.look(Duration::from_millis(20), dialect, |_, _, _| Ok(()))?;
            if now > deadline {
                let open = self.len() - self.closed();
                return Err(format!("the server did not close {open} of {}", self.len()).into());
            }
        }
        Ok(())
    }
}

impl Member {
    /// Sends bytes as soon as the socket takes them.
    ///
    /// # Errors
    /// When the socket is broken.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if !self.unsent.is_empty() {
            self.unsent.extend_from_slice(bytes);
            return self.flush();
        }
        let sent = self.try_write(bytes)?;
        self.unsent
            .extend_from_slice(bytes.get(sent..).unwrap_or_default());
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let bytes = std::mem::take(&mut self.unsent);
        let sent = self.try_write(&bytes)?;
        self.unsent = bytes.get(sent..).unwrap_or_default().to_vec();
        Ok(())
    }

    fn try_write(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        let mut sent = 0;
        while let Some(rest) = bytes.get(sent..)
            && !rest.is_empty()
        {
            match self.stream.write(rest) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(sent)
    }

    fn receive(&mut self, buffer: &mut [u8], dialect: &Dialect) -> Result<Tally, Failure> {
        let mut tally = Tally::default();
        while !self.closed {
            let kept = self.torn.len();
            let (torn, space) = buffer
                .split_at_mut_checked(kept)
                .ok_or("a frame that is too large")?;
            torn.copy_from_slice(&self.torn);
            let room = space.len();
            let count = match self.stream.read(space) {
                Ok(0) if self.leaving => {
                    self.closed = true;
                    break;
                }
                Ok(0) => return Err("the server hung up".into()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            let bytes = buffer.get(..kept + count).unwrap_or_default();
            let used = self.frames(bytes, dialect, &mut tally)?;
            self.torn.clear();
            self.torn
                .extend_from_slice(bytes.get(used..).unwrap_or_default());
            // A read that does not fill the buffer has emptied the socket.
            if count < room {
                break;
            }
        }
        Ok(tally)
    }

    /// Reads whole frames and says how many bytes they were.
    fn frames(
        &mut self,
        bytes: &[u8],
        dialect: &Dialect,
        tally: &mut Tally,
    ) -> Result<usize, Failure> {
        let mut used = 0;
        while let Some(rest) = bytes.get(used..)
            && let Some(frame) = frames::cut(rest)?
        {
            let payload = rest.get(frame.start..frame.end).unwrap_or_default();
            used += frame.end;
            match frame.opcode {
                // Whatever is said after our goodbye.
                Opcode::Text | Opcode::Binary | Opcode::Continuation if self.leaving => {}
                Opcode::Text | Opcode::Binary | Opcode::Continuation => {
                    self.message(payload, dialect, tally)?;
                }
                Opcode::Ping => {
                    let mut pong = Vec::new();
                    frames::write_masked(&mut pong, Opcode::Pong, payload);
                    self.write(&pong)?;
                }
                Opcode::Pong => {}
                Opcode::Close => self.closed = true,
            }
        }
        Ok(used)
    }

    fn message(
        &mut self,
        payload: &[u8],
        dialect: &Dialect,
        tally: &mut Tally,
    ) -> Result<(), Failure> {
        let before = tally.pings;
        if self.partial.is_empty() {
            let used = dialect.read(payload, tally)?;
            self.partial
                .extend_from_slice(payload.get(used..).unwrap_or_default());
        } else {
            self.partial.extend_from_slice(payload);
            let used = dialect.read(&self.partial, tally)?;
            self.partial.drain(..used);
        }
        for _ in before..tally.pings {
            self.write(&dialect.ping())?;
        }
        Ok(())
    }
}

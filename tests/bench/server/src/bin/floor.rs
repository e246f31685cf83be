//! The least a WebSocket server can do: gives every frame back as it came, on one thread over raw sockets. Frames on the path
//! `/broadcast` go to everybody there.
//!
//! Prints `READY http://127.0.0.1:PORT` and ends with its standard input.

use std::io::{ErrorKind, Read as _, Write as _};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use signalr_bench::Failure;
use signalr_bench::frames::{self, Opcode};

const LISTENER: Token = Token(usize::MAX);
/// The answer to the opening handshake, of which nobody checks the key.
const SWITCH: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Opening,
    Echo,
    Broadcast,
}

struct Peer {
    stream: TcpStream,
    stage: Stage,
    torn: Vec<u8>,
    unsent: Vec<u8>,
    gone: bool,
}

impl Peer {
    fn send(&mut self, bytes: &[u8]) {
        let mut sent = 0;
        if self.unsent.is_empty() {
            match self.stream.write(bytes) {
                Ok(count) => sent = count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => self.gone = true,
            }
        }
        self.unsent
            .extend_from_slice(bytes.get(sent..).unwrap_or_default());
    }

    fn flush(&mut self) {
        if !self.unsent.is_empty() {
            let bytes = std::mem::take(&mut self.unsent);
            self.send(&bytes);
        }
    }

    /// Reads what there is, and gives what is to be sent for it.
    fn receive(&mut self, buffer: &mut [u8], out: &mut Vec<u8>) -> Result<(), Failure> {
        loop {
            let kept = self.torn.len();
            let (torn, space) = buffer
                .split_at_mut_checked(kept)
                .ok_or("a frame that is too large")?;
            torn.copy_from_slice(&self.torn);
            let room = space.len();
            let count = match self.stream.read(space) {
                Ok(0) => return Err("gone".into()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let bytes = buffer.get_mut(..kept + count).unwrap_or_default();
            let used = if self.stage == Stage::Opening {
                self.open(bytes, out)
            } else {
                self.answer(bytes, out)?
            };
            self.torn.clear();
            self.torn
                .extend_from_slice(bytes.get(used..).unwrap_or_default());
            if count < room {
                return Ok(());
            }
        }
    }

    fn open(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        if !bytes.ends_with(b"\r\n\r\n") {
            return 0;
        }
        self.stage = if bytes.starts_with(b"GET /broadcast") {
            Stage::Broadcast
        } else {
            Stage::Echo
        };
        out.extend_from_slice(SWITCH);
        bytes.len()
    }

    fn answer(&mut self, bytes: &mut [u8], out: &mut Vec<u8>) -> Result<usize, Failure> {
        let mut used = 0;
        while let Some(rest) = bytes.get_mut(used..)
            && let Some(frame) = frames::cut(rest)?
        {
            let payload = rest.get_mut(frame.start..frame.end).unwrap_or_default();
            if let Some(mask) = frame.mask {
                frames::unmask(payload, mask);
            }
            if frame.opcode == Opcode::Close {
                self.gone = true;
                frames::write_plain(out, Opcode::Close, payload);
                break;
            }
            frames::write_plain(out, frame.opcode, payload);
            used += frame.end;
        }
        Ok(used)
    }
}

struct Floor {
    poll: Poll,
    listener: TcpListener,
    peers: Vec<Option<Peer>>,
    buffer: Vec<u8>,
    out: Vec<u8>,
}

impl Floor {
    fn new() -> Result<Self, Failure> {
        let mut listener = TcpListener::bind("127.0.0.1:0".parse()?)?;
        let poll = Poll::new()?;
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self {
            poll,
            listener,
            peers: Vec::new(),
            buffer: vec![0; 256 << 10],
            out: Vec::new(),
        })
    }

    fn accept(&mut self) -> Result<(), Failure> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            stream.set_nodelay(true)?;
            let free = self.peers.iter().position(Option::is_none);
            let index = free.unwrap_or(self.peers.len());
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll
                .registry()
                .register(&mut stream, Token(index), interest)?;
            let peer = Some(Peer {
                stream,
                stage: Stage::Opening,
                torn: Vec::new(),
                unsent: Vec::new(),
                gone: false,
            });
            match self.peers.get_mut(index) {
                Some(place) => *place = peer,
                None => self.peers.push(peer),
            }
        }
    }

    fn serve(&mut self, index: usize) {
        let Some(Some(peer)) = self.peers.get_mut(index) else {
            return;
        };
        peer.flush();
        self.out.clear();
        let was = peer.stage;
        let read = peer.receive(&mut self.buffer, &mut self.out);
        peer.gone |= read.is_err();
        let gone = peer.gone;
        if !self.out.is_empty() {
            if was == Stage::Broadcast && !gone {
                let everybody = self.peers.iter_mut().flatten();
                everybody
                    .filter(|peer| peer.stage == Stage::Broadcast)
                    .for_each(|peer| peer.send(&self.out));
            } else {
                peer.send(&self.out);
            }
        }
        if gone && let Some(place) = self.peers.get_mut(index) {
            *place = None;
        }
    }
}

fn main() -> Result<(), Failure> {
    let mut floor = Floor::new()?;
    println!("READY http://{}", floor.listener.local_addr()?);
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    let mut events = Events::with_capacity(1024);
    loop {
        if let Err(error) = floor.poll.poll(&mut events, None)
            && error.kind() != ErrorKind::Interrupted
        {
            return Err(error.into());
        }
        for event in &events {
            match event.token() {
                LISTENER => floor.accept()?,
                Token(index) => floor.serve(index),
            }
        }
    }
}

//! What the servers speak on a WebSocket: requests that are encoded once, and just enough understanding of the answers.

use memchr::memchr;

use crate::Failure;
use crate::frames::{Opcode, write_masked};

/// What ends a record of JSON.
const SEPARATOR: u8 = 0x1e;

/// A message without its envelope, and what follows it.
type Split<'a> = (&'a [u8], &'a [u8]);

/// An encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Language {
    /// SignalR in JSON.
    Json,
    /// SignalR in MessagePack.
    MessagePack,
    /// Socket.IO: an event with an acknowledgement.
    SocketIo,
    /// No protocol: what is sent comes back.
    Raw,
}

impl Language {
    /// The encoding of that name.
    ///
    /// # Errors
    /// When there is none.
    pub fn named(name: &str) -> Result<Self, Failure> {
        Ok(match name {
            "json" => Self::Json,
            "messagepack" => Self::MessagePack,
            "socketio" => Self::SocketIo,
            "raw" => Self::Raw,
            other => return Err(format!("no protocol is called {other}").into()),
        })
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::MessagePack => "messagepack",
            Self::SocketIo => "socketio",
            Self::Raw => "raw",
        }
    }

    /// How its messages are framed.
    #[must_use]
    pub const fn opcode(self) -> Opcode {
        match self {
            Self::MessagePack => Opcode::Binary,
            Self::Json | Self::SocketIo | Self::Raw => Opcode::Text,
        }
    }
}

/// What is done with the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Calls whose result is their argument.
    Echo,
    /// Calls that send their argument to everybody.
    Broadcast,
}

/// What some bytes of a server said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Calls that were answered.
    pub answers: usize,
    /// Messages that were sent to us.
    pub deliveries: usize,
    /// Pings that want an answer.
    pub pings: usize,
}

/// A language and what is said in it.
#[derive(Debug)]
pub struct Dialect {
    /// The encoding.
    pub language: Language,
    purpose: Purpose,
    text: Vec<u8>,
    /// How a message that carries the text ends.
    tail: Vec<u8>,
}

impl Dialect {
    /// To send a text of that many bytes.
    #[must_use]
    pub fn new(language: Language, purpose: Purpose, bytes: usize) -> Self {
        let text: Vec<u8> = (b'a'..=b'z').cycle().take(bytes).collect();
        let end: &[u8] = match (language, purpose) {
            (Language::Json, Purpose::Echo) => b"\"}",
            (Language::Json, Purpose::Broadcast) => b"\"]}",
            (Language::SocketIo, _) => b"\"]",
            (Language::MessagePack | Language::Raw, _) => b"",
        };
        let tail = [&text, end].concat();
        Self {
            language,
            purpose,
            text,
            tail,
        }
    }

    /// The path of the WebSocket.
    #[must_use]
    pub const fn path(&self) -> &'static str {
        match (self.language, self.purpose) {
            (Language::SocketIo, _) => "/socket.io/?EIO=4&transport=websocket",
            (Language::Raw, Purpose::Broadcast) => "/broadcast",
            _ => "/hub",
        }
    }

    /// The frame of one call.
    #[must_use]
    pub fn call(&self, id: usize) -> Vec<u8> {
        let mut frame = Vec::new();
        write_masked(&mut frame, self.language.opcode(), &self.message(id));
        frame
    }

    fn message(&self, id: usize) -> Vec<u8> {
        let text = String::from_utf8_lossy(&self.text);
        let (method, first) = match self.purpose {
            Purpose::Echo => ("EchoText", None),
            Purpose::Broadcast => ("SendToAll", Some("Receive")),
        };
        match self.language {
            Language::MessagePack => self.packed(id, method, first),
            Language::SocketIo => format!("42{id}[\"echo\",\"{text}\"]").into_bytes(),
            Language::Json | Language::Raw => {
                let first = first.map_or_else(String::new, |first| format!("\"{first}\","));
                format!(
                    "{{\"type\":1,\"invocationId\":\"{id}\",\"target\":\"{method}\",\"arguments\":[{first}\"{text}\"]}}\u{1e}"
                )
                .into_bytes()
            }
        }
    }

    /// What a server tells its clients: a call of `Receive` with the text, without a frame around it. In the languages of SignalR.
    #[must_use]
    pub fn told(&self) -> Vec<u8> {
        let text = String::from_utf8_lossy(&self.text);
        if self.language == Language::MessagePack {
            let mut body = vec![0x96, 1, 0x80, 0xc0];
            pack(&mut body, b"Receive");
            body.push(0x91);
            pack(&mut body, &self.text);
            body.push(0x90);
            return measured(&body);
        }
        format!("{{\"type\":1,\"target\":\"Receive\",\"arguments\":[\"{text}\"]}}\u{1e}")
            .into_bytes()
    }

    fn packed(&self, id: usize, method: &str, first: Option<&str>) -> Vec<u8> {
        let mut body = vec![0x96, 1, 0x80];
        pack(&mut body, id.to_string().as_bytes());
        pack(&mut body, method.as_bytes());
        body.push(if first.is_some() { 0x92 } else { 0x91 });
        if let Some(first) = first {
            pack(&mut body, first.as_bytes());
        }
        pack(&mut body, &self.text);
        body.push(0x90);
        measured(&body)
    }

    /// A ping of ours.
    #[must_use]
    pub fn ping(&self) -> Vec<u8> {
        let mut frame = Vec::new();
        let ping: &[u8] = match self.language {
            Language::Json | Language::Raw => b"{\"type\":6}\x1e",
            Language::MessagePack => b"\x02\x91\x06",
            Language::SocketIo => b"3",
        };
        write_masked(&mut frame, self.language.opcode(), ping);
        frame
    }

    /// Counts what these bytes say, and gives how many of them were whole messages.
    ///
    /// # Errors
    /// When it is not what was expected.
    pub fn read(&self, bytes: &[u8], tally: &mut Tally) -> Result<usize, Failure> {
        let mut rest = bytes;
        while let Some((message, behind)) = self.first(rest)? {
            self.count(message, tally)?;
            rest = behind;
        }
        Ok(bytes.len() - rest.len())
    }

    fn first<'a>(&self, bytes: &'a [u8]) -> Result<Option<Split<'a>>, Failure> {
        match self.language {
            Language::Json | Language::Raw => Ok(memchr(SEPARATOR, bytes)
                .and_then(|end| Some((bytes.get(..end)?, bytes.get(end + 1..)?)))),
            Language::SocketIo => Ok((!bytes.is_empty()).then_some((bytes, &[][..]))),
            Language::MessagePack => {
                let mut length = 0;
                for (index, byte) in bytes.iter().take(5).enumerate() {
                    length |= usize::from(byte & 0x7f) << (7 * index);
                    if byte & 0x80 == 0 {
                        let body = bytes.get(index + 1..).unwrap_or_default();
                        return Ok(body.split_at_checked(length));
                    }
                }
                if bytes.len() < 5 {
                    Ok(None)
                } else {
                    Err(unexpected(bytes))
                }
            }
        }
    }

    fn count(&self, message: &[u8], tally: &mut Tally) -> Result<(), Failure> {
        match self.language {
            Language::Raw => match self.purpose {
                Purpose::Echo => tally.answers += 1,
                Purpose::Broadcast => tally.deliveries += 1,
            },
            Language::Json => match message.strip_prefix(b"{\"type\":") {
                Some([b'3', ..]) => self.answer(message, tally)?,
                Some([b'1', b',', ..]) => self.delivery(message, tally)?,
                Some([b'6', ..]) => {}
                _ => return Err(unexpected(message)),
            },
            Language::MessagePack => match message {
                [_, 3, ..] => self.answer(message, tally)?,
                [_, 1, ..] => {
                    // The last element may be left out.
                    self.delivery(message.strip_suffix(b"\x90").unwrap_or(message), tally)?;
                }
                [_, 6, ..] => {}
                _ => return Err(unexpected(message)),
            },
            Language::SocketIo => match message {
                [b'4', b'3', ..] => self.answer(message, tally)?,
                [b'2'] => tally.pings += 1,
                _ => return Err(unexpected(message)),
            },
        }
        Ok(())
    }

    fn answer(&self, message: &[u8], tally: &mut Tally) -> Result<(), Failure> {
        let right = match self.purpose {
            Purpose::Echo => message.ends_with(&self.tail),
            Purpose::Broadcast => memchr::memmem::find(message, b"error").is_none(),
        };
        if !right {
            return Err(unexpected(message));
        }
        tally.answers += 1;
        Ok(())
    }

    fn delivery(&self, message: &[u8], tally: &mut Tally) -> Result<(), Failure> {
        if !message.ends_with(&self.tail) {
            return Err(unexpected(message));
        }
        tally.deliveries += 1;
        Ok(())
    }
}

/// A message of MessagePack with its length in front.
fn measured(body: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    let mut length = body.len();
    while length > 0x7f {
        message.push(0x80 | low_byte(length));
        length >>= 7;
    }
    message.push(low_byte(length));
    message.extend_from_slice(body);
    message
}

fn low_byte(length: usize) -> u8 {
    u8::try_from(length & 0x7f).unwrap_or_default()
}

/// A string of MessagePack.
fn pack(out: &mut Vec<u8>, text: &[u8]) {
    match (u8::try_from(text.len()), u16::try_from(text.len())) {
        (Ok(short @ 0..32), _) => out.push(0xa0 | short),
        (Ok(length), _) => out.extend_from_slice(&[0xd9, length]),
        (_, Ok(length)) => {
            out.push(0xda);
            out.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            out.push(0xdb);
            out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
        }
    }
    out.extend_from_slice(text);
}

fn unexpected(message: &[u8]) -> Failure {
    let shown = message.get(..200).unwrap_or(message);
    format!("the server said {:?}", String::from_utf8_lossy(shown)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo(language: Language) -> Dialect {
        Dialect::new(language, Purpose::Echo, 3)
    }

    fn read(dialect: &Dialect, bytes: &[u8]) -> (usize, Tally) {
        let mut tally = Tally::default();
        let whole = dialect.read(bytes, &mut tally).unwrap();
        (whole, tally)
    }

    #[test]
    fn calls_are_what_official_clients_write() {
        assert_eq!(
            echo(Language::Json).message(7),
            b"{\"type\":1,\"invocationId\":\"7\",\"target\":\"EchoText\",\"arguments\":[\"abc\"]}\x1e"
        );
        assert_eq!(
            Dialect::new(Language::MessagePack, Purpose::Broadcast, 3).message(7),
            b"\x1d\x96\x01\x80\xa17\xa9SendToAll\x92\xa7Receive\xa3abc\x90"
        );
        assert_eq!(
            echo(Language::SocketIo).message(7),
            b"427[\"echo\",\"abc\"]"
        );
    }

    #[test]
    fn answers_are_counted_and_what_is_incomplete_is_left() {
        let record = b"{\"type\":3,\"invocationId\":\"0\",\"result\":\"abc\"}\x1e";
        let bytes = [&record[..], b"{\"type\":6}\x1e", record, b"{\"ty"].concat();
        let (whole, tally) = read(&echo(Language::Json), &bytes);
        assert_eq!((whole, tally.answers), (bytes.len() - 4, 2));
        let packed = b"\x0a\x95\x03\x80\xa10\x03\xa3abc";
        let (whole, tally) = read(&echo(Language::MessagePack), &packed.repeat(2)[..17]);
        assert_eq!((whole, tally.answers), (11, 1));
    }

    #[test]
    fn a_wrong_result_is_an_error() {
        let record = b"{\"type\":3,\"invocationId\":\"0\",\"result\":\"abd\"}\x1e";
        let mut tally = Tally::default();
        assert!(echo(Language::Json).read(record, &mut tally).is_err());
    }

    #[test]
    fn deliveries_are_told_from_answers() {
        let json = Dialect::new(Language::Json, Purpose::Broadcast, 3);
        let bytes = b"{\"type\":1,\"target\":\"Receive\",\"arguments\":[\"abc\"]}\x1e{\"type\":3,\"invocationId\":\"0\",\"result\":null}\x1e";
        let (_, tally) = read(&json, bytes);
        assert_eq!((tally.answers, tally.deliveries), (1, 1));
    }

    #[test]
    fn pings_of_socket_io_want_an_answer() {
        let (_, tally) = read(&echo(Language::SocketIo), b"2");
        assert_eq!(tally.pings, 1);
    }
}

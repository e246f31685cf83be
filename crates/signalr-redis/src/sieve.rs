//! What Redis says to somebody who subscribes: messages are taken out here, and the client reads everything else.
//!
//! The client's parser makes a tree of values of every message, which costs more than all that is done with it afterwards.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::vec;

use bytes::{Buf as _, Bytes, BytesMut};
use bytestring::ByteString;
use futures_util::ready;
use futures_util::stream::Stream;
use signalr_server::{BackplaneFault, Message};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::io::poll_read_buf;

/// How much is read at once.
const READ: usize = 64 << 10;

/// A message is copied out of what was read, so that it does not hold all of that; unless it is as long as this.
const LONG: usize = READ / 4;

/// What a message takes beside its bytes.
const OVERHEAD: usize = 256;

/// The longest line: Redis sends none but numbers, names and errors.
const MAX_LINE: usize = 64 << 10;

/// Redis says why in its log only.
const ENDED: &str = "Redis ended the connection: it was stopped, or too much waited for this server (client-output-buffer-limit pubsub)";

/// How a message begins. Its channel and its payload follow.
const MESSAGE: &[u8] = b"*3\r\n$7\r\nmessage\r\n";

/// A socket without the messages that come on it.
pub(crate) struct Sieve<S> {
    socket: S,
    limit: usize,
    came: BytesMut,
    /// How much of the beginning of what came is for the client.
    passed: usize,
    outlet: Outlet,
}

impl<S> Sieve<S> {
    /// The messages wait in the stream, of which so many bytes may wait, or one of so many; it ends when there are more. What
    /// comes is read whether or not anybody takes them, since answers to subscriptions come the same way.
    pub(crate) fn new(socket: S, limit: u32) -> (Self, Messages) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let room = usize::try_from(limit).unwrap_or(usize::MAX);
        let outlet = Outlet {
            sender,
            room: Arc::new(Semaphore::new(room.min(Semaphore::MAX_PERMITS))),
            limit,
            chunk: Vec::new(),
        };
        let sieve = Self {
            socket,
            limit: room,
            came: BytesMut::new(),
            passed: 0,
            outlet,
        };
        let messages = Messages {
            receiver,
            current: Vec::new().into_iter(),
            room: None,
        };
        (sieve, messages)
    }

    fn take(&mut self, channel: Range<usize>, payload: Range<usize>, length: usize) {
        let (start, end) = (channel.start, payload.end);
        let bytes = if end - start < LONG {
            let bytes = Bytes::copy_from_slice(self.came.get(start..end).unwrap_or_default());
            self.came.advance(length);
            bytes
        } else {
            self.came.split_to(length).freeze().slice(start..end)
        };
        let payload = bytes.slice(payload.start - start..);
        // A channel whose name is no text is none of ours.
        if let Ok(channel) = ByteString::try_from(bytes.slice(..channel.end - start)) {
            self.outlet.chunk.push(Message { channel, payload });
        }
    }
}

impl<S: AsyncRead + Unpin> Sieve<S> {
    /// Takes messages out until there is something for the client. Gives whether there will be more.
    fn poll_sift(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<bool>> {
        loop {
            if self.passed > 0 {
                let count = self.passed.min(out.remaining());
                out.put_slice(&self.came.split_to(count));
                self.passed -= count;
                return Poll::Ready(Ok(true));
            }
            match piece(&self.came, self.limit)? {
                Some(Piece::Message {
                    channel,
                    payload,
                    length,
                }) => self.take(channel, payload, length),
                Some(Piece::Other { length }) => {
                    self.outlet.flush()?;
                    self.passed = length;
                }
                None => {
                    self.outlet.flush()?;
                    self.came.reserve(READ);
                    let read = poll_read_buf(Pin::new(&mut self.socket), cx, &mut self.came);
                    if ready!(read)? == 0 {
                        return Poll::Ready(Ok(false));
                    }
                }
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Sieve<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let sifted = ready!(this.poll_sift(cx, out));
        match &sifted {
            Ok(true) => {}
            Ok(false) => this.outlet.end(ENDED),
            Err(error) => this.outlet.end(&error.to_string()),
        }
        Poll::Ready(sifted.map(drop))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Sieve<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}

/// Something that stands there in full.
#[derive(Debug, PartialEq)]
enum Piece {
    Message {
        channel: Range<usize>,
        payload: Range<usize>,
        /// Of all of it.
        length: usize,
    },
    /// A line, or a string: answers consist of these, and no message begins within one.
    Other { length: usize },
}

/// The first piece, or `None` if it has not come in full.
fn piece(bytes: &[u8], limit: usize) -> io::Result<Option<Piece>> {
    if bytes.starts_with(MESSAGE) {
        let Some((channel, next)) = string(bytes, MESSAGE.len(), limit)? else {
            return Ok(None);
        };
        let Some((payload, length)) = string(bytes, next, limit)? else {
            return Ok(None);
        };
        return Ok(Some(Piece::Message {
            channel,
            payload,
            length,
        }));
    }
    if MESSAGE.starts_with(bytes) {
        return Ok(None);
    }
    let length = match bytes.first() {
        Some(b'$') => string(bytes, 0, limit)?.map(|(_, length)| length),
        _ => line(bytes, 0)?.map(|(_, length)| length),
    };
    Ok(length.map(|length| Piece::Other { length }))
}

/// Where a string stands whose length is at this place, and what follows it.
fn string(bytes: &[u8], at: usize, limit: usize) -> io::Result<Option<(Range<usize>, usize)>> {
    let Some((line, start)) = line(bytes, at)? else {
        return Ok(None);
    };
    if line == b"$-1" {
        // There is none.
        return Ok(Some((start..start, start)));
    }
    let Some(length) = line.strip_prefix(b"$").and_then(number) else {
        return Err(invalid("Redis sends something else than a string".into()));
    };
    if length > limit {
        return Err(invalid(format!(
            "a message of {length} bytes exceeds the limit of {limit} (backlog_limit)"
        )));
    }
    let end = start + length;
    Ok((bytes.len() >= end + 2).then_some((start..end, end + 2)))
}

/// A number in digits, each of which counts when there are millions of messages.
fn number(digits: &[u8]) -> Option<usize> {
    let number = digits.iter().try_fold(0_usize, |number, digit| {
        let digit = char::from(*digit).to_digit(10)?;
        let digit = usize::try_from(digit).ok()?;
        number.checked_mul(10)?.checked_add(digit)
    });
    number.filter(|_| !digits.is_empty())
}

/// A line at this place without its end, and what follows it.
fn line(bytes: &[u8], at: usize) -> io::Result<Option<(&[u8], usize)>> {
    let rest = bytes.get(at..).unwrap_or_default();
    let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
        if rest.len() > MAX_LINE {
            return Err(invalid("Redis sends a line without end".into()));
        }
        return Ok(None);
    };
    let line = rest.get(..end).unwrap_or_default();
    Ok(Some((
        line.strip_suffix(b"\r").unwrap_or(line),
        at + end + 1,
    )))
}

fn invalid(words: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, words)
}

/// What came together, and the room that it takes.
type Chunk = (Vec<Message>, OwnedSemaphorePermit);

/// Where messages go.
struct Outlet {
    sender: mpsc::UnboundedSender<Result<Chunk, BackplaneFault>>,
    room: Arc<Semaphore>,
    limit: u32,
    /// What came together.
    chunk: Vec<Message>,
}

impl Outlet {
    fn flush(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::take(&mut self.chunk);
        let bytes = chunk
            .iter()
            .map(|message| message.payload.len().saturating_add(OVERHEAD))
            .fold(0, usize::saturating_add);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.limit);
        let room = Arc::clone(&self.room).try_acquire_many_owned(bytes);
        let room = room.map_err(|_| {
            let limit = self.limit;
            io::Error::other(format!("more than {limit} bytes wait (backlog_limit)"))
        })?;
        let sent = self.sender.send(Ok((chunk, room)));
        sent.map_err(|_| io::Error::other("nobody wants the messages"))
    }

    /// Nothing more will come. The client would keep to itself why.
    fn end(&self, why: &str) {
        // Whoever waited for messages may be gone.
        let _ = self.sender.send(Err(why.into()));
    }
}

/// The messages that came.
pub(crate) struct Messages {
    receiver: mpsc::UnboundedReceiver<Result<Chunk, BackplaneFault>>,
    current: vec::IntoIter<Message>,
    room: Option<OwnedSemaphorePermit>,
}

impl Stream for Messages {
    type Item = Result<Message, BackplaneFault>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(message) = self.current.next() {
                return Poll::Ready(Some(Ok(message)));
            }
            self.room = None;
            match ready!(self.receiver.poll_recv(cx)) {
                Some(Ok((messages, room))) => {
                    self.current = messages.into_iter();
                    self.room = Some(room);
                }
                Some(Err(fault)) => return Poll::Ready(Some(Err(fault))),
                None => return Poll::Ready(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    const LIMIT: u32 = 1 << 20;

    fn message(channel: &str, payload: &[u8]) -> Vec<u8> {
        let mut bytes = MESSAGE.to_vec();
        for string in [channel.as_bytes(), payload] {
            bytes.extend_from_slice(format!("${}\r\n", string.len()).as_bytes());
            bytes.extend_from_slice(string);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes
    }

    /// What comes of these bytes when so many can be read at a time: what is left for the client, and the messages.
    async fn sift(bytes: Vec<u8>, at_a_time: usize) -> (Vec<u8>, Vec<Message>) {
        let (mut redis, socket) = duplex(at_a_time);
        let writing = tokio::spawn(async move { redis.write_all(&bytes).await.unwrap() });
        let (mut sieve, messages) = Sieve::new(socket, LIMIT);
        let mut left = Vec::new();
        sieve.read_to_end(&mut left).await.unwrap();
        writing.await.unwrap();
        drop(sieve);
        let mut came: Vec<_> = messages.collect().await;
        let end = came.pop().unwrap().unwrap_err();
        assert_eq!(end.to_string(), ENDED);
        let came = came.into_iter().map(Result::unwrap);
        (left, came.collect())
    }

    #[tokio::test]
    async fn messages_are_taken_out_wherever_what_comes_is_cut() {
        let inside = message("a", b"none");
        let answers: [&[u8]; 5] = [
            b"+OK\r\n",
            b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n",
            b"*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n",
            &[
                format!("${}\r\n", inside.len()).as_bytes(),
                &inside,
                b"\r\n",
            ]
            .concat(),
            b"-ERR no\r\n",
        ];
        let payloads: [&[u8]; 5] = [b"", b"\r\n", &inside, &[0xff; LONG + 1], b"last"];
        let mut came = Vec::new();
        for (answer, payload) in answers.iter().zip(payloads) {
            came.extend_from_slice(answer);
            came.extend_from_slice(&message("r\u{f6}om", payload));
        }
        for at_a_time in [1, 2, 3, 7, 100, 1 << 20] {
            let (left, messages) = sift(came.clone(), at_a_time).await;
            assert_eq!(left, answers.concat(), "{at_a_time}");
            assert!(
                messages
                    .iter()
                    .all(|message| message.channel == "r\u{f6}om")
            );
            let found: Vec<_> = messages.iter().map(|message| &*message.payload).collect();
            assert!(found == payloads, "{at_a_time}");
        }
    }

    #[tokio::test]
    async fn a_channel_whose_name_is_no_text_is_passed_over() {
        let mut came = message("a", b"1");
        let name = came.iter_mut().rfind(|byte| **byte == b'a');
        *name.unwrap() = 0xff;
        came.extend(message("b", b"2"));
        let (left, messages) = sift(came, 100).await;
        assert!(left.is_empty());
        assert_eq!(messages.len(), 1);
    }

    async fn refusal(came: &[u8]) -> (String, Sieve<DuplexStream>) {
        let (mut redis, socket) = duplex(1 << 20);
        redis.write_all(came).await.unwrap();
        let (mut sieve, mut messages) = Sieve::new(socket, LIMIT);
        let error = sieve.read_to_end(&mut Vec::new()).await.unwrap_err();
        let told = messages.next().await.unwrap().unwrap_err();
        assert_eq!(told.to_string(), error.to_string());
        (told.to_string(), sieve)
    }

    #[tokio::test]
    async fn lengths_that_lie_end_the_connection_and_take_no_memory() {
        let begun = |rest: &str| [MESSAGE, rest.as_bytes()].concat();
        for (came, words) in [
            (
                begun("$1048577\r\n"),
                "1048577 bytes exceeds the limit of 1048576",
            ),
            (begun("$1\r\na\r\n$99999999999\r\n"), "exceeds the limit"),
            (
                begun("$99999999999999999999999\r\n"),
                "something else than a string",
            ),
            (begun("$\r\n"), "something else than a string"),
            (begun("$-2\r\n"), "something else than a string"),
            (begun(":1\r\n"), "something else than a string"),
            (b"$99999999999\r\n".to_vec(), "exceeds the limit"),
            (vec![b'+'; MAX_LINE + 1], "a line without end"),
        ] {
            let (error, sieve) = refusal(&came).await;
            assert!(error.contains(words), "{error}");
            assert!(sieve.came.capacity() <= 4 * READ);
        }
    }

    #[tokio::test]
    async fn messages_that_nobody_takes_end_the_connection() {
        let (mut redis, socket) = duplex(1 << 20);
        let (mut sieve, mut messages) = Sieve::new(socket, 1_000);
        let mut out = [0; 8];
        let mut told = async |came: Vec<u8>| {
            redis.write_all(&came).await.unwrap();
            redis.write_all(b"+PONG\r\n").await.unwrap();
            sieve.read(&mut out).await
        };
        let half = message("a", &[b'x'; 400]);
        told(half.clone()).await.unwrap();
        // What was taken makes room when the next is asked for.
        assert_eq!(messages.next().await.unwrap().unwrap().payload.len(), 400);
        assert!(futures_util::poll!(messages.next()).is_pending());
        // One of any size may wait.
        told(message("a", &[b'x'; 990])).await.unwrap();
        let error = told(half).await.unwrap_err();
        assert!(
            error.to_string().contains("more than 1000 bytes wait"),
            "{error}"
        );
    }
}

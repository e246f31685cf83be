//! WebSocket frames from clients and to clients (RFC 6455), without a socket.
//!
//! ```text
//!   bytes of one read ──► FrameReader ──► Data, Data, Ping, Data, Close
//! ```
//!
//! Nothing accumulates: a payload is handed out as it comes, whatever the size of its frame or message, because the hub protocols
//! find the ends of their messages themselves. For the same reason the payloads of neighbouring frames are moved together and leave
//! as one piece, so a read that brings many small messages costs its reader one step and no allocation for each.

mod piece;
mod unmask;
mod utf8;
mod write;

#[cfg(any(test, feature = "fuzzing"))]
mod property;
#[cfg(test)]
mod tests;

use core::fmt;
use core::mem;
use core::ops::Range;
use std::io::Cursor;

use bytes::Bytes;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

#[cfg(feature = "fuzzing")]
pub(crate) use property::check;
use unmask::Mask;
use utf8::Utf8Check;
pub(crate) use write::{write_close, write_head, write_pong};

/// Two bytes, a length of eight, a mask.
const MAX_HEAD: usize = 14;
/// Two bytes that hold the length, too, and a mask.
const SHORT_HEAD: usize = 6;
/// What RFC 6455 allows in a control frame.
const MAX_CONTROL: usize = 125;
/// Stands for a close frame without a code.
const NO_CODE: u16 = 1005;

/// Reads what a client sends. It keeps the beginning of a frame's head or of a control frame, and no other bytes.
#[derive(Default)]
pub(crate) struct FrameReader {
    place: Place,
    message: Message,
    text: Utf8Check,
}

/// What a client sent.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Read {
    /// Payload of data messages, unmasked. It begins and ends anywhere and is never empty.
    Data(Bytes),
    /// A ping, to be answered by a pong with the same payload.
    Ping(Bytes),
    Pong,
    /// The last that a client says.
    Close {
        /// 1005 when there was none.
        code: u16,
        reason: Box<str>,
    },
}

/// The client broke a rule of RFC 6455, so the WebSocket has to be closed with this code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameError {
    /// 1002, or 1007 for text that is none.
    pub(crate) code: u16,
    pub(crate) why: &'static str,
}

/// Where in the stream the next byte stands.
enum Place {
    /// In a frame's head, after these bytes of it.
    Head(Partial<MAX_HEAD>),
    /// In the payload of a data frame, which has so many more bytes.
    Data {
        left: u64,
        mask: Mask,
        last: bool,
    },
    /// In the payload of a control frame, after these bytes of it.
    Control {
        kind: Control,
        length: usize,
        mask: Mask,
        payload: Partial<MAX_CONTROL>,
    },
    Closed,
    Failed(FrameError),
}

/// The data message that is not finished.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Message {
    #[default]
    None,
    Text,
    Binary,
}

/// The first bytes of something that has not come whole.
struct Partial<const N: usize> {
    bytes: [u8; N],
    length: u8,
}

/// What the reader has made of one input.
#[derive(Default)]
struct Progress {
    /// The bytes before it are read.
    at: usize,
    /// Payload lies here, moved together.
    data: Range<usize>,
}

impl FrameReader {
    /// Takes bytes off the front of `input` until there is something to hand out. On `None` nothing is left of the input, whose
    /// bytes have been changed.
    ///
    /// After a close frame everything is passed over. An error stays, and what was read before it is handed out first.
    ///
    /// # Errors
    /// When the client broke a rule of RFC 6455.
    pub(crate) fn read(&mut self, input: &mut &mut [u8]) -> Result<Option<Read>, FrameError> {
        let mut progress = Progress::default();
        let said = self
            .advance(input, &mut progress)
            .or_else(|error| self.fail(error, &progress));
        let (read, rest) = mem::take(input).split_at_mut(progress.at);
        *input = rest;
        match read.get(progress.data) {
            Some(data @ [_, ..]) => Ok(Some(Read::Data(piece::copied(data)))),
            Some([]) | None => said,
        }
    }

    /// Reads up to the end of the input or to something other than data. That waits for its turn when there is data before it.
    fn advance(
        &mut self,
        input: &mut [u8],
        progress: &mut Progress,
    ) -> Result<Option<Read>, FrameError> {
        loop {
            let rest = input.get_mut(progress.at..).unwrap_or_default();
            match &mut self.place {
                Place::Head(_) if rest.is_empty() => return Ok(None),
                Place::Head(kept) => {
                    let (taken, head) = read_head(kept, rest)?;
                    progress.at += taken;
                    if let Some((head, length)) = head {
                        self.begin(&head, length)?;
                    }
                }
                Place::Data { left: 1.., .. } if rest.is_empty() => return Ok(None),
                Place::Data { .. } => self.data(input, progress)?,
                Place::Control { .. } if !progress.data.is_empty() => return Ok(None),
                Place::Control {
                    length, payload, ..
                } => {
                    progress.at += payload.fill(rest, *length);
                    if payload.bytes().len() < *length {
                        return Ok(None);
                    }
                    return self.control().map(Some);
                }
                Place::Closed => {
                    progress.at += rest.len();
                    return Ok(None);
                }
                Place::Failed(error) => return Err(*error),
            }
        }
    }

    /// Keeps the error for the next call when there is data before it.
    fn fail(&mut self, error: FrameError, progress: &Progress) -> Result<Option<Read>, FrameError> {
        self.place = Place::Failed(error);
        if progress.data.is_empty() {
            Err(error)
        } else {
            Ok(None)
        }
    }

    /// A frame begins.
    fn begin(&mut self, head: &FrameHeader, length: u64) -> Result<(), FrameError> {
        if head.rsv1 || head.rsv2 || head.rsv3 {
            return Err(broken("a frame with reserved bits"));
        }
        let Some(mask) = head.mask.map(Mask::new) else {
            return Err(broken("a frame without a mask"));
        };
        if length > u64::MAX >> 1 {
            return Err(broken("a frame longer than there can be"));
        }
        self.place = match head.opcode {
            OpCode::Control(kind) => Place::Control {
                kind,
                length: control_length(head, length)?,
                mask,
                payload: Partial::default(),
            },
            OpCode::Data(kind) => {
                self.message = self.message.goes_on_with(kind)?;
                Place::Data {
                    left: length,
                    mask,
                    last: head.is_final,
                }
            }
        };
        Ok(())
    }

    /// What there is of a data frame's payload joins the data before it.
    fn data(&mut self, input: &mut [u8], progress: &mut Progress) -> Result<(), FrameError> {
        let Place::Data { left, mask, last } = &mut self.place else {
            return Ok(());
        };
        let Progress { at, data } = progress;
        let available = input.len() - *at;
        let size = usize::try_from(*left).map_or(available, |left| left.min(available));
        let piece = input.get_mut(*at..*at + size).unwrap_or_default();
        mask.apply(piece);
        if self.message == Message::Text {
            self.text.take(piece).map_err(|()| NO_TEXT)?;
        }
        *left -= size as u64;
        if *left == 0 {
            if mem::take(last) {
                self.text.finish().map_err(|()| NO_TEXT)?;
                self.message = Message::None;
            }
            self.place = Place::default();
        }
        if data.start == data.end {
            *data = *at..*at;
        } else {
            input.copy_within(*at..*at + size, data.end);
        }
        data.end += size;
        *at += size;
        Ok(())
    }

    /// A control frame has come whole.
    fn control(&mut self) -> Result<Read, FrameError> {
        let Place::Control {
            kind,
            mut mask,
            mut payload,
            ..
        } = mem::take(&mut self.place)
        else {
            return Ok(Read::Pong);
        };
        let payload = payload.bytes_mut();
        mask.apply(payload);
        match kind {
            Control::Ping => Ok(Read::Ping(Bytes::copy_from_slice(payload))),
            Control::Pong | Control::Reserved(_) => Ok(Read::Pong),
            Control::Close => {
                let close = read_close(payload)?;
                self.place = Place::Closed;
                Ok(close)
            }
        }
    }
}

const fn broken(why: &'static str) -> FrameError {
    FrameError { code: 1002, why }
}

const NO_TEXT: FrameError = FrameError {
    code: 1007,
    why: "text that is not UTF-8",
};

/// How many bytes were taken, and the head if it is complete.
fn read_head(
    kept: &mut Partial<MAX_HEAD>,
    input: &[u8],
) -> Result<(usize, Option<(FrameHeader, u64)>), FrameError> {
    if kept.bytes().is_empty() {
        let (length, head) = parse_head(input)?;
        if head.is_some() {
            return Ok((length, head));
        }
        return Ok((kept.fill(input, MAX_HEAD), None));
    }
    let mut taken = 0;
    for byte in input {
        taken += kept.fill(core::slice::from_ref(byte), MAX_HEAD);
        let (_, head) = parse_head(kept.bytes())?;
        if head.is_some() {
            return Ok((taken, head));
        }
    }
    Ok((taken, None))
}

/// A head and how long it is.
fn parse_head(input: &[u8]) -> Result<(usize, Option<(FrameHeader, u64)>), FrameError> {
    if let Some(head) = parse_short_head(input) {
        return Ok((SHORT_HEAD, Some(head)));
    }
    let mut cursor = Cursor::new(input);
    match FrameHeader::parse(&mut cursor) {
        Ok(head) => Ok((usize::try_from(cursor.position()).unwrap_or_default(), head)),
        Err(_) => Err(broken("a frame of an unknown kind")),
    }
}

/// The head of a masked frame of less than 126 bytes: what nearly every frame has, and twice as fast as the general way.
fn parse_short_head(input: &[u8]) -> Option<(FrameHeader, u64)> {
    let (&[first, second, a, b, c, d], _) = input.split_first_chunk::<SHORT_HEAD>()?;
    let opcode = OpCode::from(first & 0x0f);
    let unknown = matches!(
        opcode,
        OpCode::Data(Data::Reserved(_)) | OpCode::Control(Control::Reserved(_))
    );
    let length @ ..126 = second ^ 0x80 else {
        return None;
    };
    let head = FrameHeader {
        is_final: first & 0x80 != 0,
        rsv1: first & 0x40 != 0,
        rsv2: first & 0x20 != 0,
        rsv3: first & 0x10 != 0,
        opcode,
        mask: Some([a, b, c, d]),
    };
    (!unknown).then_some((head, length.into()))
}

fn control_length(head: &FrameHeader, length: u64) -> Result<usize, FrameError> {
    if !head.is_final {
        return Err(broken("a control frame in fragments"));
    }
    match usize::try_from(length) {
        Ok(length @ ..=MAX_CONTROL) => Ok(length),
        Ok(_) | Err(_) => Err(broken("a control frame of more than 125 bytes")),
    }
}

fn read_close(payload: &[u8]) -> Result<Read, FrameError> {
    let (code, reason) = match payload {
        [] => (NO_CODE, payload),
        [_] => return Err(broken("a close frame with half a code")),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
    };
    if !payload.is_empty() && !CloseCode::from(code).is_allowed() {
        return Err(broken("a close frame with a code that nobody may send"));
    }
    let reason = core::str::from_utf8(reason).map_err(|_| FrameError {
        why: "a reason to close that is not UTF-8",
        ..NO_TEXT
    })?;
    Ok(Read::Close {
        code,
        reason: reason.into(),
    })
}

impl Message {
    /// The message that a frame of this kind belongs to.
    fn goes_on_with(self, kind: Data) -> Result<Self, FrameError> {
        match (self, kind) {
            (Self::None, Data::Text) => Ok(Self::Text),
            (Self::None, Data::Binary) => Ok(Self::Binary),
            (Self::None, Data::Continue) => Err(broken("a fragment of no message")),
            (open, Data::Continue) => Ok(open),
            (_, Data::Text | Data::Binary | Data::Reserved(_)) => {
                Err(broken("a new message within an unfinished one"))
            }
        }
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::Head(Partial::default())
    }
}

impl<const N: usize> Default for Partial<N> {
    fn default() -> Self {
        Self {
            bytes: [0; N],
            length: 0,
        }
    }
}

impl<const N: usize> Partial<N> {
    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length.into()).unwrap_or_default()
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.length.into()).unwrap_or_default()
    }

    /// Takes bytes until there are so many, and tells how many it took.
    fn fill(&mut self, input: &[u8], wanted: usize) -> usize {
        let room = self
            .bytes
            .get_mut(self.length.into()..wanted)
            .unwrap_or_default();
        let mut taken = 0;
        for (kept, byte) in room.iter_mut().zip(input) {
            *kept = *byte;
            taken += 1;
        }
        self.length += taken;
        taken.into()
    }
}

/// Sizes instead of what clients say.
impl fmt::Debug for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data(bytes) => write!(f, "Data({} bytes)", bytes.len()),
            Self::Ping(bytes) => write!(f, "Ping({} bytes)", bytes.len()),
            Self::Pong => f.write_str("Pong"),
            Self::Close { code, reason } => write!(f, "Close({code}, {} bytes)", reason.len()),
        }
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the client sent {} ({})", self.why, self.code)
    }
}

//! Server-sent events: the body of an endless answer, cut into the payloads it carries
//! ([requirements](crate::spec::transports#server-sent-events)).
//!
//! Only the field `data` means anything to SignalR, and `event` in so far as an event with a type of its own is no message.
//! Comments and all other fields are passed over as they come and never kept.

use bytes::{Buf as _, Bytes, BytesMut};

use crate::codec::{DecodeError, DecodeErrorKind};

/// The comment a server writes first, so that the other side sees at once that the stream is open
/// ([TR-50](crate::spec::transports#tr-50)).
pub const OPENING: &[u8] = b":\r\n";

/// The type of an event that has none, or none of its own.
const MESSAGE: &[u8] = b"message";

/// UTF-8 for U+FEFF, allowed as the first thing in a stream.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Writes a payload as one event, a line `data: …` for each of its lines ([TR-51](crate::spec::transports#tr-51)).
///
/// ```
/// let mut out = bytes::BytesMut::new();
/// signalr_proto::transport::event_stream::encode(&mut out, b"{\"type\":6}\x1e");
/// assert_eq!(out, "data: {\"type\":6}\x1e\r\n\r\n");
/// ```
///
/// The lines of a payload may end with LF, CR LF or CR; the reader gets LF for each. Hub messages in JSON are not affected,
/// because JSON escapes line ends within strings. An empty payload is an event without data, which readers pass over.
pub fn encode(out: &mut BytesMut, payload: &[u8]) {
    let mut rest = (!payload.is_empty()).then_some(payload);
    while let Some(text) = rest {
        let (line, more) = split_line(text);
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line);
        out.extend_from_slice(b"\r\n");
        rest = more;
    }
    out.extend_from_slice(b"\r\n");
}

/// The first line, and what follows its end if it has one.
fn split_line(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    let Some((line, rest)) = line_end(text).and_then(|length| text.split_at_checked(length)) else {
        return (text, None);
    };
    let rest = rest
        .strip_prefix(b"\r\n")
        .or_else(|| rest.get(1..))
        .unwrap_or_default();
    (line, Some(rest))
}

/// Where the next CR or LF is.
fn line_end(text: &[u8]) -> Option<usize> {
    memchr::memchr2(b'\r', b'\n', text)
}

/// A decoder for the body of one event stream ([TR-52](crate::spec::transports#tr-52)).
///
/// ```
/// use bytes::Bytes;
/// use signalr_proto::transport::EventStream;
///
/// let mut events = EventStream::new(1024);
/// let mut input = Bytes::from_static(b":\r\ndata: {\"type\":6}\x1e\r\n\r\ndata: {\"ty");
/// assert_eq!(events.decode(&mut input).unwrap().unwrap(), "{\"type\":6}\x1e");
/// assert_eq!(events.decode(&mut input), Ok(None));
/// assert!(events.is_mid_event());
/// ```
///
/// It reads what the HTML standard calls an event stream: lines end with CR LF, LF or CR, a byte order mark may come first,
/// one space after the colon is dropped, several `data` lines make one payload with LF between them, and a blank line ends
/// the event. An event whose data is empty is not given, because it adds nothing to a stream of hub messages, nor is one with
/// a type other than `message`, which browsers do not give to the readers of messages either. Bytes that are not UTF-8 are
/// passed on as they are.
///
/// An event with one `data` line that lies whole in one input leaves as a slice of it. Otherwise only its data is copied.
/// Each byte is looked at once, however the stream is cut.
#[derive(Debug)]
pub struct EventStream {
    limit: usize,
    line: Line,
    data: Data,
    /// Whether the unfinished event has a type that makes it no message.
    is_typed: bool,
    /// Bytes of data read so far, without those of events known to be no messages.
    data_bytes: u64,
    /// Stream offset of the next input byte.
    offset: u64,
    /// Where the unfinished event began, if it did.
    begun: Option<u64>,
    event_start: u64,
    failed: Option<DecodeError>,
}

/// How far the current line has been read.
#[derive(Clone, Copy, Debug)]
enum Line {
    /// Before the first line: so many bytes of a byte order mark.
    Mark(usize),
    /// No byte of it yet; an LF still belongs to the line before if that ended with CR.
    Start { after_cr: bool },
    /// So many bytes of the field's name, and nothing else.
    Name(Field, usize),
    /// After the colon, where one space may follow.
    Space(Field),
    /// Within the value of `data`.
    Value,
    /// Within the value of `event`: so many bytes of [`MESSAGE`] and nothing else, or something else.
    Type(Option<usize>),
    /// A comment or another field.
    Other,
}

/// The fields that are read.
#[derive(Clone, Copy, Debug)]
enum Field {
    Data,
    Event,
}

impl Field {
    const fn name(self) -> &'static [u8] {
        match self {
            Self::Data => b"data",
            Self::Event => b"event",
        }
    }
}

/// The data of the unfinished event.
#[derive(Debug, Default)]
enum Data {
    /// There was no `data` line.
    #[default]
    Absent,
    /// There was one, and this is its value.
    Slice(Bytes),
    /// There were several, or the first was cut.
    Copied(BytesMut),
}

impl EventStream {
    /// A decoder at the start of a stream, which refuses events of more than `limit` bytes of data.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self {
            limit,
            line: Line::Mark(0),
            data: Data::Absent,
            is_typed: false,
            data_bytes: 0,
            offset: 0,
            begun: None,
            event_start: 0,
            failed: None,
        }
    }

    /// Takes bytes off the front of `input` up to the end of the next event, and gives that event's data.
    ///
    /// `None` means that `input` is used up: call again with what was received next. What is unfinished when the stream ends
    /// is no event and to be dropped.
    ///
    /// # Errors
    /// [`DecodeErrorKind::TooLarge`], with the position in the stream of the first byte that is too much. Each further call
    /// gives the same error.
    pub fn decode(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, DecodeError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.next_event(input);
        self.failed = result.as_ref().err().copied();
        result
    }

    /// Whether data would be lost if the stream ended now.
    #[must_use]
    pub const fn is_mid_event(&self) -> bool {
        match self.line {
            Line::Mark(_)
            | Line::Start { .. }
            | Line::Other
            | Line::Name(Field::Event, _)
            | Line::Space(Field::Event)
            | Line::Type(_) => !matches!(self.data, Data::Absent),
            Line::Name(Field::Data, _) | Line::Space(Field::Data) | Line::Value => true,
        }
    }

    /// How many bytes of the unfinished event's data wait here for the rest of it.
    #[must_use]
    pub fn buffered(&self) -> usize {
        match &self.data {
            Data::Absent => 0,
            Data::Slice(data) => data.len(),
            Data::Copied(data) => data.len(),
        }
    }

    /// How many bytes of data have come so far, which tells a message that is on its way from comments and the like.
    pub(crate) const fn data_bytes(&self) -> u64 {
        self.data_bytes
    }

    /// How many bytes of the stream belong to the unfinished event; none unless [`is_mid_event`](Self::is_mid_event).
    #[must_use]
    pub fn unfinished(&self) -> u64 {
        let begun = self.begun.filter(|_| self.is_mid_event());
        begun.map_or(0, |begun| self.offset.saturating_sub(begun))
    }

    /// The stream offset of the first byte of the event that was returned last, its comments and other fields included.
    #[must_use]
    pub const fn event_start(&self) -> u64 {
        self.event_start
    }

    fn next_event(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, DecodeError> {
        while let Some(byte) = input.first().copied() {
            match self.line {
                Line::Mark(matched) => self.read_mark(input, matched, byte),
                Line::Start { after_cr } => {
                    if let Some(event) = self.read_start(input, after_cr, byte) {
                        return Ok(Some(event));
                    }
                }
                Line::Name(field, matched) => self.read_name(input, field, matched, byte)?,
                Line::Space(field) => {
                    self.line = match field {
                        Field::Data => Line::Value,
                        Field::Event => Line::Type(Some(0)),
                    };
                    self.advance(input, usize::from(byte == b' '));
                }
                Line::Value => self.read_value(input)?,
                Line::Type(matched) => self.read_type(input, matched),
                Line::Other => self.skip(input),
            }
        }
        Ok(None)
    }

    fn read_mark(&mut self, input: &mut Bytes, matched: usize, byte: u8) {
        if BYTE_ORDER_MARK.get(matched) == Some(&byte) {
            self.line = Line::Mark(matched + 1);
            self.advance(input, 1);
        } else if matched == 0 || matched == BYTE_ORDER_MARK.len() {
            self.line = Line::Start { after_cr: false };
        } else {
            // A part of a mark is the name of some field.
            self.line = Line::Other;
        }
    }

    /// The first byte of a line, which ends the event if the line is blank.
    fn read_start(&mut self, input: &mut Bytes, after_cr: bool, byte: u8) -> Option<Bytes> {
        match byte {
            b'\n' if after_cr => {
                self.line = Line::Start { after_cr: false };
                self.advance(input, 1);
                None
            }
            b'\r' | b'\n' => {
                self.end_line(input, byte);
                self.finish()
            }
            _ => {
                self.begun.get_or_insert(self.offset);
                let is_event = Field::Event.name().first() == Some(&byte);
                let field = if is_event { Field::Event } else { Field::Data };
                self.line = Line::Name(field, 0);
                None
            }
        }
    }

    fn read_name(
        &mut self,
        input: &mut Bytes,
        field: Field,
        matched: usize,
        byte: u8,
    ) -> Result<(), DecodeError> {
        let Some(expected) = field.name().get(matched) else {
            return self.read_name_end(input, field, byte);
        };
        if *expected == byte {
            self.line = Line::Name(field, matched + 1);
            self.advance(input, 1);
        } else {
            self.line = Line::Other;
        }
        Ok(())
    }

    /// The byte after a field's name: a line without a colon has an empty value.
    fn read_name_end(
        &mut self,
        input: &mut Bytes,
        field: Field,
        byte: u8,
    ) -> Result<(), DecodeError> {
        if !matches!(byte, b':' | b'\r' | b'\n') {
            self.line = Line::Other;
            return Ok(());
        }
        match field {
            Field::Data => self.begin_value()?,
            Field::Event => self.is_typed = false,
        }
        if byte == b':' {
            self.line = Line::Space(field);
            self.advance(input, 1);
        } else {
            self.end_line(input, byte);
        }
        Ok(())
    }

    /// The event's type, of which the last one counts, and an empty one is none.
    fn read_type(&mut self, input: &mut Bytes, matched: Option<usize>) {
        let length = line_end(input).unwrap_or(input.len());
        let piece = input.get(..length).unwrap_or_default();
        let rest = matched.and_then(|matched| MESSAGE.get(matched..));
        let matched = rest
            .filter(|rest| rest.starts_with(piece))
            .map(|rest| MESSAGE.len() - rest.len() + length);
        self.line = Line::Type(matched);
        self.advance(input, length);
        if let Some(end) = input.first().copied() {
            let is_message = matched.is_some_and(|length| [0, MESSAGE.len()].contains(&length));
            self.is_typed = !is_message;
            self.end_line(input, end);
        }
    }

    fn read_value(&mut self, input: &mut Bytes) -> Result<(), DecodeError> {
        let room = self.limit.saturating_sub(self.buffered());
        // One byte more than may still belong to the value, so that its end is found too.
        let window = room.saturating_add(1);
        match line_end(input.get(..window).unwrap_or(input)) {
            Some(length) => {
                let value = self.take(input, length);
                self.add(value, true);
                let end = input.first().copied().unwrap_or_default();
                self.end_line(input, end);
            }
            None if input.len() > room => return Err(self.too_large(room)),
            None => {
                let value = self.take(input, input.len());
                self.add(value, false);
            }
        }
        Ok(())
    }

    fn skip(&mut self, input: &mut Bytes) {
        let length = line_end(input).unwrap_or(input.len());
        self.advance(input, length);
        if let Some(end) = input.first().copied() {
            self.end_line(input, end);
        }
    }

    fn end_line(&mut self, input: &mut Bytes, end: u8) {
        self.line = Line::Start {
            after_cr: end == b'\r',
        };
        self.advance(input, 1);
    }

    /// Makes room for the value of a `data` line behind those that came before.
    fn begin_value(&mut self) -> Result<(), DecodeError> {
        if matches!(self.data, Data::Absent) {
            self.data = Data::Slice(Bytes::new());
            return Ok(());
        }
        if self.buffered() >= self.limit {
            return Err(self.too_large(0));
        }
        self.copy(b"\n");
        Ok(())
    }

    /// Adds to the last value.
    fn add(&mut self, piece: Bytes, whole: bool) {
        if !self.is_typed {
            self.data_bytes = self.data_bytes.saturating_add(piece.len() as u64);
        }
        match &mut self.data {
            // Nothing was read of the first value yet.
            Data::Slice(value) if whole && value.is_empty() => *value = piece,
            Data::Absent | Data::Slice(_) | Data::Copied(_) => self.copy(&piece),
        }
    }

    fn copy(&mut self, piece: &[u8]) {
        let mut data = match core::mem::take(&mut self.data) {
            Data::Absent => BytesMut::new(),
            Data::Slice(value) => BytesMut::from(&*value),
            Data::Copied(data) => data,
        };
        data.extend_from_slice(piece);
        self.data = Data::Copied(data);
    }

    fn finish(&mut self) -> Option<Bytes> {
        self.event_start = self.begun.take().unwrap_or(self.offset);
        let is_typed = core::mem::take(&mut self.is_typed);
        let data = match core::mem::take(&mut self.data) {
            Data::Absent => return None,
            Data::Slice(value) => value,
            Data::Copied(data) => data.freeze(),
        };
        (!data.is_empty() && !is_typed).then_some(data)
    }

    fn take(&mut self, input: &mut Bytes, length: usize) -> Bytes {
        self.offset = self.offset.saturating_add(length as u64);
        input.split_to(length)
    }

    fn advance(&mut self, input: &mut Bytes, count: usize) {
        self.offset = self.offset.saturating_add(count as u64);
        input.advance(count);
    }

    /// The byte so far ahead is one too many.
    const fn too_large(&self, ahead: usize) -> DecodeError {
        let limit = self.limit as u64;
        DecodeError {
            kind: DecodeErrorKind::TooLarge {
                size: limit.saturating_add(1),
                limit,
            },
            position: self.offset.saturating_add(ahead as u64),
        }
    }
}

//! Cuts a stream of bytes into frames.
//!
//! Transport messages, chunks and packets have no meaning to the hub protocol
//! ([requirements](crate::spec::hub_protocol#framing)): a frame may be split anywhere and several may come together. A frame that
//! lies whole in one input leaves as a slice of it; only the bytes of unfinished frames are copied, and never more of them than
//! were received.

use bytes::{Buf as _, Bytes, BytesMut};

use super::Protocol;
use crate::codec::{DecodeError, DecodeErrorKind};

/// The byte after each JSON message.
pub const RECORD_SEPARATOR: u8 = 0x1e;

/// The largest MessagePack message: 2 GiB - 1.
pub(super) const MAX_PREFIX: u64 = 0x7fff_ffff;

/// A frame decoder for one direction of one connection.
///
/// ```
/// use bytes::Bytes;
/// use signalr_proto::codec::{Protocol, frame::FrameDecoder};
///
/// let mut frames = FrameDecoder::new(Protocol::Json, 1024);
/// let mut input = Bytes::from_static(b"{\"type\":6}\x1e{\"ty");
/// assert_eq!(frames.decode(&mut input).unwrap().unwrap(), "{\"type\":6}");
/// assert_eq!(frames.decode(&mut input), Ok(None));
/// assert!(frames.is_mid_frame());
/// ```
#[derive(Debug)]
pub struct FrameDecoder {
    protocol: Protocol,
    limit: usize,
    /// The limit is one on the whole frame, separator or prefix included.
    whole: bool,
    /// Bytes of the unfinished frame, without its prefix.
    buffer: BytesMut,
    prefix: Prefix,
    /// Stream offset of the next input byte.
    offset: u64,
    frame_start: u64,
    failed: Option<Box<DecodeError>>,
}

/// Whether these bytes are one frame or several, and nothing of another: what a peer is sent after them begins with a frame of
/// its own.
pub(crate) fn are_whole(protocol: Protocol, bytes: &Bytes) -> bool {
    if protocol == Protocol::Json {
        // Wherever records begin, the last one ends here.
        return bytes.last() == Some(&RECORD_SEPARATOR);
    }
    let mut frames = FrameDecoder::new(protocol, bytes.len());
    let mut rest = bytes.clone();
    while !rest.is_empty() {
        if !matches!(frames.decode(&mut rest), Ok(Some(_))) {
            return false;
        }
    }
    !bytes.is_empty()
}

/// How far the length prefix of a MessagePack frame has been read.
#[derive(Clone, Copy, Debug)]
enum Prefix {
    /// So many bytes of it, which make this value.
    Reading { bytes: u32, value: u64 },
    /// The frame has this length.
    Known(usize),
}

impl Prefix {
    const START: Self = Self::Reading { bytes: 0, value: 0 };
}

impl FrameDecoder {
    /// A decoder at the start of a stream, which refuses frames of more than `max_message_size` bytes, separator or prefix
    /// not counted.
    #[must_use]
    pub fn new(protocol: Protocol, max_message_size: usize) -> Self {
        Self {
            protocol,
            limit: max_message_size,
            whole: false,
            buffer: BytesMut::new(),
            prefix: Prefix::START,
            offset: 0,
            frame_start: 0,
            failed: None,
        }
    }

    /// A decoder that counts as servers do: the limit is one on the whole frame, separator or prefix included
    /// ([SB-8](crate::spec::server_behaviour#sb-8)). Its positions begin with `start`, the number of bytes that came before in the
    /// stream.
    #[must_use]
    pub fn with_frame_limit(protocol: Protocol, max_frame_size: usize, start: u64) -> Self {
        Self {
            whole: true,
            offset: start,
            frame_start: start,
            ..Self::new(protocol, max_frame_size)
        }
    }

    /// Takes the next frame, without separator or prefix, off the front of `input`.
    ///
    /// `None` means that `input` is used up: call again with what was received next.
    ///
    /// # Errors
    /// [`DecodeErrorKind::TooLarge`], [`DecodeErrorKind::Prefix`] and [`DecodeErrorKind::Empty`], with positions in the
    /// stream. After an error the place of the next frame is unknown, so each further call gives the same error.
    pub fn decode(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, DecodeError> {
        if let Some(error) = &self.failed {
            return Err(**error);
        }
        let result = match self.protocol {
            Protocol::Json => self.decode_record(input),
            Protocol::MessagePack => self.decode_prefixed(input),
        };
        if let Err(error) = result {
            self.failed = Some(Box::new(error));
        }
        result
    }

    /// Whether the stream would be cut inside a frame if it ended now.
    #[must_use]
    pub fn is_mid_frame(&self) -> bool {
        !self.buffer.is_empty() || !matches!(self.prefix, Prefix::Reading { bytes: 0, .. })
    }

    /// How many bytes of the unfinished frame wait here for the rest of it.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// The stream offset of the next byte.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.offset
    }

    /// The stream offset of the first byte of the frame that was returned last.
    #[must_use]
    pub const fn frame_start(&self) -> u64 {
        self.frame_start
    }

    fn decode_record(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, DecodeError> {
        // One byte more than may still belong to the record, so that its separator is found too.
        let most = self.limit.saturating_sub(usize::from(self.whole));
        let window = most.saturating_sub(self.buffer.len()).saturating_add(1);
        let searched = input.get(..window).unwrap_or(input);
        if let Some(length) = memchr::memchr(RECORD_SEPARATOR, searched) {
            let frame = self.take(input, length);
            self.advance(input, 1);
            return Ok(Some(frame));
        }
        if input.len() >= window {
            let framing = usize::from(self.whole);
            return Err(self.too_large(
                self.buffer
                    .len()
                    .saturating_add(window)
                    .saturating_add(framing),
            ));
        }
        self.keep(input);
        Ok(None)
    }

    fn decode_prefixed(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, DecodeError> {
        let Some(length) = self.read_prefix(input)? else {
            return Ok(None);
        };
        let missing = length.saturating_sub(self.buffer.len());
        if input.len() < missing {
            self.keep(input);
            return Ok(None);
        }
        self.prefix = Prefix::START;
        Ok(Some(self.take(input, missing)))
    }

    fn read_prefix(&mut self, input: &mut Bytes) -> Result<Option<usize>, DecodeError> {
        loop {
            let (bytes, value) = match self.prefix {
                Prefix::Known(length) => return Ok(Some(length)),
                Prefix::Reading { bytes, value } => (bytes, value),
            };
            let Some(byte) = input.first().copied() else {
                return Ok(None);
            };
            self.advance(input, 1);
            self.prefix = self.extend_prefix(bytes, value, byte)?;
        }
    }

    /// Adds 7 bits, the lowest first; the highest bit says that more follow.
    fn extend_prefix(&self, bytes: u32, value: u64, byte: u8) -> Result<Prefix, DecodeError> {
        let value = value | u64::from(byte & 0x7f) << (7 * bytes);
        let bytes = bytes + 1;
        let more = byte & 0x80 != 0;
        if value > MAX_PREFIX || (more && bytes == 5) {
            return Err(self.error(DecodeErrorKind::Prefix));
        }
        if more {
            return Ok(Prefix::Reading { bytes, value });
        }
        self.check_length(value, if self.whole { bytes } else { 0 })
    }

    /// The length of a frame of `value` bytes, of whose framing so many count.
    fn check_length(&self, value: u64, framing: u32) -> Result<Prefix, DecodeError> {
        let size = value.saturating_add(framing.into());
        let limit = self.limit as u64;
        match usize::try_from(value) {
            Ok(0) => Err(self.error(DecodeErrorKind::Empty)),
            Ok(length) if size <= limit => Ok(Prefix::Known(length)),
            Ok(_) | Err(_) => Err(self.error(DecodeErrorKind::TooLarge { size, limit })),
        }
    }

    /// The frame that ends `length` bytes into the input.
    fn take(&mut self, input: &mut Bytes, length: usize) -> Bytes {
        self.frame_start = self.offset.saturating_sub(self.buffer.len() as u64);
        self.offset = self.offset.saturating_add(length as u64);
        let piece = input.split_to(length);
        if self.buffer.is_empty() {
            return piece;
        }
        self.buffer.extend_from_slice(&piece);
        core::mem::take(&mut self.buffer).freeze()
    }

    /// Collects all of the input as part of the unfinished frame.
    fn keep(&mut self, input: &mut Bytes) {
        self.offset = self.offset.saturating_add(input.len() as u64);
        self.buffer.extend_from_slice(input);
        input.clear();
    }

    fn advance(&mut self, input: &mut Bytes, count: usize) {
        self.offset = self.offset.saturating_add(count as u64);
        input.advance(count);
    }

    fn too_large(&self, size: usize) -> DecodeError {
        self.error(DecodeErrorKind::TooLarge {
            size: size as u64,
            limit: self.limit as u64,
        })
    }

    const fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError {
            kind,
            position: self.offset,
        }
    }
}

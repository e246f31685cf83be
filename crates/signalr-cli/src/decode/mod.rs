//! `signalr decode`: bytes of the protocol to one JSON object per message.

mod describe;
mod events;
mod negotiate;
mod pieces;

use std::io::{self, Read, Write};

use bytes::Bytes;
use signalr_proto::Protocol;
use signalr_proto::codec::Role;
use signalr_proto::codec::frame::FrameDecoder;
use signalr_proto::codec::handshake;

use self::pieces::{
    CHUNK, MAX_MESSAGE, each_chunk, from_decode_error, protocol_error, put_unfinished,
};
use crate::cli::{DecodeArgs, DecodeFormat};
use crate::failure::Failure;
use crate::input;
use crate::value::Fault;

pub(crate) use describe::{JSON_DEPTH, MSGPACK_DEPTH};
pub(crate) use negotiate::put_members as put_negotiate_members;

/// Runs the command.
pub(crate) fn run(options: &DecodeArgs) -> Result<(), Failure> {
    let mut input = input::open(options.file.as_deref())?;
    if options.hex || is_text(options.protocol) {
        let text = input::skip_mark(input).map_err(|error| input::unreadable(&error))?;
        input = Box::new(text);
    }
    if options.hex {
        input = Box::new(input::HexReader::new(input));
    }
    let mut out = io::BufWriter::with_capacity(CHUNK, io::stdout().lock());
    let result = match options.protocol {
        DecodeFormat::Negotiate => negotiate::run(&mut input, &mut out),
        DecodeFormat::Sse => events::run(&mut input, &mut out),
        DecodeFormat::Json
        | DecodeFormat::Messagepack
        | DecodeFormat::HandshakeRequest
        | DecodeFormat::HandshakeResponse => Stream::new(options).run(&mut input, &mut out),
    };
    // Whatever came before an error is there to be seen before the error is.
    out.flush()?;
    result
}

/// Whether people may have written the input with an editor, which puts a mark in front. Event streams may have one by their own
/// rules, and their reader passes over it.
const fn is_text(format: DecodeFormat) -> bool {
    match format {
        DecodeFormat::Json
        | DecodeFormat::HandshakeRequest
        | DecodeFormat::HandshakeResponse
        | DecodeFormat::Negotiate => true,
        DecodeFormat::Messagepack | DecodeFormat::Sse => false,
    }
}

/// A stream of frames.
struct Stream {
    wire: DecodeFormat,
    role: Role,
    protocol: Protocol,
    frames: FrameDecoder,
    /// Bytes of the input so far.
    total: u64,
    /// Where the last whole frame ended, separator included.
    end: u64,
    line: Vec<u8>,
}

impl Stream {
    fn new(options: &DecodeArgs) -> Self {
        let protocol = match options.protocol {
            DecodeFormat::Messagepack => Protocol::MessagePack,
            DecodeFormat::Json
            | DecodeFormat::HandshakeRequest
            | DecodeFormat::HandshakeResponse
            | DecodeFormat::Negotiate
            | DecodeFormat::Sse => Protocol::Json,
        };
        let frames = FrameDecoder::new(protocol, MAX_MESSAGE);
        Self {
            wire: options.protocol,
            role: options.role.into(),
            protocol,
            frames,
            total: 0,
            end: 0,
            line: Vec::new(),
        }
    }

    fn run(mut self, input: &mut impl Read, out: &mut impl Write) -> Result<(), Failure> {
        each_chunk(input, |bytes| {
            self.total = self.total.saturating_add(bytes.len() as u64);
            self.feed(bytes, out)?;
            // Somebody may be watching a pipe that is still being written.
            Ok(out.flush()?)
        })?;
        put_unfinished(out, self.total.saturating_sub(self.end))
    }

    fn feed(&mut self, mut bytes: Bytes, out: &mut impl Write) -> Result<(), Failure> {
        while let Some(frame) = self
            .frames
            .decode(&mut bytes)
            .map_err(|error| from_decode_error(error, 0))?
        {
            let separator = match self.protocol {
                Protocol::MessagePack => 0,
                Protocol::Json | _ => 1,
            };
            self.end = self
                .frames
                .frame_start()
                .saturating_add(frame.len() as u64)
                .saturating_add(separator);
            self.line.clear();
            self.describe(&frame)?;
            out.write_all(&self.line)?;
            // A message that was large should not cost its memory for ever.
            self.line.shrink_to(CHUNK);
        }
        Ok(())
    }

    /// Makes the line for a frame, which stays empty for messages of unknown type.
    fn describe(&mut self, frame: &Bytes) -> Result<(), Failure> {
        let start = self.frames.frame_start();
        let line = &mut self.line;
        let described = match self.wire {
            DecodeFormat::HandshakeRequest => handshake::decode_request(frame)
                .map(|request| describe::put_request(line, &request)),
            DecodeFormat::HandshakeResponse => handshake::decode_response(frame)
                .map(|response| describe::put_response(line, &response)),
            DecodeFormat::Json
            | DecodeFormat::Messagepack
            | DecodeFormat::Negotiate
            | DecodeFormat::Sse => match self.protocol.decode(self.role, frame) {
                Err(error) => Err(error),
                Ok(None) => return Ok(()),
                Ok(Some(message)) => {
                    let put = describe::put_message(line, frame, &message);
                    put.map_err(|Fault { offset, what }| {
                        protocol_error(&what, start.saturating_add(offset as u64))
                    })?;
                    Ok(())
                }
            },
        };
        described.map_err(|error| from_decode_error(error, start))?;
        self.line.push(b'\n');
        Ok(())
    }
}

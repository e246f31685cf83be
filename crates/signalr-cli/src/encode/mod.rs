//! `signalr encode`: the objects that `decode` prints to bytes of the protocol.

mod envelope;
mod fields;
mod filler;

use std::io::{self, BufRead as _, BufReader, Write};

use bytes::BytesMut;
use signalr_proto::Protocol;

use self::envelope::Line;
use crate::cli::EncodeArgs;
use crate::failure::Failure;
use crate::input;
use crate::value::{Fault, hex};

const CHUNK: usize = 64 * 1024;

/// Runs the command.
pub(crate) fn run(options: &EncodeArgs) -> Result<(), Failure> {
    let input = input::open(options.file.as_deref())?;
    let input = input::skip_mark(input).map_err(|error| input::unreadable(&error))?;
    let mut out = io::BufWriter::with_capacity(CHUNK, io::stdout().lock());
    let result = Encoder {
        protocol: options.protocol.into(),
        hex: options.hex,
        frame: BytesMut::new(),
        ended: false,
    }
    .run(BufReader::with_capacity(CHUNK, input), &mut out);
    out.flush()?;
    result
}

struct Encoder {
    protocol: Protocol,
    hex: bool,
    frame: BytesMut,
    /// After an unfinished message nothing can follow.
    ended: bool,
}

impl Encoder {
    fn run(
        mut self,
        mut input: BufReader<impl io::Read>,
        out: &mut impl Write,
    ) -> Result<(), Failure> {
        let mut line = Vec::new();
        let mut number = 0_u64;
        loop {
            line.clear();
            line.shrink_to(CHUNK);
            number += 1;
            if input
                .read_until(b'\n', &mut line)
                .map_err(|error| input::unreadable(&error))?
                == 0
            {
                return Ok(());
            }
            if !line.trim_ascii().is_empty() {
                self.line(&line, number, out)?;
            }
            // Somebody may be watching a pipe that is still being written.
            if input.buffer().is_empty() {
                out.flush()?;
            }
        }
    }

    fn line(&mut self, line: &[u8], number: u64, out: &mut impl Write) -> Result<(), Failure> {
        self.frame.clear();
        match self.encode(line).map_err(|fault| at_line(number, &fault))? {
            Line::Message => self.put(out)?,
            Line::Incomplete(length) => {
                self.ended = true;
                filler::write(out, self.protocol, length, self.hex)?;
            }
        }
        Ok(())
    }

    fn encode(&mut self, line: &[u8]) -> Result<Line, Fault> {
        if self.ended {
            return Err(Fault::new(0, "nothing can follow an incomplete message"));
        }
        let text = std::str::from_utf8(line)
            .map_err(|error| Fault::new(error.valid_up_to(), "text that is not UTF-8"))?;
        envelope::encode(text, self.protocol, &mut self.frame)
    }

    fn put(&self, out: &mut impl Write) -> io::Result<()> {
        if !self.hex {
            return out.write_all(&self.frame);
        }
        let mut text = Vec::with_capacity(self.frame.len().saturating_mul(2).saturating_add(1));
        hex::put_hex(&mut text, &self.frame);
        text.push(b'\n');
        out.write_all(&text)
    }
}

fn at_line(number: u64, fault: &Fault) -> Failure {
    Failure::failed(format!(
        "line {number}, column {}: {fault}",
        fault.offset.saturating_add(1)
    ))
}

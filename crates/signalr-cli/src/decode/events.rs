//! Server-sent events.

use std::io::{Read, Write};

use bytes::Bytes;
use signalr_proto::transport::EventStream;

use super::pieces::{MAX_MESSAGE, each_chunk, from_decode_error, protocol_error, put_unfinished};
use crate::failure::Failure;
use crate::value::put_string;

pub(super) fn run(input: &mut impl Read, out: &mut impl Write) -> Result<(), Failure> {
    let mut events = EventStream::new(MAX_MESSAGE);
    each_chunk(input, |mut bytes| {
        feed(&mut events, &mut bytes, out)?;
        // Somebody may be watching a pipe that is still being written.
        Ok(out.flush()?)
    })?;
    put_unfinished(out, events.unfinished())
}

fn feed(events: &mut EventStream, bytes: &mut Bytes, out: &mut impl Write) -> Result<(), Failure> {
    while let Some(data) = events
        .decode(bytes)
        .map_err(|error| from_decode_error(error, 0))?
    {
        let text = std::str::from_utf8(&data).map_err(|_| {
            protocol_error(
                &"the event that begins here has data that is not UTF-8",
                events.event_start(),
            )
        })?;
        let mut line = b"{\"data\":".to_vec();
        put_string(&mut line, text);
        line.extend(b"}\n");
        out.write_all(&line)?;
    }
    Ok(())
}

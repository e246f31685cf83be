//! Values as MessagePack, in the shortest forms.

use std::borrow::Cow;

use signalr_proto::{Payload, Protocol, Timestamp};

use super::interpret::Sink;
use super::tokens::unescape;

/// Writes MessagePack.
#[derive(Debug)]
pub(crate) struct MsgPackSink<'a> {
    out: &'a mut Vec<u8>,
    depth: usize,
    max_depth: usize,
}

type Outcome = Result<(), Cow<'static, str>>;

/// Writing to a vector succeeds; only lengths beyond 32 bits are left to refuse.
fn written<T, E>(result: Result<T, E>) -> Outcome {
    result
        .map(drop)
        .map_err(|_| "a value that cannot be written".into())
}

fn length(count: usize) -> Result<u32, Cow<'static, str>> {
    u32::try_from(count).map_err(|_| "a value longer than MessagePack allows".into())
}

impl<'a> MsgPackSink<'a> {
    pub(crate) const fn new(out: &'a mut Vec<u8>, max_depth: usize) -> Self {
        Self {
            out,
            depth: 0,
            max_depth,
        }
    }

    fn open(&mut self) -> Outcome {
        if self.depth >= self.max_depth {
            return Err("nesting deeper than the 256 levels of a MessagePack value".into());
        }
        self.depth += 1;
        Ok(())
    }
}

impl Sink for MsgPackSink<'_> {
    fn null(&mut self) {
        self.out.push(0xc0);
    }

    fn bool(&mut self, value: bool) {
        self.out.push(0xc2 | u8::from(value));
    }

    fn number(&mut self, spelling: &str) -> Outcome {
        if spelling.contains(['.', 'e', 'E']) {
            let value = spelling
                .parse::<f64>()
                .ok()
                .filter(|value| value.is_finite());
            return self.float64(value.ok_or("a number beyond the range of 64-bit floats")?);
        }
        match (spelling.parse::<u64>(), spelling.parse::<i64>()) {
            (Ok(value), _) => written(rmp::encode::write_uint(self.out, value)),
            (_, Ok(value)) => written(rmp::encode::write_sint(self.out, value)),
            _ => Err("an integer of more than 64 bits, which MessagePack has no form for; write it as a string or with a decimal point".into()),
        }
    }

    fn string(&mut self, raw: &str) -> Outcome {
        let text = unescape(raw);
        length(text.len())?;
        written(rmp::encode::write_str(self.out, &text))
    }

    fn float32(&mut self, value: f32) -> Outcome {
        written(rmp::encode::write_f32(self.out, value))
    }

    fn float64(&mut self, value: f64) -> Outcome {
        written(rmp::encode::write_f64(self.out, value))
    }

    fn binary(&mut self, bytes: &[u8]) -> Outcome {
        length(bytes.len())?;
        written(rmp::encode::write_bin(self.out, bytes))
    }

    fn timestamp(&mut self, moment: Timestamp) -> Outcome {
        let payload = Payload::from_value(Protocol::MessagePack, &moment)
            .map_err(|error| error.to_string())?;
        self.out.extend(payload.as_bytes());
        Ok(())
    }

    fn extension(&mut self, kind: i8, body: &[u8]) -> Outcome {
        written(rmp::encode::write_ext_meta(
            self.out,
            length(body.len())?,
            kind,
        ))?;
        self.out.extend(body);
        Ok(())
    }

    fn begin_array(&mut self, count: usize) -> Outcome {
        self.open()?;
        written(rmp::encode::write_array_len(self.out, length(count)?))
    }

    fn begin_map(&mut self, count: usize) -> Outcome {
        self.open()?;
        written(rmp::encode::write_map_len(self.out, length(count)?))
    }

    fn separate(&mut self, _: usize) {}

    fn after_key(&mut self) {}

    fn end_array(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    fn end_map(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    fn string_keys_only(&self) -> bool {
        false
    }
}

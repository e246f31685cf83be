//! Values as JSON, in the forms that .NET reads.

use std::borrow::Cow;

use signalr_proto::Timestamp;

use super::interpret::Sink;
use super::{float_text, hex, put_string};

/// Writes compact JSON.
#[derive(Debug)]
pub(crate) struct JsonSink<'a> {
    out: &'a mut Vec<u8>,
    depth: usize,
    max_depth: usize,
}

type Outcome = Result<(), Cow<'static, str>>;

impl<'a> JsonSink<'a> {
    pub(crate) const fn new(out: &'a mut Vec<u8>, max_depth: usize) -> Self {
        Self {
            out,
            depth: 0,
            max_depth,
        }
    }

    fn open(&mut self, bracket: u8) -> Outcome {
        if self.depth >= self.max_depth {
            return Err("nesting deeper than the 64 levels of a JSON message".into());
        }
        self.depth += 1;
        self.out.push(bracket);
        Ok(())
    }

    fn close(&mut self, bracket: u8) {
        self.depth = self.depth.saturating_sub(1);
        self.out.push(bracket);
    }

    fn float(&mut self, text: Option<String>) -> Outcome {
        let text = text.ok_or("JSON has no form for NaN and infinite numbers")?;
        self.out.extend(text.as_bytes());
        Ok(())
    }
}

impl Sink for JsonSink<'_> {
    fn null(&mut self) {
        self.out.extend(b"null");
    }

    fn bool(&mut self, value: bool) {
        self.out.extend(if value { &b"true"[..] } else { b"false" });
    }

    fn number(&mut self, spelling: &str) -> Outcome {
        self.out.extend(spelling.as_bytes());
        Ok(())
    }

    fn string(&mut self, raw: &str) -> Outcome {
        self.out.extend(raw.as_bytes());
        Ok(())
    }

    fn float32(&mut self, value: f32) -> Outcome {
        self.float(value.is_finite().then(|| format!("{value:?}")))
    }

    fn float64(&mut self, value: f64) -> Outcome {
        self.float(float_text(value))
    }

    fn binary(&mut self, bytes: &[u8]) -> Outcome {
        self.out.push(b'"');
        hex::put_base64(self.out, bytes);
        self.out.push(b'"');
        Ok(())
    }

    fn timestamp(&mut self, moment: Timestamp) -> Outcome {
        put_string(self.out, &moment.to_string());
        Ok(())
    }

    fn extension(&mut self, _: i8, _: &[u8]) -> Outcome {
        Err("JSON has no form for a MessagePack extension ($ext)".into())
    }

    fn begin_array(&mut self, _: usize) -> Outcome {
        self.open(b'[')
    }

    fn begin_map(&mut self, _: usize) -> Outcome {
        self.open(b'{')
    }

    fn separate(&mut self, index: usize) {
        if index > 0 {
            self.out.push(b',');
        }
    }

    fn after_key(&mut self) {
        self.out.push(b':');
    }

    fn end_array(&mut self) {
        self.close(b']');
    }

    fn end_map(&mut self) {
        self.close(b'}');
    }

    fn string_keys_only(&self) -> bool {
        true
    }
}

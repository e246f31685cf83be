//! WebSocket frames, written and cut by hand.

use crate::Failure;

/// The mask of every frame. A constant one costs the server what any other does.
const MASK: [u8; 4] = [0x5a, 0x17, 0xc3, 0x88];

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// More of a message.
    Continuation,
    /// A message of text, or its beginning.
    Text,
    /// A message of bytes, or its beginning.
    Binary,
    /// The end.
    Close,
    /// A question whether the peer lives.
    Ping,
    /// The answer to it.
    Pong,
}

impl Opcode {
    const fn code(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    fn from_code(code: u8) -> Result<Self, Failure> {
        Ok(match code {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            other => return Err(format!("a WebSocket frame with the opcode {other}").into()),
        })
    }
}

fn write_head(out: &mut Vec<u8>, opcode: Opcode, length: usize, masked: bool) {
    let mask_bit = if masked { 0x80 } else { 0 };
    out.push(0x80 | opcode.code());
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..126), _) => out.push(mask_bit | short),
        (_, Ok(long)) => {
            out.push(mask_bit | 126);
            out.extend_from_slice(&long.to_be_bytes());
        }
        _ => {
            out.push(mask_bit | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

/// Writes a frame as clients do.
pub fn write_masked(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    write_head(out, opcode, payload.len(), true);
    out.extend_from_slice(&MASK);
    let masked = payload.iter().zip(MASK.iter().cycle());
    out.extend(masked.map(|(byte, mask)| byte ^ mask));
}

/// Writes a frame as servers do.
pub fn write_plain(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    write_head(out, opcode, payload.len(), false);
    out.extend_from_slice(payload);
}

/// Where the parts of a frame are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub opcode: Opcode,
    /// The mask, if it has one.
    pub mask: Option<[u8; 4]>,
    /// Where its payload begins.
    pub start: usize,
    /// Where its payload and it end.
    pub end: usize,
}

/// Finds the first frame in these bytes; `None` while it is incomplete.
///
/// # Errors
/// When it is no frame.
pub fn cut(bytes: &[u8]) -> Result<Option<Frame>, Failure> {
    let [first, second, rest @ ..] = bytes else {
        return Ok(None);
    };
    let (length, mut start) = match (second & 0x7f, rest) {
        (126, [a, b, ..]) => (usize::from(u16::from_be_bytes([*a, *b])), 4),
        (127, [a, b, c, d, e, f, g, h, ..]) => {
            let length = u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
            (usize::try_from(length)?, 10)
        }
        (126 | 127, _) => return Ok(None),
        (short, _) => (usize::from(short), 2),
    };
    let mask = if second & 0x80 == 0 {
        None
    } else {
        let mask = bytes
            .get(start..start + 4)
            .and_then(|mask| mask.try_into().ok());
        let Some(mask) = mask else { return Ok(None) };
        start += 4;
        Some(mask)
    };
    let end = start
        .checked_add(length)
        .ok_or("an endless WebSocket frame")?;
    if bytes.len() < end {
        return Ok(None);
    }
    let opcode = Opcode::from_code(first & 0x0f)?;
    Ok(Some(Frame {
        opcode,
        mask,
        start,
        end,
    }))
}

/// Takes the mask off.
pub fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let mut fours = payload.chunks_exact_mut(4);
    for four in &mut fours {
        for (byte, mask) in four.iter_mut().zip(mask) {
            *byte ^= mask;
        }
    }
    for (byte, mask) in fours.into_remainder().iter_mut().zip(mask) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_cut_whole_and_not_before_it_is_complete() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let payload = vec![b'x'; length];
            let mut bytes = Vec::new();
            write_masked(&mut bytes, Opcode::Text, &payload);
            for short in [1, bytes.len() / 2, bytes.len() - 1] {
                assert_eq!(cut(&bytes[..short]).unwrap(), None);
            }
            let frame = cut(&bytes).unwrap().unwrap();
            assert_eq!((frame.opcode, frame.end), (Opcode::Text, bytes.len()));
            let mut read = bytes[frame.start..frame.end].to_vec();
            unmask(&mut read, frame.mask.unwrap());
            assert_eq!(read, payload);
        }
    }

    #[test]
    fn frames_of_servers_carry_no_mask() {
        let mut bytes = Vec::new();
        write_plain(&mut bytes, Opcode::Pong, b"abc");
        assert_eq!(bytes, b"\x8a\x03abc");
        assert_eq!(cut(&bytes).unwrap().unwrap().mask, None);
    }

    #[test]
    fn an_unknown_opcode_is_an_error() {
        assert!(cut(b"\x83\x00").is_err());
    }
}

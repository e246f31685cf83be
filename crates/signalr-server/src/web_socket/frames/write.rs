//! Frames to clients: whole messages, never masked.

use bytes::BufMut;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, OpCode};

use super::{MAX_CONTROL, NO_CODE};

/// Writes the head of a frame that is a whole message; so many bytes of payload have to follow.
///
/// It takes at most ten bytes, and never more than four for a payload below 64 KiB.
pub(crate) fn write_head(out: &mut impl BufMut, opcode: OpCode, payload: usize) {
    let head = FrameHeader {
        opcode,
        ..FrameHeader::default()
    };
    head.format(payload as u64, &mut out.writer())
        .expect("memory takes what is written to it");
}

/// Answers a ping.
pub(crate) fn write_pong(out: &mut impl BufMut, payload: &[u8]) {
    write_control(out, Control::Pong, &[], payload);
}

/// Writes a close frame; 1005 stands for none. A reason that does not fit is cut.
pub(crate) fn write_close(out: &mut impl BufMut, code: u16, reason: &str) {
    if code == NO_CODE {
        return write_control(out, Control::Close, &[], &[]);
    }
    let room = reason.len().min(MAX_CONTROL - size_of_val(&code));
    let length = (0..=room).rev().find(|end| reason.is_char_boundary(*end));
    let reason = reason.get(..length.unwrap_or_default()).unwrap_or_default();
    write_control(out, Control::Close, &code.to_be_bytes(), reason.as_bytes());
}

fn write_control(out: &mut impl BufMut, kind: Control, code: &[u8], payload: &[u8]) {
    let payload = payload.get(..MAX_CONTROL).unwrap_or(payload);
    write_head(out, OpCode::Control(kind), code.len() + payload.len());
    out.put_slice(code);
    out.put_slice(payload);
}

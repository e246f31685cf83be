//! Helpers of the codec tests.

use bytes::Bytes;
use signalr_proto::codec::Role;
use signalr_proto::codec::frame::FrameDecoder;
use signalr_proto::{DecodeError, HubMessage, Protocol};

pub(crate) fn hex(digits: &str) -> Bytes {
    let digits: String = digits.split_whitespace().collect();
    (0..digits.len() / 2)
        .map(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).unwrap())
        .collect()
}

pub(crate) fn decode(
    protocol: Protocol,
    role: Role,
    body: impl AsRef<[u8]>,
) -> Result<Option<HubMessage>, DecodeError> {
    protocol.decode(role, &Bytes::copy_from_slice(body.as_ref()))
}

/// The only frame of a stream.
pub(crate) fn one_frame(protocol: Protocol, mut stream: Bytes) -> Bytes {
    let mut frames = FrameDecoder::new(protocol, usize::MAX);
    let frame = frames.decode(&mut stream).unwrap().unwrap();
    assert!(stream.is_empty());
    frame
}

/// All frames of a stream that comes in these pieces, then the error if there is one.
pub(crate) fn frames(
    protocol: Protocol,
    limit: usize,
    pieces: &[Bytes],
) -> (Vec<Bytes>, Option<DecodeError>) {
    let mut decoder = FrameDecoder::new(protocol, limit);
    let mut frames = Vec::new();
    for piece in pieces {
        let mut input = piece.clone();
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.decode(&mut input), Err(error), "errors stay");
                    return (frames, Some(error));
                }
            }
        }
        assert!(input.is_empty());
    }
    (frames, None)
}

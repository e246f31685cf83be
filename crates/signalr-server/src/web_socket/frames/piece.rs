//! Payloads that leave the buffer they were read into.

use bytes::Bytes;

/// Payloads up to this size take one allocation. It is the size of nearly every call.
const SMALL: usize = 255;

/// Bytes that lie behind the counter of their owners. `Bytes` would make another allocation for that counter as soon as a part of
/// them is handed on, and of every call parts are.
struct Small {
    bytes: [u8; SMALL],
    length: u8,
}

impl AsRef<[u8]> for Small {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.length.into()).unwrap_or_default()
    }
}

/// A copy of the payload.
pub(super) fn copied(payload: &[u8]) -> Bytes {
    let Ok(length) = u8::try_from(payload.len()) else {
        return Bytes::copy_from_slice(payload);
    };
    let mut bytes = [0; SMALL];
    if let Some(room) = bytes.get_mut(..payload.len()) {
        room.copy_from_slice(payload);
    }
    Bytes::from_owner(Small { bytes, length })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_of_any_size_is_copied_whole() {
        let payload: Vec<u8> = (0..=u8::MAX).cycle().take(600).collect();
        for size in 0..payload.len() {
            assert_eq!(copied(&payload[..size]), payload[..size]);
        }
    }
}

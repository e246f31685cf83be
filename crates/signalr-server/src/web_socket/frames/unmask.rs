//! The masks of clients' frames.

/// How many bytes are unmasked in one step; compilers make one or two instructions of it.
const STEP: usize = 16;

/// A frame's mask, turned so that its first byte belongs to the next byte of the payload.
#[derive(Clone, Copy)]
pub(super) struct Mask([u8; 4]);

impl Mask {
    pub(super) const fn new(key: [u8; 4]) -> Self {
        Self(key)
    }

    /// Takes the mask off the next bytes of the payload.
    pub(super) fn apply(&mut self, bytes: &mut [u8]) {
        let [a, b, c, d] = self.0;
        let key: [u8; STEP] = [a, b, c, d, a, b, c, d, a, b, c, d, a, b, c, d];
        let turn = bytes.len() % self.0.len();
        let mut steps = bytes.chunks_exact_mut(STEP);
        for step in &mut steps {
            xor(step, &key);
        }
        xor(steps.into_remainder(), &key);
        self.0.rotate_left(turn);
    }
}

fn xor(bytes: &mut [u8], key: &[u8; STEP]) {
    for (byte, key) in bytes.iter_mut().zip(key) {
        *byte ^= key;
    }
}

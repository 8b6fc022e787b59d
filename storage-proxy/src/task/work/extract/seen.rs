//! Which entries of the archive were there before, by their number: a bit for each.

#[derive(Clone, Debug, Default)]
pub(super) struct Seen(Vec<u8>);

impl From<Vec<u8>> for Seen {
    fn from(bits: Vec<u8>) -> Self {
        Self(bits)
    }
}

impl Seen {
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Notes the next one, which has this number.
    pub fn note(&mut self, number: u64, was_there: bool) {
        let (byte, bit) = place(number);
        if self.0.len() <= byte {
            self.0.resize(byte + 1, 0);
        }
        if was_there {
            self.0[byte] |= bit;
        }
    }

    pub fn was_there(&self, number: u64) -> bool {
        let (byte, bit) = place(number);
        self.0.get(byte).is_some_and(|bits| bits & bit != 0)
    }
}

fn place(number: u64) -> (usize, u8) {
    (
        usize::try_from(number / 8).unwrap_or(usize::MAX),
        1 << (number % 8),
    )
}

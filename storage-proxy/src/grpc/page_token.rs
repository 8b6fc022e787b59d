//! Page tokens: where a listing goes on, bound to what was asked for.
//!
//! In hexadecimal: an FNV-1a hash of 8 bytes, then when the listing began (8 bytes, by the clock of this process), then
//! where it goes on. The hash is over all of that and over the vfolder and the request's other fields: it tells mistakes. A
//! forged token leads nowhere that its bearer could not list anyway.

use uuid::Uuid;

use crate::tree::path::PATH_MAX;

/// Bytes of hash and time.
const HEAD: usize = 16;
/// The most that a token stands for: a path, and what it is put in order by.
const MOST: usize = HEAD + 8 + PATH_MAX;

/// What a token is good for.
#[derive(Clone, Copy, Debug)]
pub struct Asked(u64);

impl Asked {
    /// This RPC on this vfolder.
    pub fn of(method: &str, vfolder: Uuid) -> Self {
        // FNV-1a, 64 bits (draft-eastlake-fnv).
        Self(0xcbf2_9ce4_8422_2325)
            .with(method.as_bytes())
            .with(vfolder.as_bytes())
    }

    /// And this field.
    pub fn with(self, field: &[u8]) -> Self {
        let bytes = u64::try_from(field.len()).unwrap_or(u64::MAX).to_be_bytes();
        let all = bytes.iter().chain(field);
        Self(all.fold(self.0, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        }))
    }

    /// And this number.
    pub fn and(self, number: i64) -> Self {
        self.with(&number.to_be_bytes())
    }

    /// The token of the page that goes on at `place`, of a listing that began at `since`.
    pub fn write(self, since: u64, place: &[u8]) -> String {
        let since = since.to_be_bytes();
        let hash = self.with(&since).with(place).0.to_be_bytes();
        let all = hash.iter().chain(&since).chain(place);
        all.map(|byte| format!("{byte:02x}")).collect()
    }

    /// When the listing began, and where it goes on; nothing if the token is for something else.
    pub fn read(self, token: &str) -> Option<(u64, Vec<u8>)> {
        if !token.len().is_multiple_of(2) || token.len() > 2 * MOST || !token.is_ascii() {
            return None;
        }
        let digits = token.as_bytes().chunks_exact(2);
        let bytes: Option<Vec<u8>> = digits
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect();
        let bytes = bytes?;
        let (head, place) = bytes.split_at_checked(HEAD)?;
        let (claimed, since) = head.split_first_chunk::<8>()?;
        let hash = self.with(since).with(place).0;
        (*claimed == hash.to_be_bytes()).then_some(())?;
        Some((u64::from_be_bytes(since.try_into().ok()?), place.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_token_leads_back_to_its_place_and_from_nowhere_else(
            place in prop::collection::vec(any::<u8>(), 1..=300), since in any::<u64>(), garbage in "\\PC{0,40}",
        ) {
            let asked = |vfolder, path: &[u8], number| {
                Asked::of("M", Uuid::from_u128(vfolder)).with(path).and(number)
            };
            let token = asked(7, b"a/b", 1).write(since, &place);
            prop_assert_eq!(asked(7, b"a/b", 1).read(&token).unwrap(), (since, place));
            for other in [asked(7, b"", 1), asked(8, b"a/b", 1), asked(7, b"a/b", 2), asked(7, b"a/b", 1).and(0)] {
                prop_assert_eq!(other.read(&token), None);
            }
            prop_assert_eq!(asked(7, b"a/b", 1).read(&garbage), None);
            prop_assert_eq!(asked(7, b"a/b", 1).read(&token[..token.len() - 2]), None);
        }
    }
}

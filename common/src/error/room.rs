//! How much of a refusal fits where it travels: in the headers that end a response.
//!
//! Many clients take no more than 8 KiB of those, and of some more a whole HTTP/2 connection breaks, with all that is under
//! way on it. Texts echo names and paths, which may be as long as somebody likes. So each part has its room, and all of them
//! together stay below 8 KiB: the text goes out twice, as it is and in Base64 with the details.

use std::borrow::Cow;

/// For the text, as [`encoded`].
pub(super) const TEXT: usize = 1_536;
/// For one value of the details, in bytes.
pub(super) const VALUE: usize = 384;
/// For all violations together, in bytes.
const VIOLATIONS: u16 = 1_536;

/// What is left for violations. Small, as a refusal has to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room(u16);

impl Default for Room {
    fn default() -> Self {
        Self(VIOLATIONS)
    }
}

impl Room {
    /// Takes what one needs. False: there is not so much, and it is dropped.
    pub fn takes(&mut self, subject: &str, description: &str) -> bool {
        let bytes = u16::try_from(subject.len() + description.len());
        let left = bytes.ok().and_then(|bytes| self.0.checked_sub(bytes));
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}

/// `text`, or what of it has room, and "…".
pub(super) fn shorten(text: &str, room: usize, cost: fn(char) -> usize) -> Cow<'_, str> {
    let mut taken = 0;
    let over = text.char_indices().find(|(_, c)| {
        taken += cost(*c);
        taken > room
    });
    match over {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default())),
    }
}

/// What a character may take in the header `grpc-message`: what is not plain there is three bytes for each.
pub fn encoded(c: char) -> usize {
    match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '/' | '.' | '-' | '_' => 1,
        _ => 3 * c.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters_and_one_that_fits_stays() {
        assert_eq!(shorten("äöü", 6, char::len_utf8), "äöü");
        assert_eq!(shorten("äöü", 5, char::len_utf8), "äö…");
        assert_eq!(shorten("a b", 4, encoded), "a …");
    }
}

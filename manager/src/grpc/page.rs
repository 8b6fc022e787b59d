//! Pages: sizes and tokens.

use vfolder_common::error::Fields;

use crate::vfolder::feed::Position;

const DEFAULT_SIZE: i64 = 50;
const MAX_SIZE: i64 = 1_000;

/// Which page is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// At most so many.
    pub size: i64,
    /// The key of the last item of the page before. Empty: the first page.
    pub after: String,
}

/// Checks `page_size` and `page_token`. `filters` are all that a token is bound to: one from a listing with other
/// filters is refused.
pub fn parse(size: i32, token: &str, filters: &str, fields: &mut Fields) -> Page {
    let size = match i64::from(size) {
        0 => DEFAULT_SIZE,
        size if size < 0 => {
            fields.wrong("page_size", "must not be negative");
            DEFAULT_SIZE
        }
        size => size.min(MAX_SIZE),
    };
    let after = if token.is_empty() {
        String::new()
    } else if let Some(after) = open(token, filters) {
        after
    } else {
        fields.wrong(
            "page_token",
            "must be the next_page_token of an answer to the same request; leave it empty for the first page",
        );
        String::new()
    };
    Page { size, after }
}

/// The token for the page after `last`. Opaque to clients: hexadecimal, with a checksum over the filters.
#[must_use]
pub fn token(last: &str, filters: &str) -> String {
    let mut token = format!("{:08x}", checksum(last, filters));
    for byte in last.bytes() {
        token.push_str(&format!("{byte:02x}"));
    }
    token
}

/// What a token of the change feed is bound to.
const FEED: &str = "feed";

/// The token for what follows a place in the change feed.
#[must_use]
pub fn feed_token(position: Position) -> String {
    token(&format!("{}:{}", position.feed, position.last), FEED)
}

/// Reads a token of the change feed. None: there is none, or it is wrong, which `fields` then says.
pub fn feed_position(field: &str, token: &str, fields: &mut Fields) -> Option<Position> {
    if token.is_empty() {
        return None;
    }
    let position = open(token, FEED).and_then(|key| {
        let (feed, last) = key.split_once(':')?;
        Some(Position {
            feed: feed.parse().ok()?,
            last: last.parse().ok().filter(|last| *last >= 0)?,
        })
    });
    fields.check(
        field,
        position.ok_or(
            "must be a resume_token of a message of this stream; leave it empty to begin now",
        ),
    )
}

fn open(token: &str, filters: &str) -> Option<String> {
    let (sum, key) = token.split_at_checked(8)?;
    let sum = u32::from_str_radix(sum, 16).ok()?;
    let bytes: Option<Vec<u8>> = (0..key.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(key.get(i..i + 2)?, 16).ok())
        .collect();
    let last = String::from_utf8(bytes?).ok()?;
    (!last.is_empty() && checksum(&last, filters) == sum).then_some(last)
}

/// FNV-1a: against mistakes, not against malice; a forged token shows nothing that a filter wouldn't.
fn checksum(last: &str, filters: &str) -> u32 {
    let bytes = last.bytes().chain([0]).chain(filters.bytes());
    bytes.fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_only_with_the_filters_it_was_made_with() {
        let token = token("0192-key", "status=READY");
        assert_eq!(open(&token, "status=READY").as_deref(), Some("0192-key"));
        assert_eq!(open(&token, "status=ERROR"), None);
        for garbage in [
            "",
            "x",
            "zzzzzzzz00",
            "00000000",
            "0000000041",
            "ü0000000",
            &token[..token.len() - 1],
        ] {
            assert_eq!(open(garbage, "status=READY"), None, "{garbage}");
        }
    }

    #[test]
    fn sizes_are_bounded_and_never_negative() {
        let mut fields = Fields::default();
        assert_eq!(parse(0, "", "", &mut fields).size, DEFAULT_SIZE);
        assert_eq!(parse(i32::MAX, "", "", &mut fields).size, MAX_SIZE);
        assert!(fields.finish().is_ok());
        let mut fields = Fields::default();
        parse(-1, "garbage", "", &mut fields);
        assert_eq!(
            fields.finish().err().map(|r| r.text().matches(';').count()),
            Some(2)
        );
    }
}

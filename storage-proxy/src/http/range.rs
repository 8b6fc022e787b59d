//! Range requests (RFC 9110 §14): one range of bytes. Who asks for several gets the whole, as the RFC allows.

use std::ops::Range;

/// What to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All of it: no range was asked for, or one that has to be ignored.
    Whole,
    /// These bytes; at least one.
    Part(Range<u64>),
    /// 416: nothing of it is in the file.
    Unsatisfiable,
}

/// What the value of a Range header asks for, of a file of this size.
pub fn wanted(value: Option<&[u8]>, size: u64) -> Wanted {
    let asked = value.and_then(|value| std::str::from_utf8(value).ok());
    let Some((unit, set)) = asked.and_then(|text| text.split_once('=')) else {
        return Wanted::Whole;
    };
    let set = set.trim();
    if !unit.trim().eq_ignore_ascii_case("bytes") || set.contains(',') {
        return Wanted::Whole;
    }
    let Some((first, last)) = set.split_once('-') else {
        return Wanted::Whole;
    };
    let part = match (number(first), number(last)) {
        (Some(Some(first)), Some(Some(last))) if last >= first => {
            first..last.saturating_add(1).min(size)
        }
        (Some(Some(first)), Some(None)) => first..size,
        (Some(None), Some(Some(count))) => size.saturating_sub(count)..size,
        _ => return Wanted::Whole,
    };
    // The last bytes of an empty file are all of it (§14.1.2), though no part of it.
    let all_of_nothing = size == 0 && first.is_empty() && number(last) != Some(Some(0));
    if all_of_nothing {
        Wanted::Whole
    } else if part.start < part.end {
        Wanted::Part(part)
    } else {
        Wanted::Unsatisfiable
    }
}

/// None: no number. Some(None): nothing. A number beyond all files is as good as the largest.
fn number(text: &str) -> Option<Option<u64>> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if text.is_empty() {
        return Some(None);
    }
    Some(Some(text.parse().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_range_is_cut_to_the_file_and_what_is_none_is_ignored() {
        use Wanted::{Part, Unsatisfiable, Whole};
        const HUGE: &str = "99999999999999999999999999";
        for (value, expected) in [
            ("bytes=0-0", Part(0..1)),
            ("bytes=2-4", Part(2..5)),
            ("bytes=2-", Part(2..10)),
            ("bytes=-3", Part(7..10)),
            ("bytes=-30", Part(0..10)),
            ("bytes=9-99", Part(9..10)),
            ("BYTES = 1-1", Part(1..2)),
            (&format!("bytes=3-{HUGE}"), Part(3..10)),
            (&format!("bytes=-{HUGE}"), Part(0..10)),
            ("bytes=0-18446744073709551615", Part(0..10)),
            ("bytes=10-", Unsatisfiable),
            ("bytes=10-20", Unsatisfiable),
            ("bytes=-0", Unsatisfiable),
            (&format!("bytes={HUGE}-"), Unsatisfiable),
            ("bytes=4-2", Whole),
            ("bytes=0-1,3-4", Whole),
            ("bytes=-", Whole),
            ("bytes=", Whole),
            ("bytes", Whole),
            ("bytes=+1-2", Whole),
            ("bytes=0x1-2", Whole),
            ("bytes=--1", Whole),
            ("lines=1-2", Whole),
        ] {
            assert_eq!(wanted(Some(value.as_bytes()), 10), expected, "{value}");
        }
        assert_eq!(wanted(None, 10), Whole);
        for (value, expected) in [
            ("bytes=0-", Unsatisfiable),
            ("bytes=-0", Unsatisfiable),
            ("bytes=-5", Whole),
        ] {
            assert_eq!(wanted(Some(value.as_bytes()), 0), expected, "{value}");
        }
        assert_eq!(wanted(Some(b"bytes=\xff-"), 10), Whole);
    }

    proptest! {
        #[test]
        fn a_part_is_never_empty_nor_beyond_the_end(value in "(bytes=)?[0-9,-]{0,24}", size in any::<u64>()) {
            if let Wanted::Part(part) = wanted(Some(value.as_bytes()), size) {
                prop_assert!(part.start < part.end && part.end <= size);
            }
        }
    }
}

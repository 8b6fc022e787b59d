//! Conditional requests (RFC 9110 §13).

use http::{HeaderMap, header};
use httpdate::HttpDate;
use std::time::{Duration, SystemTime};

/// What a file is, as validators have it.
#[derive(Clone, Debug)]
pub struct Validators {
    /// Its strong entity tag, in quotes.
    pub etag: String,
    /// Its last change, in whole seconds.
    pub modified: HttpDate,
    /// Its size in bytes.
    pub size: u64,
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Answer.
    Proceed,
    /// 304: the caller has it already.
    NotModified,
    /// 412: it is not what the caller thinks.
    Failed,
}

/// Seconds and nanoseconds since 1970 as HTTP's dates have them; earlier ones are 1970.
pub fn date((seconds, _): (i64, i64)) -> HttpDate {
    let since = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    // HttpDate ends with the year 9999.
    let last = Duration::from_secs(253_402_300_799);
    (SystemTime::UNIX_EPOCH + since.min(last)).into()
}

/// Decides, in the order of RFC 9110 §13.2.2. A date that doesn't parse counts as absent.
pub fn verdict(headers: &HeaderMap, file: &Validators) -> Verdict {
    if headers.contains_key(header::IF_MATCH) {
        // Strongly (§13.1.1): a weak tag never matches.
        if !tags(headers, &header::IF_MATCH).any(|tag| tag == "*" || tag == file.etag) {
            return Verdict::Failed;
        }
    } else if dated(headers, &header::IF_UNMODIFIED_SINCE).is_some_and(|at| file.modified > at) {
        return Verdict::Failed;
    }
    if headers.contains_key(header::IF_NONE_MATCH) {
        // Weakly (§13.1.2).
        let strong = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag) == file.etag;
        if tags(headers, &header::IF_NONE_MATCH).any(|tag| tag == "*" || strong(tag)) {
            return Verdict::NotModified;
        }
    } else if dated(headers, &header::IF_MODIFIED_SINCE).is_some_and(|at| file.modified <= at) {
        return Verdict::NotModified;
    }
    Verdict::Proceed
}

/// Whether a range may be sent. A date in If-Range can't tell two versions of one second apart, and whoever writes a file
/// may set its date: only the entity tag counts, and else the whole file is sent (§13.1.5).
pub fn range_allowed(headers: &HeaderMap, file: &Validators) -> bool {
    match headers.get(header::IF_RANGE) {
        Some(tag) => tag.as_bytes() == file.etag.as_bytes(),
        None => true,
    }
}

/// Every entity tag of a list. Ours hold no comma.
fn tags<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

fn dated(headers: &HeaderMap, name: &header::HeaderName) -> Option<HttpDate> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use http::HeaderValue;

    use super::*;

    fn file() -> Validators {
        Validators {
            etag: "\"abc\"".into(),
            modified: date((1_000_000_000, 999)),
            size: 10,
        }
    }

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    const SAME: &str = "Sun, 09 Sep 2001 01:46:40 GMT";
    const BEFORE: &str = "Sun, 09 Sep 2001 01:46:39 GMT";

    #[test]
    fn each_condition_decides_as_the_rfc_says() {
        use Verdict::{Failed, NotModified, Proceed};
        use header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE};
        for (pairs, expected) in [
            (&[][..], Proceed),
            (&[(IF_MATCH, "\"abc\"")], Proceed),
            (&[(IF_MATCH, "\"x\", \"abc\"")], Proceed),
            (&[(IF_MATCH, "*")], Proceed),
            (&[(IF_MATCH, "\"x\"")], Failed),
            (&[(IF_MATCH, "W/\"abc\"")], Failed),
            (&[(IF_NONE_MATCH, "\"abc\"")], NotModified),
            (&[(IF_NONE_MATCH, "W/\"abc\"")], NotModified),
            (&[(IF_NONE_MATCH, "*")], NotModified),
            (&[(IF_NONE_MATCH, "\"x\"")], Proceed),
            (&[(IF_MODIFIED_SINCE, SAME)], NotModified),
            (&[(IF_MODIFIED_SINCE, BEFORE)], Proceed),
            (&[(IF_MODIFIED_SINCE, "yesterday")], Proceed),
            (&[(IF_UNMODIFIED_SINCE, SAME)], Proceed),
            (&[(IF_UNMODIFIED_SINCE, BEFORE)], Failed),
            // The tag is better than the date.
            (
                &[(IF_NONE_MATCH, "\"x\""), (IF_MODIFIED_SINCE, SAME)],
                Proceed,
            ),
            (
                &[(IF_MATCH, "\"abc\""), (IF_UNMODIFIED_SINCE, BEFORE)],
                Proceed,
            ),
            (&[(IF_MATCH, "\"x\""), (IF_NONE_MATCH, "\"abc\"")], Failed),
        ] {
            assert_eq!(verdict(&headers(pairs), &file()), expected, "{pairs:?}");
        }
    }

    #[test]
    fn a_range_of_another_version_is_never_sent() {
        let allowed = |value| range_allowed(&headers(&[(header::IF_RANGE, value)]), &file());
        assert!(allowed("\"abc\""));
        for other in ["\"x\"", "W/\"abc\"", SAME, "", "*"] {
            assert!(!allowed(other), "{other}");
        }
        assert!(range_allowed(&HeaderMap::new(), &file()));
    }

    #[test]
    fn every_time_of_a_file_is_some_date() {
        for seconds in [i64::MIN, -1, 0, 253_402_300_800, i64::MAX] {
            let shown = date((seconds, 0)).to_string();
            assert!(shown.ends_with(" GMT"), "{shown}");
        }
    }
}

//! The records of a pax header: `<length> <key>=<value>\n`, again and again (POSIX.1-2001, pax(1)).

use super::Broken;

/// What the records before an entry say of it.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub path: Option<Vec<u8>>,
    pub link_path: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub modified: Option<(i64, i64)>,
}

impl Records {
    /// Nothing that would change an entry.
    pub fn is_empty(&self) -> bool {
        self.path.is_none() && self.link_path.is_none() && self.size.is_none()
    }

    /// Takes over what `data` says.
    pub fn read(&mut self, mut data: &[u8]) -> Result<(), Broken> {
        while !data.is_empty() {
            let (key, value, rest) = record(data).ok_or_else(damaged)?;
            data = rest;
            match key {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.link_path = Some(value.to_vec()),
                b"size" => self.size = Some(number(value).ok_or_else(damaged)?),
                b"mtime" => self.modified = Some(time(value).ok_or_else(damaged)?),
                sparse if sparse.starts_with(b"GNU.sparse.") => {
                    let why = "has a sparse file in GNU's own form; make it without --sparse";
                    return Err(Broken::archive(why));
                }
                // Owners become the destination's; the rest is not kept.
                _ => {}
            }
        }
        Ok(())
    }
}

fn damaged() -> Broken {
    Broken::archive("has a damaged pax header")
}

fn record(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = data.iter().take(20).position(|b| *b == b' ')?;
    let length = usize::try_from(number(&data[..space])?).ok()?;
    if length > data.len() || length < space + 3 {
        return None;
    }
    let (record, rest) = data.split_at(length);
    let record = record[space + 1..].strip_suffix(b"\n")?;
    let equals = record.iter().position(|b| *b == b'=')?;
    Some((&record[..equals], &record[equals + 1..], rest))
}

fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Seconds with as many decimals as anybody likes, of which nine count.
fn time(text: &[u8]) -> Option<(i64, i64)> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut parts = text.splitn(2, |b| *b == b'.');
    let whole = i64::try_from(number(parts.next()?)?).ok()?;
    let decimals = parts.next().unwrap_or_default();
    if !decimals.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = decimals.iter().chain(std::iter::repeat(&b'0')).take(9);
    let nanos = digits.fold(0, |nanos, digit| nanos * 10 + i64::from(digit - b'0'));
    Some(match (negative, nanos) {
        (false, nanos) => (whole, nanos),
        (true, 0) => (-whole, 0),
        (true, nanos) => (-whole - 1, 1_000_000_000 - nanos),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn records_are_read_and_what_is_damaged_is_told() {
        let mut records = Records::default();
        records
            .read(b"9 path=a\n22 mtime=1.5000000001\n13 size=9000\n")
            .unwrap();
        assert_eq!(records.path.as_deref(), Some(&b"a"[..]));
        assert_eq!(
            (records.modified, records.size),
            (Some((1, 500_000_000)), Some(9000))
        );
        for damaged in [
            &b"9 path=a"[..],
            b"8 path=a\n",
            b"99 path=a\n",
            b"x path=a\n",
            b"3 =\n",
            b"18446744073709551615 path=a\n",
            b"14 size=18446744073709551616\n",
            b"11 size=-1\n",
            b"\0\0\0",
        ] {
            assert!(
                Records::default().read(damaged).is_err(),
                "{}",
                damaged.escape_ascii()
            );
        }
    }

    #[test]
    fn times_before_1970_have_their_nanoseconds_ahead() {
        assert_eq!(time(b"-0.75"), Some((-1, 250_000_000)));
        assert_eq!(time(b"-2"), Some((-2, 0)));
        assert_eq!(time(b"1e9"), None);
    }
}

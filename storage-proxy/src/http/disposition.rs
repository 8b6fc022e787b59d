//! Under which name a download is kept (RFC 6266, RFC 8187).

use std::fmt::Write as _;

use http::HeaderValue;

/// `Content-Disposition` of a file of this name: its name in ASCII for old clients, and all of it for the others. Bytes
/// that are no UTF-8 are told as U+FFFD, since RFC 8187 has nothing else.
pub fn attachment(name: &[u8]) -> HeaderValue {
    let name = String::from_utf8_lossy(name);
    let plain: String = name
        .chars()
        .map(|c| match c {
            // Where quoting ends, or where some clients decode what they should not.
            '"' | '\\' | '%' | '/' => '_',
            ' '..='~' => c,
            _ => '_',
        })
        .collect();
    let mut value = format!("attachment; filename=\"{plain}\"");
    if plain != name {
        value.push_str("; filename*=UTF-8''");
        for byte in name.bytes() {
            match byte {
                // RFC 8187's attr-char.
                b'a'..=b'z'
                | b'A'..=b'Z'
                | b'0'..=b'9'
                | b'!'
                | b'#'
                | b'$'
                | b'&'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~' => value.push(char::from(byte)),
                _ => {
                    let _ = write!(value, "%{byte:02X}");
                }
            }
        }
    }
    HeaderValue::try_from(value).unwrap_or_else(|_| HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_ends_the_header_or_loses_itself() {
        for (name, expected) in [
            (&b"a b.txt"[..], "attachment; filename=\"a b.txt\""),
            (
                "é€.txt".as_bytes(),
                "attachment; filename=\"__.txt\"; filename*=UTF-8''%C3%A9%E2%82%AC.txt",
            ),
            (
                b"a\"; x=\"b\\\r\nSet-Cookie: y",
                "attachment; filename=\"a_; x=_b___Set-Cookie: y\"; filename*=UTF-8''a%22%3B%20x%3D%22b%5C%0D%0ASet-Cookie%3A%20y",
            ),
            (
                b"\xff",
                "attachment; filename=\"_\"; filename*=UTF-8''%EF%BF%BD",
            ),
            (
                b"100%41",
                "attachment; filename=\"100_41\"; filename*=UTF-8''100%2541",
            ),
        ] {
            assert_eq!(attachment(name), expected);
        }
    }
}

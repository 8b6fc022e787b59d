//! What a URL names. Paths are bytes: whatever is percent-encoded is decoded to what it stands for, UTF-8 or not, and then
//! checked as every path is.

use http::Uri;
use percent_encoding::percent_decode;
use vfolder_common::{error::Refusal, path::RelativePath};

/// `/v1/vfolders/<id>/…`: the id, as it came.
pub fn vfolder(uri: &Uri) -> &str {
    uri.path().split('/').nth(3).unwrap_or_default()
}

/// `/v1/vfolders/<id>/<kind>/<rest>`: the rest, as it came.
pub fn rest(uri: &Uri) -> &str {
    uri.path().splitn(6, '/').nth(5).unwrap_or_default()
}

/// The path that the rest of a URL names.
///
/// # Errors
/// FIELD_INVALID.
pub fn path(uri: &Uri) -> Result<RelativePath, Refusal> {
    let bytes = decode(rest(uri).as_bytes(), "path")?;
    RelativePath::parse(&bytes).map_err(|error| Refusal::field("path", error.to_string()))
}

/// Every value of a parameter of the query, in their order.
///
/// # Errors
/// FIELD_INVALID.
pub fn parameters(uri: &Uri, name: &str) -> Result<Vec<Vec<u8>>, Refusal> {
    let pairs = uri.query().unwrap_or_default().split('&');
    pairs
        .filter_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then_some(value)
        })
        // As forms are encoded.
        .map(|value| decode(value.replace('+', " ").as_bytes(), name))
        .collect()
}

fn decode(text: &[u8], field: &str) -> Result<Vec<u8>, Refusal> {
    let is_hex = |at: usize| text.get(at).is_some_and(u8::is_ascii_hexdigit);
    let mut signs = text.iter().enumerate().filter(|(_, byte)| **byte == b'%');
    if signs.any(|(at, _)| !is_hex(at + 1) || !is_hex(at + 2)) {
        return Err(Refusal::field(
            field,
            "a '%' must be followed by two hexadecimal digits; a '%' itself is %25",
        ));
    }
    Ok(percent_decode(text).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn uri(rest: &str) -> Uri {
        format!("/v1/vfolders/x/files/{rest}").parse().unwrap()
    }

    #[test]
    fn encoded_bytes_are_the_bytes_that_they_stand_for() {
        for (url, bytes) in [
            ("a/b%20c", &b"a/b c"[..]),
            ("%ff%FE", b"\xff\xfe"),
            ("%C3%A9", "é".as_bytes()),
            ("a%2fb", b"a/b"),
            ("100%25", b"100%"),
            ("a+b", b"a+b"),
            ("", b""),
        ] {
            assert_eq!(path(&uri(url)).unwrap().as_bytes(), bytes, "{url}");
        }
        assert_eq!(vfolder(&uri("a")), "x");
    }

    #[test]
    fn no_encoding_leads_out_or_around() {
        for url in [
            "..",
            "%2e%2e",
            ".%2E/x",
            "a/../b",
            "a%2f..%2f..%2fb",
            "%2fetc",
            "/etc",
            "a//b",
            "a/",
            "a%00b",
            "%",
            "%4",
            "%zz",
            "a/%2e/b",
            "%252e%252e/../x",
        ] {
            assert!(path(&uri(url)).is_err(), "{url}");
        }
        // Encoded twice is a name.
        assert_eq!(path(&uri("%252e%252e")).unwrap().as_bytes(), b"%2e%2e");
    }

    #[test]
    fn parameters_come_in_their_order_and_forms_have_plus_for_a_space() {
        let uri: Uri = "/?path=a+b&grant=x&path=%ff%2Bc&path=".parse().unwrap();
        let paths = parameters(&uri, "path").unwrap();
        assert_eq!(paths, [&b"a b"[..], b"\xff+c", b""]);
        assert!(parameters(&uri, "format").unwrap().is_empty());
        assert!(parameters(&"/?path=%x".parse().unwrap(), "path").is_err());
    }
}

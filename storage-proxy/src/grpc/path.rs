//! Paths and names between bytes and messages: the string is for reading, the bytes are set where the string would not
//! lead back.

use bytes::Bytes;
use vfolder_common::error::Fields;

use crate::tree::RelativePath;

/// The path of a request with a `path` and a `path_bytes` field. None: it is wrong, and `fields` says how.
pub fn read(path: &str, path_bytes: &[u8], fields: &mut Fields) -> Option<RelativePath> {
    read_in("", path, path_bytes, fields)
}

/// As [`read`], of the two fields in a message of the request: `within` is that field's name and a dot.
pub fn read_in(
    within: &str,
    path: &str,
    path_bytes: &[u8],
    fields: &mut Fields,
) -> Option<RelativePath> {
    read_as(&format!("{within}path"), path, path_bytes, fields)
}

/// As [`read`], of the fields `name` and `name`_bytes.
pub fn read_as(
    name: &str,
    path: &str,
    path_bytes: &[u8],
    fields: &mut Fields,
) -> Option<RelativePath> {
    let bytes_name = format!("{name}_bytes");
    if !path.is_empty() && !path_bytes.is_empty() {
        let wrong = format!("leave one of {name} and {bytes_name} empty");
        fields.wrong(bytes_name, wrong);
        return None;
    }
    let (field, bytes) = if path_bytes.is_empty() {
        (name, path.as_bytes())
    } else {
        (bytes_name.as_str(), path_bytes)
    };
    fields.check(field, RelativePath::parse(bytes))
}

/// The two fields of a name or target.
pub fn write(bytes: &[u8]) -> (String, Bytes) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), Bytes::new()),
        Err(_) => (
            String::from_utf8_lossy(bytes).into_owned(),
            Bytes::copy_from_slice(bytes),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_only_where_the_text_does_not_lead_back() {
        assert_eq!(write("é".as_bytes()), ("é".to_owned(), Bytes::new()));
        let (text, bytes) = write(b"\xff1");
        assert_eq!((text.as_str(), &bytes[..]), ("\u{fffd}1", &b"\xff1"[..]));
    }

    #[test]
    fn a_wrong_path_names_the_field_that_it_came_in() {
        for (path, bytes, field) in [
            ("/a", &b""[..], "path"),
            ("", b"../a", "path_bytes"),
            ("a", b"a", "path_bytes"),
        ] {
            let mut fields = Fields::default();
            assert!(read(path, bytes, &mut fields).is_none());
            let text = fields
                .finish()
                .err()
                .map(|refusal| refusal.text().to_owned());
            assert!(
                text.is_some_and(|text| text.starts_with(&format!("{field}:"))),
                "{path}"
            );
        }
    }
}

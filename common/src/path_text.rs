//! Paths as they are kept, in a journal or a column: a text, or the bytes of what is no text.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, SeqAccess, Visitor},
};

use crate::path::RelativePath;

impl Serialize for RelativePath {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(self.as_bytes()) {
            Ok(text) => to.serialize_str(text),
            Err(_) => to.collect_seq(self.as_bytes()),
        }
    }
}

impl<'de> Deserialize<'de> for RelativePath {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Either)
    }
}

struct Either;

impl<'de> Visitor<'de> for Either {
    type Value = RelativePath;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a path relative to a root, as a text or as bytes")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<RelativePath, E> {
        RelativePath::parse(text.as_bytes()).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut bytes: A) -> Result<RelativePath, A::Error> {
        let mut path = Vec::new();
        while let Some(byte) = bytes.next_element()? {
            path.push(byte);
        }
        RelativePath::parse(&path).map_err(A::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn any_path_is_read_back_as_it_was_and_nothing_else_is_read() {
        for path in [&b""[..], b"a/b", b"a\xff/new\nline", "\u{e9}".as_bytes()] {
            let path = RelativePath::parse(path).unwrap();
            let text = serde_json::to_string(&path).unwrap();
            assert_eq!(serde_json::from_str::<RelativePath>(&text).unwrap(), path);
        }
        for wrong in ["\"../a\"", "\"/a\"", "[46,46]", "[256]", "7"] {
            assert!(
                serde_json::from_str::<RelativePath>(wrong).is_err(),
                "{wrong}"
            );
        }
    }
}

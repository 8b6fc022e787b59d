//! Upload-Metadata: what a client says of the file.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use vfolder_common::{error::Refusal, path::RelativePath, token::Grant};

const FIELD: &str = "Upload-Metadata";

/// What is understood of it. Anything else (`filetype`, most often) is kept and told back, and means nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// `filename`: where it is to appear, from the grant's own path.
    pub filename: Option<Vec<u8>>,
    /// `replace`: "true" to replace a file that is there.
    pub replace: bool,
}

/// Reads pairs of a key and a value in base64, divided by commas.
///
/// # Errors
/// FIELD_INVALID.
pub fn read(value: &[u8]) -> Result<Metadata, Refusal> {
    let wrong = |why: &str| Refusal::field(FIELD, why.to_owned());
    let text = std::str::from_utf8(value).map_err(|_| wrong("must be ASCII"))?;
    let mut metadata = Metadata::default();
    for pair in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
        let value = STANDARD
            .decode(value.trim())
            .map_err(|_| wrong("values must be in base64"))?;
        match key {
            "filename" if metadata.filename.is_some() => return Err(wrong("filename comes twice")),
            "filename" => metadata.filename = Some(value),
            "replace" => {
                metadata.replace = match &value[..] {
                    b"true" => true,
                    b"false" => false,
                    _ => return Err(wrong("replace must be \"true\" or \"false\"")),
                }
            }
            _ => {}
        }
    }
    Ok(metadata)
}

impl Metadata {
    /// Where the file is to appear: below what the grant is for, or just there.
    ///
    /// # Errors
    /// FIELD_INVALID.
    pub fn path(&self, grant: &Grant) -> Result<RelativePath, Refusal> {
        let wrong = |why: String| Refusal::field(FIELD, format!("filename {why}"));
        let name = self.filename.as_deref().unwrap_or_default();
        let below = RelativePath::parse(name).map_err(|error| wrong(error.to_string()))?;
        let mut whole = grant.path.clone();
        if !below.is_root() {
            if !whole.is_empty() {
                whole.push(b'/');
            }
            whole.extend_from_slice(below.as_bytes());
        }
        if whole.is_empty() {
            return Err(wrong("is required: where the file is to appear".into()));
        }
        RelativePath::parse(&whole).map_err(|error| wrong(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;
    use uuid::Uuid;
    use vfolder_common::token::GrantMode;

    use super::*;
    use crate::file::in_scope;

    fn grant(path: &[u8]) -> Grant {
        Grant {
            vfolder: Uuid::nil(),
            volume: "local".into(),
            mode: GrantMode::ReadWrite,
            epoch: 1,
            subject: "alice".into(),
            path: path.to_vec(),
        }
    }

    #[test]
    fn what_is_understood_is_read_and_the_rest_passed_over() {
        let read = |text: &str| read(text.as_bytes());
        assert_eq!(
            read("filename d29ybGQudHh0,is_confidential,filetype dGV4dA==, replace dHJ1ZQ==")
                .unwrap(),
            Metadata {
                filename: Some(b"world.txt".to_vec()),
                replace: true,
            }
        );
        assert_eq!(read("").unwrap(), Metadata::default());
        assert_eq!(read("filename /w==").unwrap().filename.unwrap(), b"\xff");
        for wrong in [
            "filename ???",
            "filename YQ==,filename Yg==",
            "replace",
            "replace eWVz",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_file_appears_below_what_the_grant_is_for() {
        let path = |name: Option<&[u8]>, scope: &[u8]| {
            let metadata = Metadata {
                filename: name.map(<[u8]>::to_vec),
                replace: false,
            };
            metadata
                .path(&grant(scope))
                .map(|path| path.as_bytes().to_vec())
        };
        assert_eq!(path(Some(b"x/y"), b"").unwrap(), b"x/y");
        assert_eq!(path(Some(b"x"), b"a/b").unwrap(), b"a/b/x");
        assert_eq!(path(None, b"a/b").unwrap(), b"a/b");
        assert!(path(None, b"").is_err());
        for out in [&b"../x"[..], b"/x", b"a/../../x", b"x/", b"a\0"] {
            assert!(path(Some(out), b"a").is_err());
        }
    }

    proptest! {
        #[test]
        fn no_metadata_leads_out_of_the_scope(value in prop::collection::vec(any::<u8>(), 0..80), name in prop::collection::vec(
            prop_oneof![Just(b'/'), Just(b'.'), any::<u8>()], 0..20,
        )) {
            let scope = grant(b"a/b");
            let _ = read(&value);
            let encoded = format!("filename {}", STANDARD.encode(&name));
            if let Ok(path) = read(encoded.as_bytes()).unwrap().path(&scope) {
                prop_assert!(in_scope(&scope, &path).is_ok());
            }
        }
    }
}

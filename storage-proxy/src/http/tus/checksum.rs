//! Upload-Checksum: what a body has to be.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, StatusCode};
use sha1::{Digest as _, Sha1};
use sha2::Sha256;
use vfolder_common::error::{Reason, Refusal};

use super::headers::UPLOAD_CHECKSUM;
use crate::http::answer::Refused;

/// 460 Checksum Mismatch: tus's own.
const MISMATCH: u16 = 460;

/// A digest under way, and what it has to come to.
pub struct Checksum {
    running: Running,
    expected: Vec<u8>,
}

enum Running {
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Checksum {
    /// What the headers ask for, if anything.
    ///
    /// # Errors
    /// FIELD_INVALID.
    pub fn asked(headers: &HeaderMap) -> Result<Option<Self>, Refusal> {
        let Some(value) = headers.get(UPLOAD_CHECKSUM) else {
            return Ok(None);
        };
        let wrong = |why| Refusal::field("Upload-Checksum", why);
        let text = value.to_str().ok();
        let (algorithm, digest) = text
            .and_then(|text| text.split_once(' '))
            .ok_or_else(|| wrong("must be an algorithm, a space, and a digest in base64"))?;
        let (running, length) = match algorithm {
            "sha1" => (Running::Sha1(Sha1::new()), 20),
            "sha256" => (Running::Sha256(Sha256::new()), 32),
            _ => return Err(wrong("the algorithms are sha1 and sha256")),
        };
        match STANDARD.decode(digest.trim()) {
            Ok(expected) if expected.len() == length => Ok(Some(Self { running, expected })),
            _ => Err(wrong(
                "the digest must be in base64 and as long as the algorithm's",
            )),
        }
    }

    /// More of the body.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.running {
            Running::Sha1(hasher) => hasher.update(bytes),
            Running::Sha256(hasher) => hasher.update(bytes),
        }
    }

    /// The body has ended.
    ///
    /// # Errors
    /// DIGEST_MISMATCH, 460.
    pub fn check(self) -> Result<(), Refused> {
        let same = match self.running {
            Running::Sha1(hasher) => hasher.finalize()[..] == self.expected,
            Running::Sha256(hasher) => hasher.finalize()[..] == self.expected,
        };
        if same {
            return Ok(());
        }
        let text =
            "the bytes are not what Upload-Checksum says, so none of them counts; send them again";
        let refused = Refused::from(Refusal::new(Reason::DigestMismatch, text));
        Err(match StatusCode::from_u16(MISMATCH) {
            Ok(status) => refused.with_status(status),
            Err(_) => refused,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use axum::response::IntoResponse as _;
    use http::HeaderValue;

    use super::*;

    fn asked(value: &str) -> Result<Option<Checksum>, Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert(UPLOAD_CHECKSUM, HeaderValue::from_str(value).unwrap());
        Checksum::asked(&headers)
    }

    #[test]
    fn both_algorithms_tell_the_right_bytes_from_others() {
        // The digests of "abc": FIPS 180-4's examples.
        for value in [
            "sha1 qZk+NkcGgWq6PiVxeFDCbJzQ2J0=",
            "sha256 ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=",
        ] {
            for (parts, right) in [(&["a", "bc"][..], true), (&["abd"], false), (&[], false)] {
                let mut checksum = asked(value).unwrap().unwrap();
                for part in parts {
                    checksum.update(part.as_bytes());
                }
                match checksum.check() {
                    Ok(()) => assert!(right),
                    Err(refused) => {
                        assert!(!right);
                        assert_eq!(refused.into_response().status(), MISMATCH);
                    }
                }
            }
        }
    }

    #[test]
    fn a_checksum_that_can_not_be_checked_is_refused_before_the_body() {
        for wrong in [
            "md5 AAAA",
            "sha1",
            "sha1 ???",
            "sha1 AAAA",
            "sha256 qZk+NkcGgWq6PiVxeFDCbJzQ2J0=",
        ] {
            assert!(asked(wrong).is_err(), "{wrong}");
        }
        assert!(Checksum::asked(&HeaderMap::new()).unwrap().is_none());
    }
}

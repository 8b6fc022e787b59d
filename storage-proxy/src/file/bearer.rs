//! Who bears a grant: read from wherever a call may carry one, and verified in one place.

use vfolder_common::{
    error::{Reason, Refusal},
    token::{GRANT_HEADER, Grant, SharedSecret},
};

/// The header by which HTTP knows bearers (RFC 6750).
const AUTHORIZATION: &str = "authorization";
const SCHEME: &str = "bearer";

/// The grant of a call, from its headers: `vfolder-grant`, as the manager sends it, or `authorization: Bearer`.
///
/// # Errors
/// GRANT_MISSING; GRANT_INVALID.
pub fn bearer<'a>(
    secret: &SharedSecret,
    header: impl Fn(&str) -> Option<&'a [u8]>,
) -> Result<Grant, Refusal> {
    let token = match header(GRANT_HEADER) {
        Some(token) => Some(token),
        None => header(AUTHORIZATION).and_then(token_of),
    };
    let token = token.ok_or_else(|| {
        Refusal::new(
            Reason::GrantMissing,
            "the call came without a grant: get one from the manager by CreateGrant, and send it as \"authorization: Bearer <token>\"; or call the manager, which forwards to here",
        )
    })?;
    verified(secret, token)
}

/// The grant that a token is.
///
/// # Errors
/// GRANT_INVALID.
pub fn verified(secret: &SharedSecret, token: &[u8]) -> Result<Grant, Refusal> {
    let invalid = |why: &dyn std::fmt::Display| {
        let text = format!("the grant is not accepted ({why}): get a new one by CreateGrant");
        Refusal::new(Reason::GrantInvalid, text)
    };
    let token = std::str::from_utf8(token).map_err(|_| invalid(&"it is not text"))?;
    secret.verify_grant(token).map_err(|error| invalid(&error))
}

/// What follows "Bearer ".
fn token_of(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.split_at_checked(SCHEME.len())?;
    let token = token.strip_prefix(b" ")?;
    scheme
        .eq_ignore_ascii_case(SCHEME.as_bytes())
        .then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::time::Duration;

    use proptest::prelude::*;
    use uuid::Uuid;
    use vfolder_common::token::GrantMode;

    use super::*;

    fn secret() -> SharedSecret {
        SharedSecret::new(&[7; 32]).unwrap()
    }

    fn grant() -> Grant {
        Grant {
            vfolder: Uuid::from_u128(1),
            volume: "local".into(),
            mode: GrantMode::ReadOnly,
            epoch: 3,
            subject: "alice".into(),
            path: b"a/\xff".to_vec(),
        }
    }

    fn token() -> String {
        secret()
            .sign_grant(&grant(), Duration::from_secs(60))
            .unwrap()
    }

    #[test]
    fn a_grant_is_taken_from_either_header_and_the_managers_wins() {
        let secret = secret();
        let token = token();
        for scheme in ["Bearer", "bearer", "BEARER"] {
            let value = format!("{scheme} {token}");
            let read = bearer(&secret, |name| {
                (name == AUTHORIZATION).then_some(value.as_bytes())
            });
            assert_eq!(read.unwrap(), grant());
        }
        let both = bearer(&secret, |name| {
            Some(if name == GRANT_HEADER {
                token.as_bytes()
            } else {
                b"Bearer x"
            })
        });
        assert_eq!(both.unwrap(), grant());
        for wrong in [&b"Basic eDp5"[..], b"Bearer", b"Bearerx", b""] {
            let read = bearer(&secret, |name| (name == AUTHORIZATION).then_some(wrong));
            assert_eq!(read.unwrap_err().reason(), Reason::GrantMissing);
        }
    }

    proptest! {
        #[test]
        fn whatever_was_not_signed_is_refused(garbage in prop::collection::vec(any::<u8>(), 0..400)) {
            let refused = verified(&secret(), &garbage).unwrap_err();
            prop_assert_eq!(refused.reason(), Reason::GrantInvalid);
        }

        #[test]
        fn three_parts_of_base64_are_no_grant_either(token in "[A-Za-z0-9_-]{0,80}\\.[A-Za-z0-9_-]{0,200}\\.[A-Za-z0-9_-]{0,60}") {
            prop_assert!(verified(&secret(), token.as_bytes()).is_err());
        }

        #[test]
        fn a_flipped_bit_is_refused(at in any::<prop::sample::Index>(), bit in 0..8_u32) {
            let mut token = token().into_bytes();
            let at = at.index(token.len());
            token[at] ^= 1 << bit;
            prop_assert!(verified(&secret(), &token).is_err(), "byte {}", at);
        }

        #[test]
        fn a_shortened_or_lengthened_token_is_refused(cut in 1..100_usize, more in "[A-Za-z0-9_.-]{1,8}") {
            let token = token();
            prop_assert!(verified(&secret(), &token.as_bytes()[..token.len() - cut]).is_err());
            let longer = format!("{token}{more}");
            prop_assert!(verified(&secret(), longer.as_bytes()).is_err());
        }

        #[test]
        fn what_was_signed_comes_back_and_nothing_else(
            path in prop::collection::vec(any::<u8>(), 0..60), epoch in any::<i64>(), volume in "\\PC{0,20}", write in any::<bool>(),
        ) {
            let mode = if write { GrantMode::ReadWrite } else { GrantMode::ReadOnly };
            let signed = Grant { path, epoch, volume, mode, ..grant() };
            let token = secret().sign_grant(&signed, Duration::from_secs(60)).unwrap();
            prop_assert_eq!(verified(&secret(), token.as_bytes()).unwrap(), signed);
            let other = SharedSecret::new(&[8; 32]).unwrap();
            prop_assert!(verified(&other, token.as_bytes()).is_err());
        }
    }
}

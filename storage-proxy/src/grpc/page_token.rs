//! Page tokens of ListFiles: the last name of the page before, bound to the directory that was listed.
//!
//! In hexadecimal: an FNV-1a hash (8 bytes, over vfolder, path and name), then the name. The hash tells mistakes; a forged
//! token leads nowhere that its bearer could not list anyway.

use std::ffi::{CStr, CString};

use uuid::Uuid;

use crate::tree::{RelativePath, path::NAME_MAX};

/// The token of the page after `name`.
pub fn write(vfolder: Uuid, path: &RelativePath, name: &CStr) -> String {
    let hash = hash(vfolder, path, name.to_bytes());
    hash.to_be_bytes()
        .iter()
        .chain(name.to_bytes())
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The name in a token; nothing if it is not one of that directory.
pub fn read(vfolder: Uuid, path: &RelativePath, token: &str) -> Option<CString> {
    if !token.len().is_multiple_of(2) || token.len() > 2 * (NAME_MAX + 8) || !token.is_ascii() {
        return None;
    }
    let digits = token.as_bytes().chunks_exact(2);
    let bytes: Option<Vec<u8>> = digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    let bytes = bytes?;
    let (claimed, name) = bytes.split_at_checked(8)?;
    (claimed == hash(vfolder, path, name).to_be_bytes()).then_some(())?;
    CString::new(name).ok()
}

/// FNV-1a, 64 bits (draft-eastlake-fnv).
fn hash(vfolder: Uuid, path: &RelativePath, name: &[u8]) -> u64 {
    // A NUL occurs in neither path nor name.
    let parts = [vfolder.as_bytes(), path.as_bytes(), b"\0", name];
    parts
        .iter()
        .flat_map(|part| part.iter())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_token_leads_back_to_its_name_and_from_nowhere_else(
            name in prop::collection::vec(1_u8.., 1..=255), garbage in "\\PC{0,40}",
        ) {
            let id = Uuid::from_u128(7);
            let here = RelativePath::parse(b"a/b").unwrap();
            let name = CString::new(name).unwrap();
            let token = write(id, &here, &name);
            prop_assert_eq!(read(id, &here, &token).unwrap(), name);
            prop_assert_eq!(read(id, &RelativePath::root(), &token), None);
            prop_assert_eq!(read(Uuid::from_u128(8), &here, &token), None);
            prop_assert_eq!(read(id, &here, &garbage), None);
            prop_assert_eq!(read(id, &here, &token[..token.len() - 2]), None);
        }
    }
}

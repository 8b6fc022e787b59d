//! Relative paths that name nothing outside the directory they are resolved in: what the manager puts into grants and the
//! storage-proxy opens.

use std::{ffi::CString, fmt};

use thiserror::Error;

use crate::error::encoded;

/// Longest component in bytes (`NAME_MAX`, limits.h).
pub const NAME_MAX: usize = 255;
/// Longest path in bytes with its final NUL (`PATH_MAX`, limits.h).
pub const PATH_MAX: usize = 4096;

/// What is wrong with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PathError {
    /// It begins with '/'.
    #[error("must be relative to the vfolder's root: leave out the leading '/'")]
    Absolute,
    /// It has a ".." component.
    #[error("must not contain \"..\": name the path from the vfolder's root")]
    Parent,
    /// It has a "." component and is not just ".".
    #[error("must not contain \".\" components: leave them out")]
    Current,
    /// It has "//" in it or ends in '/'.
    #[error("must not have empty components: leave out doubled and trailing '/'")]
    EmptyComponent,
    /// It has a NUL byte.
    #[error("must not contain NUL bytes")]
    Nul,
    /// A component is longer than [`NAME_MAX`].
    #[error("has a component of more than {NAME_MAX} bytes")]
    NameTooLong,
    /// It is longer than [`PATH_MAX`] allows.
    #[error("must be shorter than {PATH_MAX} bytes")]
    TooLong,
}

/// A valid path relative to a root: components divided by '/', none of them empty, "." or "..". Empty: the root. In byte
/// order: a directory comes before what is in it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelativePath(Vec<u8>);

impl RelativePath {
    /// The root itself.
    #[must_use]
    pub fn root() -> Self {
        Self(Vec::new())
    }

    /// Checks `bytes`; "" and "." are the root.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn parse(bytes: &[u8]) -> Result<Self, PathError> {
        if bytes.is_empty() || bytes == b"." {
            return Ok(Self::root());
        }
        if bytes.len() >= PATH_MAX {
            return Err(PathError::TooLong);
        }
        if bytes.contains(&0) {
            return Err(PathError::Nul);
        }
        if bytes.starts_with(b"/") {
            return Err(PathError::Absolute);
        }
        for component in bytes.split(|b| *b == b'/') {
            match component {
                b"" => return Err(PathError::EmptyComponent),
                b"." => return Err(PathError::Current),
                b".." => return Err(PathError::Parent),
                long if long.len() > NAME_MAX => return Err(PathError::NameTooLong),
                _ => {}
            }
        }
        Ok(Self(bytes.to_vec()))
    }

    /// Whether this is the root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The path's bytes; empty for the root.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The components from the root down.
    pub fn components(&self) -> impl Iterator<Item = CString> + '_ {
        self.0
            .split(|b| *b == b'/')
            .filter(|c| !c.is_empty())
            // Parsed paths hold no NUL, so nothing is dropped here.
            .filter_map(|c| CString::new(c).ok())
    }

    /// Whether this is somewhere below `other`.
    #[must_use]
    pub fn is_below(&self, other: &Self) -> bool {
        match self.0.strip_prefix(other.0.as_slice()) {
            Some(rest) if other.is_root() => !rest.is_empty(),
            Some(rest) => rest.starts_with(b"/"),
            None => false,
        }
    }

    /// The containing directory and the last component; none for the root.
    #[must_use]
    pub fn split_last(&self) -> Option<(Self, CString)> {
        let (parent, name) = match self.0.iter().rposition(|b| *b == b'/') {
            Some(at) => (&self.0[..at], &self.0[at + 1..]),
            None => (&self.0[..0], &self.0[..]),
        };
        if name.is_empty() {
            return None;
        }
        Some((Self(parent.to_vec()), CString::new(name).ok()?))
    }
}

impl fmt::Display for RelativePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.0))
    }
}

/// A path for people, in a text that has to be short: what is no UTF-8 is replaced, and of a long one only the end is there,
/// which says more than the beginning. The root is ".".
pub fn shown(path: &[u8]) -> String {
    /// Bytes of a header, where such texts travel, also as the name of what a refusal is about.
    const ROOM: usize = 360;
    if path.is_empty() {
        return ".".to_owned();
    }
    let text = String::from_utf8_lossy(path);
    let mut taken = 0;
    let over = text.char_indices().rev().find(|(_, c)| {
        taken += encoded(*c);
        taken > ROOM
    });
    match over {
        None => text.into_owned(),
        Some((at, c)) => format!("…{}", text.get(at + c.len_utf8()..).unwrap_or_default()),
    }
}

impl fmt::Debug for RelativePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_rule_has_its_error() {
        let long = [b'a'; NAME_MAX + 1];
        let whole = b"a/".repeat(PATH_MAX / 2);
        for (bytes, error) in [
            (&b"/a"[..], PathError::Absolute),
            (b"/", PathError::Absolute),
            (b"a/../b", PathError::Parent),
            (b"..", PathError::Parent),
            (b"a/./b", PathError::Current),
            (b"a//b", PathError::EmptyComponent),
            (b"a/", PathError::EmptyComponent),
            (b"a\0b", PathError::Nul),
            (&long, PathError::NameTooLong),
            (&whole, PathError::TooLong),
        ] {
            assert_eq!(
                RelativePath::parse(bytes),
                Err(error),
                "{}",
                bytes.escape_ascii()
            );
        }
    }

    #[test]
    fn empty_and_dot_are_the_root() {
        for bytes in [&b""[..], b"."] {
            let path = RelativePath::parse(bytes).unwrap();
            assert!(path.is_root());
            assert!(path.split_last().is_none());
            assert_eq!(path.components().count(), 0);
        }
    }

    #[test]
    fn names_that_only_look_special_are_fine() {
        for bytes in [
            &b"..."[..],
            b".hidden",
            b"a..b",
            b"new\nline",
            b"\xff\xfe",
            b" ",
            b"-rf",
        ] {
            assert_eq!(RelativePath::parse(bytes).unwrap().as_bytes(), bytes);
        }
    }

    proptest! {
        #[test]
        fn whatever_parses_has_only_plain_components(bytes in prop::collection::vec(
            prop_oneof![Just(b'/'), Just(b'.'), Just(0_u8), any::<u8>()], 0..40,
        )) {
            if let Ok(path) = RelativePath::parse(&bytes) {
                let parts: Vec<_> = path.components().collect();
                for part in &parts {
                    let part = part.as_bytes();
                    prop_assert!(!part.is_empty() && part != b"." && part != b".." && !part.contains(&b'/'));
                }
                let joined = parts.iter().map(|p| p.as_bytes()).collect::<Vec<_>>().join(&b'/');
                prop_assert_eq!(path.as_bytes(), &joined[..]);
                prop_assert_eq!(&RelativePath::parse(path.as_bytes()).unwrap(), &path);
                if let Some((parent, name)) = path.split_last() {
                    let mut again: Vec<_> = parent.components().collect();
                    again.push(name);
                    prop_assert_eq!(again, parts);
                }
            }
        }

        #[test]
        fn a_path_with_a_dot_dot_component_never_parses(
            before in "[a-z/]{0,8}", after in "(/[a-z]{0,8})?",
        ) {
            let path = if before.is_empty() { format!("..{after}") } else { format!("{before}/..{after}") };
            prop_assert!(RelativePath::parse(path.as_bytes()).is_err());
        }
    }
}

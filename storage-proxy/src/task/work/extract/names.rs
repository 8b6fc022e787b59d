//! Names in archives.

use vfolder_common::path::PATH_MAX;

use crate::{archive::Broken, tree::RelativePath};

/// Where an entry goes, from the destination, whose own path has so many bytes. The leading "./" that tar leaves in names,
/// and the '/' at a directory's end, are as good as not there; all else is as strict as for any path.
pub(super) fn path_of(name: &[u8], destination: usize) -> Result<RelativePath, Broken> {
    let mut rest = name;
    while let Some(shorter) = rest.strip_prefix(b"./") {
        rest = shorter;
    }
    if let Some(shorter) = rest.strip_suffix(b"/")
        && !shorter.is_empty()
    {
        rest = shorter;
    }
    if name.is_empty() {
        return Err(Broken::archive("has an entry without a name"));
    }
    let path = RelativePath::parse(rest).map_err(|error| {
        Broken::entry(name, format!("has a name that leads nowhere: it {error}"))
    })?;
    if destination + 1 + path.as_bytes().len() >= PATH_MAX {
        let why = format!("has too long a path: all of it must be shorter than {PATH_MAX} bytes");
        return Err(Broken::entry(name, why));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn only_what_stays_inside_is_a_path() {
        for (name, path) in [
            (&b"a/b"[..], &b"a/b"[..]),
            (b"./a", b"a"),
            (b"././a/", b"a"),
            (b"./", b""),
            (b".", b""),
            (b"a\\..\\b", b"a\\..\\b"),
            (b"\xff\n", b"\xff\n"),
        ] {
            assert_eq!(path_of(name, 0).unwrap().as_bytes(), path);
        }
        let long = b"a/".repeat(2_000);
        for name in [
            &b""[..],
            b"/",
            b"/etc/passwd",
            b"//a",
            b"..",
            b"a/..",
            b"./../a",
            b"a/../../b",
            b".//a",
            b"a/./b",
            b"a//b",
            b"a\0b",
            &[b'a'; 256],
            &[&long[..], &long[..]].concat(),
        ] {
            assert!(path_of(name, 0).is_err(), "{}", name.escape_ascii());
        }
        assert!(path_of(&long, 0).is_ok() && path_of(&long, 100).is_err());
    }
}

//! The etag of a file: what tells one state of it from another.

use crate::tree::Meta;

/// Hexadecimal digits of an etag are twice this.
const LENGTH: usize = 16;

/// Another after each change of the file's data or attributes, and the same on whatever device the volume is mounted from:
/// made of the inode number, the size, and both times of change in nanoseconds. As precise as the filesystem's clock: two
/// changes within one of its ticks (some milliseconds) may look like one.
#[must_use]
pub fn etag(meta: &Meta) -> String {
    let mut hasher = blake3::Hasher::new();
    for number in [meta.id.ino, meta.size] {
        hasher.update(&number.to_le_bytes());
    }
    for (seconds, nanos) in [meta.modified, meta.changed] {
        hasher.update(&seconds.to_le_bytes());
        hasher.update(&nanos.to_le_bytes());
    }
    let mut etag = hasher.finalize().to_hex().to_string();
    etag.truncate(2 * LENGTH);
    etag
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::{fs, os::unix::fs::PermissionsExt as _};

    use rustix::fs::fstat;

    use super::*;

    #[test]
    fn each_change_of_a_file_changes_its_etag_and_reading_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, "a").unwrap();
        let now = || Meta::from(fstat(fs::File::open(&path).unwrap()).unwrap());
        let first = etag(&now());
        fs::read(&path).unwrap();
        assert_eq!(etag(&now()), first);
        fs::write(&path, "ab").unwrap();
        let (second, before) = (etag(&now()), now().changed);
        assert_ne!(second, first);
        // Beyond the tick of the filesystem's clock.
        while now().changed == before {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        }
        assert_ne!(etag(&now()), second);
        assert_eq!(first.len(), 32);
    }
}

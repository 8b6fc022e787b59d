//! Which files are in the archive under another name already.
//!
//! A file's number alone does not tell: of one whose names are all gone, the next file may get it. So it has to be as large,
//! and written at the same moment, as what is in the archive. (Not changed at the same moment: so is a file whose other name
//! goes.)

use std::collections::HashMap;

use crate::tree::{Meta, meta::FileId};

/// Files with several names that are remembered at once. Beyond, a name is another copy of its file.
const REMEMBERED: usize = 100_000;
/// Bytes of their names.
const NAMES: usize = 32 << 20;

#[derive(Debug, Default)]
pub(super) struct Links {
    first: HashMap<FileId, First>,
    bytes: usize,
}

/// How large, and when written.
type Content = (u64, (i64, i64));

#[derive(Debug)]
struct First {
    name: Vec<u8>,
    content: Content,
    /// Names that are still to come, if all are in what is put into the archive.
    left: u64,
}

impl Links {
    /// The name under which the file is in the archive already.
    pub fn find(&mut self, meta: &Meta) -> Option<Vec<u8>> {
        let first = self.first.get_mut(&meta.id)?;
        let is_same = first.content == content(meta);
        first.left = first.left.saturating_sub(1);
        if is_same && first.left > 0 {
            return Some(first.name.clone());
        }
        let first = self.first.remove(&meta.id)?;
        self.bytes -= first.name.len();
        is_same.then_some(first.name)
    }

    /// It is in the archive now, under that name.
    pub fn note(&mut self, meta: &Meta, name: &[u8]) {
        if meta.links < 2 || self.first.len() >= REMEMBERED || self.bytes + name.len() > NAMES {
            return;
        }
        self.bytes += name.len();
        let first = First {
            name: name.to_vec(),
            content: content(meta),
            left: meta.links - 1,
        };
        self.first.insert(meta.id, first);
    }
}

fn content(meta: &Meta) -> Content {
    (meta.size, meta.modified)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::fs;

    use rustix::fs::stat;

    use super::*;

    #[test]
    fn a_file_is_known_by_its_number_and_its_contents() {
        let dir = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| dir.path().join(name));
        fs::write(&one, "one").unwrap();
        fs::hard_link(&one, &other).unwrap();
        let meta = Meta::from(stat(&one).unwrap());
        let mut links = Links::default();
        assert_eq!(links.find(&meta), None);
        links.note(&meta, b"one");
        assert_eq!(links.find(&meta).unwrap(), b"one");
        // All its names are in the archive.
        assert_eq!((links.find(&meta), links.bytes), (None, 0));
        links.note(&meta, b"one");
        // Its number is another file's by now.
        let anew = Meta {
            size: meta.size + 1,
            ..meta
        };
        assert_eq!((links.find(&anew), links.bytes), (None, 0));
        links.note(&anew, b"anew");
        assert_eq!(links.find(&anew).unwrap(), b"anew");
    }
}

//! Which files are in the archive under another name already.

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

#[derive(Debug)]
struct First {
    name: Vec<u8>,
    /// Names that are still to come, if all are in what is put into the archive.
    left: u64,
}

impl Links {
    /// The name under which the file is in the archive already.
    pub fn find(&mut self, meta: &Meta) -> Option<Vec<u8>> {
        let first = self.first.get_mut(&meta.id)?;
        first.left = first.left.saturating_sub(1);
        if first.left > 0 {
            return Some(first.name.clone());
        }
        let first = self.first.remove(&meta.id)?;
        self.bytes -= first.name.len();
        Some(first.name)
    }

    /// It is in the archive now, under that name.
    pub fn note(&mut self, meta: &Meta, name: &[u8]) {
        if meta.links < 2 || self.first.len() >= REMEMBERED || self.bytes + name.len() > NAMES {
            return;
        }
        self.bytes += name.len();
        let first = First {
            name: name.to_vec(),
            left: meta.links - 1,
        };
        self.first.insert(meta.id, first);
    }
}

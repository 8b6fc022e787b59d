//! A page of a directory, in memory that depends on neither its width nor the page's number.

use std::os::fd::AsFd as _;

use rustix::fs::fstat;

use super::{
    Entry, Fault, Meta, Order, Position, Reading, RelativePath, TreeRoot, entry::describe,
    error::system,
};

/// Bytes that a page takes as a message: with what was forgotten here, it stays below 4 MiB, which is the most that gRPC
/// clients accept unless told otherwise.
const MOST_TOLD: usize = 3_500_000;
/// Of all of an entry but its name, path and target: numbers, times, an etag, and the fields' tags.
const TOLD_OF_EACH: usize = 160;

/// Part of a directory.
#[derive(Clone, Debug)]
pub struct Page {
    /// In order. Fewer than asked for if their names and targets are long.
    pub entries: Vec<Entry>,
    /// Where the next page begins: after this. Nothing on the last page.
    pub next_after: Option<Position>,
    /// How many entries the directory had in all when its names were read.
    pub total: u64,
}

impl TreeRoot {
    /// The `size` entries of the directory at `path` that come next after `after`. Looks closer at the page's entries only,
    /// unless the order asks for more.
    ///
    /// # Errors
    /// As [`TreeRoot::directory`], and what getdents64(2) and stat(2) say.
    pub fn list(
        &self,
        path: &RelativePath,
        order: Order,
        after: Option<Position>,
        size: usize,
        reading: Reading<'_>,
    ) -> Result<Page, Fault> {
        let directory = self.directory(path)?;
        let id = Meta::from(fstat(&directory).map_err(system("fstat"))?).id;
        let mut told = Told::default();
        let (mut entries, mut last) = (Vec::new(), after);
        loop {
            let names = reading.names(directory.as_fd(), id, order, last.as_ref())?;
            let total = names.total();
            let mut at = names.first_after(last.as_ref());
            while let Some(name) = names.get(at) {
                reading.control.check()?;
                let end = |entries, next_after| {
                    reading.shelf.keep(id, order, &names, at);
                    Ok(Page {
                        entries,
                        next_after,
                        total,
                    })
                };
                if entries.len() == size {
                    return end(entries, last);
                }
                match describe(&directory, name.name.to_owned()) {
                    Ok(entry) => {
                        if !told.has_room(&entry, b"") && !entries.is_empty() {
                            return end(entries, last);
                        }
                        entries.push(entry);
                    }
                    Err(Fault::Gone) => {}
                    Err(fault) => return Err(fault),
                }
                last = Some(name.position());
                at += 1;
            }
            match names.rest_after() {
                None => {
                    return Ok(Page {
                        entries,
                        next_after: None,
                        total,
                    });
                }
                rest => last = rest,
            }
        }
    }
}

/// How much of a page is told.
#[derive(Debug, Default)]
pub(super) struct Told(usize);

impl Told {
    /// Whether the entry still has room in the page.
    pub fn has_room(&mut self, entry: &Entry, path: &[u8]) -> bool {
        let target = entry.target.as_deref().map_or(0, |t| told(t.to_bytes()));
        self.0 += TOLD_OF_EACH + told(entry.name.to_bytes()) + told(path) + target;
        self.0 <= MOST_TOLD
    }
}

/// Bytes that it takes to tell of a name: what is not UTF-8 is told twice, once with U+FFFD, of three bytes, for each byte.
fn told(name: &[u8]) -> usize {
    match std::str::from_utf8(name) {
        Ok(text) => text.len(),
        Err(_) => 4 * name.len(),
    }
}

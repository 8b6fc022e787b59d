//! The names of inodes with several links. Which of them are in the tree is known only at the end, and then they have to
//! be in an order that doesn't depend on the way: so each name is noted, and the notes are sorted, in runs on disk where
//! there are many.

use std::{
    borrow::Cow,
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    fs::File,
    io::{self, Write as _},
    os::unix::fs::FileExt as _,
};

use rustix::io::Errno;

use super::{
    domain::Hash,
    lattice::Sum,
    record::{Body, PathDigest},
};
use crate::tree::{Control, Fault, meta::FileId};

/// Where notes go that memory has no room for: a file without a name, open for reading and writing. Asked for once, and
/// only if it is needed.
pub type Scratch<'a> = dyn Fn() -> io::Result<File> + Sync + 'a;

/// Notes in memory, of 57 bytes each: 4 MB.
const NOTES: usize = 64 * 1024;
/// Inodes of which it is remembered that their content was read. Beyond, it is read once for each name.
const REMEMBERED: usize = 128 * 1024;
/// Notes of a run that are read at once.
const READ: usize = 128;

/// Device and inode, [`BODY`] or [`PATH`], digest, and of a body its bytes: all big-endian, so that they sort as bytes,
/// a group's bodies before its paths.
type Note = [u8; SIZE];
const SIZE: usize = 16 + 1 + 32 + 8;
const BODY: u8 = 0;
const PATH: u8 = 1;

/// The notes of one tree.
pub struct Links<'a> {
    scratch: &'a Scratch<'a>,
    limit: usize,
    notes: Vec<Note>,
    runs: Option<Runs>,
    /// How many more names there may be.
    awaited: HashMap<FileId, u64>,
}

/// Sorted notes, run after run, all of the same length.
struct Runs {
    file: File,
    count: u64,
}

impl<'a> Links<'a> {
    pub fn new(scratch: &'a Scratch<'a>) -> Self {
        Self {
            scratch,
            limit: NOTES,
            notes: Vec::new(),
            runs: None,
            awaited: HashMap::new(),
        }
    }

    /// Whether the inode's body is noted, or somebody is about to, as far as that is remembered. Whoever is told that
    /// it isn't is to note it, and every name.
    pub fn is_known(&mut self, id: FileId, links: u64) -> bool {
        match self.awaited.get_mut(&id) {
            Some(awaited) => {
                *awaited -= 1;
                if *awaited == 0 {
                    self.awaited.remove(&id);
                }
                true
            }
            None => {
                if self.awaited.len() < REMEMBERED {
                    self.awaited.insert(id, links.saturating_sub(1).max(1));
                }
                false
            }
        }
    }

    /// The inode vanished before its body was read.
    pub fn forget(&mut self, id: FileId) {
        self.awaited.remove(&id);
    }

    /// Notes an inode's body.
    pub fn note_body(&mut self, id: FileId, body: &Body) -> Result<(), Fault> {
        self.note(id, BODY, &body.hash, body.bytes)
    }

    /// Notes an inode's name.
    pub fn note_path(&mut self, id: FileId, path: &PathDigest) -> Result<(), Fault> {
        self.note(id, PATH, &path.0, 0)
    }

    fn note(&mut self, id: FileId, kind: u8, hash: &Hash, bytes: u64) -> Result<(), Fault> {
        if self.notes.len() == self.limit {
            self.spill().map_err(|error| scratched(&error))?;
        }
        let mut note = [0; SIZE];
        note[..8].copy_from_slice(&id.dev.to_be_bytes());
        note[8..16].copy_from_slice(&id.ino.to_be_bytes());
        note[16] = kind;
        note[17..49].copy_from_slice(hash);
        note[49..].copy_from_slice(&bytes.to_be_bytes());
        self.notes.push(note);
        Ok(())
    }

    fn spill(&mut self) -> io::Result<()> {
        self.notes.sort_unstable();
        let runs = match &mut self.runs {
            Some(runs) => runs,
            none => none.insert(Runs {
                file: (self.scratch)()?,
                count: 0,
            }),
        };
        runs.file.write_all(self.notes.as_flattened())?;
        runs.count += 1;
        self.notes.clear();
        Ok(())
    }

    /// Adds each inode to the sum, its body and then its names, ascending by their digests. An inode of which only names
    /// are noted has vanished, and is left out.
    pub fn sum_up(&mut self, sum: &mut Sum, control: &Control) -> Result<Linked, Fault> {
        let mut linked = Linked::default();
        let mut group = None;
        let mut last = None;
        self.sorted(|note| {
            if control.stopped() {
                return false;
            }
            let id = &note[..16];
            let is_new = group.as_ref().is_none_or(|group: &[u8; 16]| group != id);
            if note[16] == BODY && is_new {
                if group.is_some() {
                    sum.add();
                }
                group = id.try_into().ok();
                sum.update(&note[17..49]);
                linked.bytes += note[49..]
                    .iter()
                    .fold(0, |all, byte| all << 8 | u64::from(*byte));
            } else if note[16] == PATH && !is_new && last != Some(*note) {
                // A directory that a writer changes may show a name twice.
                sum.update(&note[17..49]);
                linked.entries += 1;
            }
            last = Some(*note);
            true
        })
        .map_err(|error| scratched(&error))?;
        control.check()?;
        if group.is_some() {
            sum.add();
        }
        Ok(linked)
    }

    /// Until one is the last that is wanted.
    fn sorted(&mut self, mut visit: impl FnMut(&Note) -> bool) -> io::Result<()> {
        self.notes.sort_unstable();
        let Some(Runs { file, count }) = &self.runs else {
            self.notes.iter().all(visit);
            return Ok(());
        };
        let mut sources: Vec<Source<'_>> = (0..*count)
            .map(|run| Source::run(file, run * self.limit as u64, self.limit))
            .collect();
        sources.push(Source::memory(&self.notes));
        let mut next = BinaryHeap::new();
        for (at, source) in sources.iter_mut().enumerate() {
            next.extend(source.next()?.map(|note| Reverse((note, at))));
        }
        while let Some(Reverse((note, at))) = next.pop() {
            if !visit(&note) {
                break;
            }
            next.extend(sources[at].next()?.map(|note| Reverse((note, at))));
        }
        Ok(())
    }
}

/// What was added of inodes with several links.
#[derive(Clone, Copy, Debug, Default)]
pub struct Linked {
    /// Their names.
    pub entries: u64,
    /// Their bytes, each inode once.
    pub bytes: u64,
}

/// A sorted sequence, of which a part is in memory.
struct Source<'a> {
    buffer: Cow<'a, [Note]>,
    at: usize,
    file: Option<&'a File>,
    position: u64,
    left: usize,
}

impl<'a> Source<'a> {
    fn run(file: &'a File, position: u64, left: usize) -> Self {
        Self {
            buffer: Vec::new().into(),
            at: 0,
            file: Some(file),
            position,
            left,
        }
    }

    fn memory(notes: &'a [Note]) -> Self {
        Self {
            buffer: notes.into(),
            at: 0,
            file: None,
            position: 0,
            left: 0,
        }
    }

    fn next(&mut self) -> io::Result<Option<Note>> {
        if self.at == self.buffer.len()
            && self.left > 0
            && let Some(file) = self.file
        {
            let count = self.left.min(READ);
            let buffer = self.buffer.to_mut();
            buffer.resize(count, [0; SIZE]);
            file.read_exact_at(buffer.as_flattened_mut(), self.position * SIZE as u64)?;
            self.position += count as u64;
            self.left -= count;
            self.at = 0;
        }
        let note = self.buffer.get(self.at).copied();
        self.at += 1;
        Ok(note)
    }
}

fn scratched(error: &io::Error) -> Fault {
    let errno = error
        .raw_os_error()
        .map_or(Errno::IO, Errno::from_raw_os_error);
    Fault::System("noting hard links in a scratch file", errno)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use super::*;

    fn hash(n: u64) -> Hash {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        hash
    }

    /// 300 inodes with 10 names each, in an order that depends on `step`.
    fn digest(limit: usize, step: u64, scratch: &Scratch<'_>) -> (Hash, u64, u64) {
        let mut links = Links::new(scratch);
        links.limit = limit;
        for n in 0..3000 {
            let n = n * step % 3000;
            let id = FileId {
                dev: 1,
                ino: n / 10,
            };
            if !links.is_known(id, 10) {
                let (hash, bytes) = (hash(n / 10), 5);
                links.note_body(id, &Body { hash, bytes }).unwrap();
            }
            links.note_path(id, &PathDigest(hash(n))).unwrap();
        }
        let mut sum = Sum::default();
        let linked = links.sum_up(&mut sum, &Control::default()).unwrap();
        (sum.digest(), linked.entries, linked.bytes)
    }

    #[test]
    fn what_has_spilled_to_disk_sums_up_to_the_same() {
        let files = AtomicU32::new(0);
        let scratch = || {
            files.fetch_add(1, Relaxed);
            tempfile::tempfile()
        };
        let in_memory = digest(NOTES, 1, &scratch);
        assert_eq!((in_memory.1, in_memory.2), (3000, 1500));
        assert_eq!(files.load(Relaxed), 0, "it fits into memory");
        for (limit, step) in [(100, 1), (100, 7), (7, 1501), (NOTES, 1501)] {
            assert_eq!(digest(limit, step, &scratch), in_memory, "{limit}, {step}");
        }
        assert_eq!(files.load(Relaxed), 3);
    }

    #[test]
    fn a_full_scratch_is_said_to_be_full() {
        let scratch = || Err(io::Error::from_raw_os_error(Errno::NOSPC.raw_os_error()));
        let mut links = Links::new(&scratch);
        links.limit = 1;
        let id = FileId { dev: 1, ino: 1 };
        links.note_path(id, &PathDigest(hash(1))).unwrap();
        let full = links.note_path(id, &PathDigest(hash(2)));
        assert!(matches!(full, Err(Fault::System(_, Errno::NOSPC))));
    }
}

//! Which bytes of an upload have arrived: a log beside them.
//!
//! A record is appended after its bytes are written, and nothing is synced. So it survives the end of the process at any
//! moment, with all that it speaks of: the page cache does. It does not survive the machine, nor the mount, whose disk may
//! have kept the log and lost the bytes: the log begins with the id of the cache that it counts for ([`cache_id`]). After
//! another boot or mount only those bytes count that upload.json speaks of, which is written after they were synced.

use std::{
    ffi::CStr,
    ops::Range,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    fs::{Mode, OFlags, ftruncate, openat, renameat},
    io::{Errno, pwrite},
};

use super::{RangeSet, UploadFolder, UploadRecord, cache::cache_id};
use crate::volume::durable::read_file;

/// The log's name.
pub const NAME: &CStr = c"ranges";
/// The log's name while it is written anew.
const PART: &CStr = c".ranges.part";
const MAGIC: &[u8; 8] = b"vfranges";
/// Bytes of a record, and of the head. A power of two: none crosses a page, so that a write of one is there or is not.
const RECORD: usize = 32;
/// A log of more records than this is written anew: what is in order takes one.
const MOST: u64 = 4096;

/// The log, open for appending.
#[derive(Debug)]
pub struct Arrivals {
    file: OwnedFd,
    records: u64,
}

impl Arrivals {
    /// What has arrived, as far as that is certain: by the log, if this is still its cache, else by `record`.
    #[must_use]
    pub fn recall(folder: &UploadFolder, record: &UploadRecord) -> RangeSet {
        let mut arrived = record.durable.clone();
        let name = NAME.to_str().unwrap_or_default();
        let log = read_file(folder, name).ok().flatten().unwrap_or_default();
        let mut parts = log.chunks_exact(RECORD);
        let head = cache_id(folder).map(head);
        if head.is_none() || parts.next() != head.as_ref().map(|head| &head[..]) {
            return arrived;
        }
        for (number, part) in parts.enumerate() {
            let Some(range) = read(number as u64, part) else {
                break;
            };
            if arrived.insert(range).is_err() {
                break;
            }
        }
        arrived
    }

    /// Writes the log anew: this has arrived.
    ///
    /// # Errors
    /// Those of the calls. The log before still holds.
    pub fn begin(folder: &UploadFolder, arrived: &RangeSet) -> Result<Self, Errno> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(folder, PART, flags, Mode::RUSR | Mode::WUSR)?;
        // Of a cache that nobody knows, nothing counts.
        let mut content = cache_id(folder).map_or([0; RECORD], head).to_vec();
        for (number, range) in arrived.iter().enumerate() {
            content.extend(write(number as u64, range));
        }
        write_at(&file, &content, 0)?;
        renameat(folder, PART, folder, NAME)?;
        let records = arrived.iter().count() as u64;
        Ok(Self { file, records })
    }

    /// Opens the log that was begun in this life and has so many records.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn go_on(folder: &UploadFolder, records: u64) -> Result<Self, Errno> {
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(folder, NAME, flags, Mode::empty())?;
        Ok(Self { file, records })
    }

    /// Lets nothing count but what upload.json speaks of, whatever the log says. Takes no space.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn distrust(folder: &UploadFolder) -> Result<(), Errno> {
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(folder, NAME, flags, Mode::empty()) {
            Ok(log) => ftruncate(log, 0),
            Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// How many records it has.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Notes that `range` has arrived: its bytes are written.
    ///
    /// # Errors
    /// Those of write(2); then it is not noted.
    pub fn append(&mut self, range: &Range<u64>) -> Result<(), Errno> {
        let at = (self.records + 1) * RECORD as u64;
        write_at(&self.file, &write(self.records, range), at)?;
        self.records += 1;
        Ok(())
    }

    /// Whether it should be written anew.
    #[must_use]
    pub fn is_long(&self) -> bool {
        self.records > MOST
    }
}

fn head(cache: [u8; 32]) -> [u8; RECORD] {
    let mut head = [0; RECORD];
    head[..8].copy_from_slice(MAGIC);
    head[8..24].copy_from_slice(&cache[..16]);
    seal(head)
}

fn write(number: u64, range: &Range<u64>) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    for (place, value) in record
        .chunks_exact_mut(8)
        .zip([number, range.start, range.end])
    {
        place.copy_from_slice(&value.to_le_bytes());
    }
    seal(record)
}

/// The range of the record `number`; none if it is another one, or not whole.
fn read(number: u64, record: &[u8]) -> Option<Range<u64>> {
    let whole: [u8; RECORD] = record.try_into().ok()?;
    let mut values = record
        .chunks_exact(8)
        .filter_map(|bytes| bytes.try_into().ok());
    let (told, start, end) = (values.next()?, values.next()?, values.next()?);
    let [told, start, end] = [told, start, end].map(u64::from_le_bytes);
    (seal(whole) == whole && told == number && start < end).then_some(start..end)
}

/// Puts the checksum of the first three quarters into the last.
fn seal(mut record: [u8; RECORD]) -> [u8; RECORD] {
    let sum = blake3::hash(&record[..RECORD - 8]);
    record[RECORD - 8..].copy_from_slice(&sum.as_bytes()[..8]);
    record
}

fn write_at(file: impl AsFd, mut rest: &[u8], mut at: u64) -> Result<(), Errno> {
    while !rest.is_empty() {
        match pwrite(&file, rest, at) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => {
                rest = &rest[written..];
                at += written as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::fs;

    use rustix::fs::open;

    use super::*;

    fn folder() -> (tempfile::TempDir, UploadFolder) {
        let dir = tempfile::tempdir().unwrap();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let opened = open(dir.path(), flags, Mode::empty()).unwrap();
        (dir, UploadFolder(opened))
    }

    fn set(ranges: &[(u64, u64)]) -> RangeSet {
        ranges.to_vec().try_into().unwrap()
    }

    #[test]
    fn what_was_noted_is_recalled_up_to_the_first_record_that_is_not_whole() {
        let (dir, folder) = folder();
        let mut log = Arrivals::begin(&folder, &set(&[(0, 10), (20, 30)])).unwrap();
        for range in [10..15, 40..50, 15..20] {
            log.append(&range).unwrap();
        }
        let record = UploadRecord::default();
        assert_eq!(
            Arrivals::recall(&folder, &record),
            set(&[(0, 30), (40, 50)])
        );
        let path = dir.path().join("ranges");
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert_eq!(
            Arrivals::recall(&folder, &record),
            set(&[(0, 15), (20, 30), (40, 50)])
        );
        let mut flipped = whole.clone();
        flipped[4 * RECORD + 9] ^= 1;
        fs::write(&path, &flipped).unwrap();
        assert_eq!(
            Arrivals::recall(&folder, &record),
            set(&[(0, 15), (20, 30)])
        );
        // A record that was valid at another place, or in an earlier log.
        let mut doubled = whole.clone();
        doubled.copy_within(3 * RECORD..4 * RECORD, 4 * RECORD);
        fs::write(&path, &doubled).unwrap();
        assert_eq!(
            Arrivals::recall(&folder, &record),
            set(&[(0, 15), (20, 30)])
        );
    }

    #[test]
    fn of_another_cache_only_what_was_synced_counts() {
        let (dir, folder) = folder();
        let mut log = Arrivals::begin(&folder, &set(&[])).unwrap();
        log.append(&(0..100)).unwrap();
        let record = UploadRecord {
            durable: set(&[(0, 40)]),
            ..UploadRecord::default()
        };
        assert_eq!(Arrivals::recall(&folder, &record), set(&[(0, 100)]));
        let path = dir.path().join("ranges");
        let mut other = fs::read(&path).unwrap();
        other[..RECORD].copy_from_slice(&head([7; 32]));
        fs::write(&path, other).unwrap();
        assert_eq!(Arrivals::recall(&folder, &record), set(&[(0, 40)]));
        fs::remove_file(&path).unwrap();
        assert_eq!(Arrivals::recall(&folder, &record), set(&[(0, 40)]));
        Arrivals::distrust(&folder).unwrap();
        Arrivals::begin(&folder, &set(&[(0, 100)])).unwrap();
        assert_eq!(Arrivals::recall(&folder, &record), set(&[(0, 100)]));
        Arrivals::distrust(&folder).unwrap();
        assert_eq!(Arrivals::recall(&folder, &record), set(&[(0, 40)]));
    }
}

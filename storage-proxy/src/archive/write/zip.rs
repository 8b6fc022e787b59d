//! zip, as a stream (PKWARE's APPNOTE.TXT 6.3.10): what a file has become is told after its data, and again in the
//! directory at the end. ZIP64 where 32 bits may not suffice.

use std::io::{self, Read, Write};

use flate2::{Compression, Crc, write::DeflateEncoder};
use thiserror::Error;

use crate::archive::{Entry, What, counting::Counting, msdos};

const LOCAL: u32 = 0x0403_4b50;
const DESCRIPTOR: u32 = 0x0807_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const LOCATOR_64: u32 = 0x0706_4b50;

/// Sizes and checksum come after the data.
const STREAMED: u16 = 1 << 3;
/// The name is UTF-8.
const UTF_8: u16 = 1 << 11;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;
/// 4.5 of the specification, for ZIP64; 2.0 without.
const VERSION_64: u16 = 45;
const VERSION: u16 = 20;
/// The upper byte: the attributes are those of Unix.
const MADE_BY: u16 = 3 << 8 | VERSION_64;
const ZIP_64: u16 = 0x0001;
const TIMESTAMP: u16 = 0x5455;
const MSDOS_DIRECTORY: u32 = 0x10;

/// Deflated, data that can't be made smaller grows by 5 bytes in 16 KiB: from this size on, 32 bits may not do.
const LARGE: u64 = u32::MAX as u64 - (16 << 20);
/// Bytes of the directory that is held in memory until the end: hundreds of thousands of entries.
const LARGEST_DIRECTORY: usize = 64 << 20;

/// A zip's directory is written last, and there is no room in memory for so many entries.
#[derive(Debug, Error)]
#[error("is too large for a zip, whose directory is held in memory until the end; ask for a tar")]
struct TooLarge;

/// Whether writing has failed since the archive has more entries, or longer names, than there is room for.
#[must_use]
pub fn is_too_large(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<TooLarge>())
}

pub(super) struct Zip<W> {
    to: Counting<W>,
    directory: Vec<u8>,
    entries: u64,
}

/// What is told of an entry twice.
struct Told<'a> {
    name: &'a [u8],
    flags: u16,
    method: u16,
    date: u16,
    time: u16,
    crc: u32,
    size: u64,
    compressed: u64,
    /// Its sizes are told with 64 bits.
    large: bool,
    modified: Option<i32>,
}

impl<W: Write> Zip<W> {
    pub fn new(to: W) -> Self {
        Self {
            to: Counting::new(to),
            directory: Vec::new(),
            entries: 0,
        }
    }

    pub fn entry(
        &mut self,
        entry: &Entry<'_>,
        data: &mut dyn Read,
        buffer: &mut [u8],
    ) -> io::Result<()> {
        const LINK_MODE: u32 = 0o777;
        let mut name = entry.name.to_vec();
        let (kind, mode, size) = match entry.what {
            What::File { size } => (0o100_000, entry.mode, size),
            What::Directory => {
                name.push(b'/');
                (0o040_000, entry.mode, 0)
            }
            What::Symlink(target) => (0o120_000, LINK_MODE, target.len() as u64),
            What::HardLink(_) | What::Fifo => return Ok(()),
        };
        if name.len() > u16::MAX.into() || self.directory.len() > LARGEST_DIRECTORY {
            return Err(io::Error::other(TooLarge));
        }
        let streamed = matches!(entry.what, What::File { size } if size > 0);
        let is_text = !name.is_ascii() && std::str::from_utf8(&name).is_ok();
        let (date, time) = msdos::from_unix(entry.modified.0);
        let mut told = Told {
            name: &name,
            flags: if streamed { STREAMED } else { 0 } | if is_text { UTF_8 } else { 0 },
            method: if streamed { DEFLATED } else { STORED },
            date,
            time,
            crc: 0,
            size: 0,
            compressed: 0,
            large: size >= LARGE,
            modified: i32::try_from(entry.modified.0).ok(),
        };
        let offset = self.to.written();
        if let What::Symlink(target) = entry.what {
            let mut crc = Crc::new();
            crc.update(target);
            (told.crc, told.size, told.compressed) = (crc.sum(), size, size);
            self.local(&told)?;
            self.to.write_all(target)?;
        } else {
            self.local(&told)?;
        }
        if streamed {
            let (mut crc, begin) = (Crc::new(), self.to.written());
            let mut deflated = DeflateEncoder::new(&mut self.to, Compression::default());
            super::copy(data, size, buffer, &mut deflated, |seen| crc.update(seen))?;
            deflated.finish()?;
            (told.crc, told.size, told.compressed) = (crc.sum(), size, self.to.written() - begin);
            self.descriptor(&told)?;
        }
        let directory = if kind == 0o040_000 {
            MSDOS_DIRECTORY
        } else {
            0
        };
        self.central(&told, (kind | mode) << 16 | directory, offset);
        Ok(())
    }

    fn local(&mut self, told: &Told<'_>) -> io::Result<()> {
        let mut extra = Vec::new();
        if told.large {
            // The sizes come later; that they have 64 bits must be known now.
            extra.extend(ZIP_64.to_le_bytes());
            extra.extend(16_u16.to_le_bytes());
            extra.extend([0; 16]);
        }
        timestamp(&mut extra, told.modified);
        let mut header = Vec::with_capacity(30 + told.name.len() + extra.len());
        header.extend(LOCAL.to_le_bytes());
        common(&mut header, told, extra.len());
        header.extend_from_slice(told.name);
        header.extend(extra);
        self.to.write_all(&header)
    }

    fn descriptor(&mut self, told: &Told<'_>) -> io::Result<()> {
        let mut descriptor = Vec::with_capacity(24);
        descriptor.extend(DESCRIPTOR.to_le_bytes());
        descriptor.extend(told.crc.to_le_bytes());
        for size in [told.compressed, told.size] {
            if told.large {
                descriptor.extend(size.to_le_bytes());
            } else {
                descriptor.extend(clipped(size).to_le_bytes());
            }
        }
        self.to.write_all(&descriptor)
    }

    fn central(&mut self, told: &Told<'_>, attributes: u32, offset: u64) {
        let far = offset >= u32::MAX.into();
        let mut extra = Vec::new();
        if told.large || far {
            let sizes = [told.size, told.compressed];
            let fields: Vec<u64> = (sizes.into_iter().filter(|_| told.large))
                .chain(far.then_some(offset))
                .collect();
            extra.extend(ZIP_64.to_le_bytes());
            extra.extend(short(8 * fields.len()).to_le_bytes());
            extra.extend(fields.into_iter().flat_map(u64::to_le_bytes));
        }
        timestamp(&mut extra, told.modified);
        let directory = &mut self.directory;
        directory.extend(CENTRAL.to_le_bytes());
        directory.extend(MADE_BY.to_le_bytes());
        common(directory, told, extra.len());
        // No comment; on the first disk; no internal attributes.
        directory.extend([0; 6]);
        directory.extend(attributes.to_le_bytes());
        directory.extend(clipped(offset).to_le_bytes());
        directory.extend_from_slice(told.name);
        directory.extend(extra);
        self.entries += 1;
    }

    pub fn finish(mut self) -> io::Result<W> {
        let begin = self.to.written();
        self.to.write_all(&self.directory)?;
        let (end, size) = (self.to.written(), self.directory.len() as u64);
        let mut tail = Vec::new();
        if self.entries >= u16::MAX.into() || end >= u32::MAX.into() {
            tail.extend(END_64.to_le_bytes());
            tail.extend(44_u64.to_le_bytes());
            tail.extend(MADE_BY.to_le_bytes());
            tail.extend(VERSION_64.to_le_bytes());
            tail.extend([0; 8]);
            for value in [self.entries, self.entries, size, begin] {
                tail.extend(value.to_le_bytes());
            }
            tail.extend(LOCATOR_64.to_le_bytes());
            tail.extend(0_u32.to_le_bytes());
            tail.extend(end.to_le_bytes());
            tail.extend(1_u32.to_le_bytes());
        }
        let entries = u16::try_from(self.entries).unwrap_or(u16::MAX);
        tail.extend(END.to_le_bytes());
        tail.extend([0; 4]);
        tail.extend(entries.to_le_bytes());
        tail.extend(entries.to_le_bytes());
        tail.extend(clipped(size).to_le_bytes());
        tail.extend(clipped(begin).to_le_bytes());
        tail.extend([0; 2]);
        self.to.write_all(&tail)?;
        self.to.flush()?;
        Ok(self.to.into_inner())
    }
}

/// The fields that both headers have in the same order, from the version to the length of the extra fields.
fn common(header: &mut Vec<u8>, told: &Told<'_>, extra: usize) {
    let version = if told.large { VERSION_64 } else { VERSION };
    for field in [version, told.flags, told.method, told.time, told.date] {
        header.extend(field.to_le_bytes());
    }
    let sizes = if told.large {
        [u32::MAX; 2]
    } else {
        [clipped(told.compressed), clipped(told.size)]
    };
    for field in [told.crc, sizes[0], sizes[1]] {
        header.extend(field.to_le_bytes());
    }
    header.extend(short(told.name.len()).to_le_bytes());
    header.extend(short(extra).to_le_bytes());
}

/// Info-ZIP's, in seconds of UTC: what MS-DOS's time lacks.
fn timestamp(extra: &mut Vec<u8>, modified: Option<i32>) {
    if let Some(seconds) = modified {
        extra.extend(TIMESTAMP.to_le_bytes());
        extra.extend(5_u16.to_le_bytes());
        extra.push(1);
        extra.extend(seconds.to_le_bytes());
    }
}

/// All ones: look among the extra fields.
fn clipped(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn short(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

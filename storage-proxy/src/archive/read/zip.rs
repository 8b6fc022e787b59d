//! zip, by its directory (PKWARE's APPNOTE.TXT 6.3.10). The directory is read entry by entry; each entry must be at the
//! place that it says, under the same name, and share its bytes with no other.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read},
};

use flate2::{Crc, bufread::DeflateDecoder};

use super::{
    Bounds, Broken, Found, Kind, Stop,
    bounded::{Plain, check, cut_off, read_at},
};
use crate::{archive::msdos, tree::Control};

mod body;
mod end;
mod extra;
mod places;

use self::{body::Body, end::Directory, extra::Extra, places::Places};

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;
const ENCRYPTED: u16 = 1;
/// The upper byte of "made by": the attributes are those of Unix.
const UNIX: u16 = 3;
/// As a symlink's target, which is read into memory.
const LONGEST_TARGET: u64 = 4095;

pub(super) struct Zip<'a> {
    file: &'a File,
    directory: Directory,
    bounds: Bounds,
    control: &'a Control,
}

/// An entry, as the directory has it.
struct Record {
    name: Vec<u8>,
    made_by: u16,
    method: u16,
    crc: u32,
    compressed: u64,
    size: u64,
    attributes: u32,
    offset: u64,
    modified: i64,
}

impl<'a> Zip<'a> {
    pub fn open(
        file: &'a File,
        size: u64,
        bounds: Bounds,
        control: &'a Control,
    ) -> Result<Self, Stop> {
        Ok(Self {
            file,
            directory: Directory::find(file, size)?,
            bounds,
            control,
        })
    }

    pub fn each<E: From<Stop>>(
        &self,
        visit: &mut dyn FnMut(Found, &mut dyn Read) -> Result<(), E>,
    ) -> Result<(), E> {
        let Directory { at, size, .. } = self.directory;
        let plain = Plain::part(self.file, at, at + size, self.control);
        let mut records = BufReader::with_capacity(super::CHUNK, plain);
        let (mut places, mut unpacked) = (Places::default(), 0_u64);
        let mut entries = 0;
        // To its end, however many there are said to be.
        while !records.fill_buf().map_err(Stop::from)?.is_empty() {
            check(self.control)?;
            entries += 1;
            let record = record(&mut records)?;
            let begin = self.begin_of(&record)?;
            places.take(record.offset, begin + record.compressed, &record.name)?;
            unpacked = unpacked.saturating_add(record.size);
            self.bounds.check(unpacked)?;
            let mut body = self.body(&record, begin);
            let found = found(record, &mut body)?;
            visit(found, &mut body)?;
        }
        self.directory.has(entries)?;
        Ok(places.check()?)
    }

    /// Where its data begins, behind a header of its own.
    fn begin_of(&self, record: &Record) -> Result<u64, Stop> {
        let broken = |why: &str| Stop::from(Broken::entry(&record.name, why));
        let mut header = [0; 30];
        // In front of the directory: there is no entry that begins behind it.
        if record.offset >= self.directory.at
            || read_at(self.file, &mut header, record.offset)? < header.len()
            || u32_at(&header, 0) != LOCAL
        {
            return Err(broken("is not where the directory says"));
        }
        let lengths = [26, 28].map(|at| u64::from(u16_at(&header, at)));
        let mut name = vec![0; usize::from(u16_at(&header, 26))];
        let at = record.offset + header.len() as u64;
        if read_at(self.file, &mut name, at)? < name.len() || name != record.name {
            return Err(broken("has another name where its data is"));
        }
        let begin = at + lengths[0] + lengths[1];
        let end = begin.checked_add(record.compressed);
        match end {
            Some(end) if end <= self.directory.at => Ok(begin),
            _ => Err(broken("goes on beyond the archive's data")),
        }
    }

    fn body(&self, record: &Record, begin: u64) -> Body<'a> {
        let end = begin + record.compressed;
        let plain = Plain::part(self.file, begin, end, self.control);
        let inner: Box<dyn Read + 'a> = match record.method {
            STORED => Box::new(plain),
            _ => Box::new(DeflateDecoder::new(BufReader::with_capacity(
                super::CHUNK,
                plain,
            ))),
        };
        Body {
            inner,
            name: record.name.clone(),
            left: record.size,
            crc: Crc::new(),
            expected: record.crc,
            ended: false,
            control: self.control,
        }
    }
}

fn record(records: &mut impl Read) -> Result<Record, Stop> {
    let mut header = [0; 46];
    records.read_exact(&mut header)?;
    if u32_at(&header, 0) != CENTRAL {
        return Err(Broken::archive("is damaged: its directory has something else in it").into());
    }
    let [name, extra, comment] = [28, 30, 32].map(|at| usize::from(u16_at(&header, at)));
    let mut rest = vec![0; name + extra + comment];
    records.read_exact(&mut rest)?;
    let name = rest[..name].to_vec();
    let broken = |why: &str| Stop::from(Broken::entry(&name, why));
    if u16_at(&header, 8) & ENCRYPTED != 0 {
        return Err(broken("is encrypted"));
    }
    let method = u16_at(&header, 10);
    if ![STORED, DEFLATED].contains(&method) {
        let why =
            format!("is compressed by method {method}; only stored and deflated are unpacked");
        return Err(broken(&why));
    }
    let [compressed, size, offset] = [20, 24, 42].map(|at| u32_at(&header, at));
    let mut extra = Extra::of(&rest[name.len()..name.len() + extra]);
    let [size, compressed, offset] = extra
        .widen([size, compressed, offset])
        .ok_or_else(|| broken("lacks the sizes that it says are elsewhere"))?;
    if i64::try_from(size).is_err() || i64::try_from(compressed).is_err() {
        return Err(broken("has an absurd size"));
    }
    if method == STORED && size != compressed {
        return Err(broken("is stored as it is, and has two sizes"));
    }
    Ok(Record {
        made_by: u16_at(&header, 4) >> 8,
        method,
        crc: u32_at(&header, 16),
        compressed,
        size,
        attributes: u32_at(&header, 38),
        offset,
        modified: extra
            .modified
            .unwrap_or_else(|| msdos::to_unix(u16_at(&header, 14), u16_at(&header, 12))),
        name,
    })
}

fn found(record: Record, body: &mut Body<'_>) -> Result<Found, Stop> {
    let mut name = record.name;
    let (format, mode) = match record.made_by {
        UNIX => (record.attributes >> 28, record.attributes >> 16 & 0o7777),
        _ => (0, 0),
    };
    // What is made elsewhere says nothing of this.
    let is_directory = name.ends_with(b"/");
    let kind = match (format, is_directory) {
        (0o04, _) | (0, true) => Kind::Directory,
        (0o10 | 0, false) => Kind::File,
        (0o12, false) => {
            if record.size > LONGEST_TARGET {
                return Err(Broken::entry(&name, "is a symlink with too long a target").into());
            }
            let mut target = Vec::new();
            body.read_to_end(&mut target)?;
            Kind::Symlink(target)
        }
        (0o01, false) => Kind::Fifo,
        (0o02 | 0o06, _) => {
            return Err(Broken::entry(&name, "is a device node, and those are not made").into());
        }
        _ => return Err(Broken::entry(&name, "is of a type that is not unpacked").into()),
    };
    if kind == Kind::Directory && is_directory {
        name.pop();
    }
    let mode = match (mode, &kind) {
        (0, Kind::Directory) => 0o755,
        (0, _) if record.made_by != UNIX => 0o644,
        (mode, _) => mode,
    };
    Ok(Found {
        name,
        size: if kind == Kind::File { record.size } else { 0 },
        kind,
        mode,
        modified: (record.modified, 0),
    })
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    let mut value = [0; 2];
    value.copy_from_slice(&bytes[at..at + 2]);
    u16::from_le_bytes(value)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut value = [0; 4];
    value.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(value)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(value)
}

//! Writes what is in an archive.

use std::{
    ffi::CString,
    fs::File,
    io::{BufReader, Read, Seek as _, SeekFrom, Write as _},
    time::{Duration, Instant},
};

use super::{
    check::Checked,
    later::{Later, What, scratch},
    names::path_of,
    seen::Seen,
};
use crate::{
    account::{Amount, Change, Reservation},
    archive::{Broken, Found, Kind, Reader, Stop},
    task::{
        Existing, Extraction,
        spec::InPlace,
        work::{
            Job,
            inside::{Ended, Inside},
        },
    },
    tree::{Fault, Put, RelativePath, TreeError, put::Tally},
};

/// Bytes that are written at once, and between two looks at the wish to stop.
const CHUNK: usize = 128 << 10;
static ZEROS: [u8; CHUNK] = [0; CHUNK];
/// Between two notes of what is durable, at least; and as a part of the time, at most.
const INTERVAL: Duration = Duration::from_secs(15);
const SHARE: u32 = 10;

pub(super) struct Unpack<'a> {
    job: &'a Job<'a>,
    extraction: &'a Extraction,
    inside: &'a Inside<'a>,
    put: Put,
    seen: &'a Seen,
    /// What there is more in the tree by now.
    pub change: Change,
    made: u64,
    written: u64,
    noted: Instant,
    pause: Duration,
    buffer: Box<[u8]>,
}

impl<'a> Unpack<'a> {
    pub fn new(
        job: &'a Job<'a>,
        extraction: &'a Extraction,
        inside: &'a Inside<'a>,
        put: Put,
        checked: &'a Checked,
        change: Change,
    ) -> Self {
        Self {
            job,
            extraction,
            inside,
            put,
            seen: &checked.seen,
            change,
            made: 0,
            written: 0,
            noted: Instant::now(),
            pause: INTERVAL,
            buffer: vec![0; CHUNK].into(),
        }
    }

    /// All of it; `later` is what comes after the files.
    pub fn all(
        &mut self,
        reader: &Reader<'_>,
        later: &mut File,
        reservation: &mut Reservation,
    ) -> Result<(), Ended> {
        if self.inside.before.is_some() {
            self.open_up(later)?;
        }
        self.files(reader, reservation)?;
        self.links(later, reservation)?;
        self.directories(later)
    }

    /// Files, directories and pipes.
    fn files(&mut self, reader: &Reader<'_>, reservation: &mut Reservation) -> Result<(), Ended> {
        let durable = self.inside.before.map_or(0, |before| before.durable);
        let mut number = 0;
        reader.each(&mut |found: Found, data: &mut dyn Read| {
            let is_wanted = number >= durable
                && !(self.seen.was_there(number)
                    && (self.extraction.existing == Existing::Skip
                        || found.kind == Kind::Directory));
            if is_wanted {
                self.inside.step()?;
                self.entry(&found, data, reservation)?;
            } else if number < durable {
                self.inside.control.bytes_done(found.size);
            }
            // Links are done later.
            if !matches!(found.kind, Kind::Symlink(_) | Kind::HardLink(_)) {
                self.inside.control.entry_done();
            }
            number += 1;
            self.note(number)
        })
    }

    fn entry(
        &mut self,
        found: &Found,
        data: &mut dyn Read,
        reservation: &mut Reservation,
    ) -> Result<(), Ended> {
        let path = path_of(&found.name, 0).map_err(Stop::from)?;
        if path.is_root() {
            return Ok(());
        }
        let at = at(self.extraction, &path);
        let put = match found.kind {
            Kind::Directory => self.put.directory(&path).map_err(at),
            Kind::Fifo => self.put.fifo(&path, found.mode, found.modified).map_err(at),
            Kind::File => {
                let put = self.file(found, &path, data);
                put.map(|()| self.change.bytes += signed(found.size))
            }
            Kind::Symlink(_) | Kind::HardLink(_) => Ok(()),
        };
        self.counted(put, reservation)
    }

    /// Counts what has come and gone, also of what has failed half-way, before it says how `put` ended.
    fn counted(
        &mut self,
        put: Result<(), Ended>,
        reservation: &mut Reservation,
    ) -> Result<(), Ended> {
        let Tally { made, freed } = self.put.tally();
        self.change.files += signed(made);
        self.change.bytes -= signed(freed);
        put?;
        self.made += made;
        if self.made > self.extraction.max_files {
            let why = format!(
                "makes more than {} files and directories, which are the most that may be unpacked",
                self.extraction.max_files
            );
            return Err(Stop::TooLarge(why).into());
        }
        // What was asked for in advance has the entry in it, and not the directories on the way.
        let files = made.saturating_sub(1);
        if files > 0 {
            reservation.try_grow(Amount { bytes: 0, files })?;
        }
        Ok(())
    }

    fn file(
        &mut self,
        found: &Found,
        path: &RelativePath,
        data: &mut dyn Read,
    ) -> Result<(), Ended> {
        let Self {
            put,
            buffer,
            written,
            inside,
            extraction,
            ..
        } = self;
        let at = at(extraction, path);
        let failed = |what: &'static str| {
            let at = at.clone();
            move |error: std::io::Error| {
                let errno = rustix::io::Errno::from_io_error(&error);
                at(Fault::System(what, errno.unwrap_or(rustix::io::Errno::IO)))
            }
        };
        let put = put.file(path, found.mode, found.modified, |mut file: &File| {
            let mut size = 0;
            let mut hole = false;
            loop {
                let got = data
                    .read(buffer)
                    .map_err(|error| Written::Ended(Stop::from(error).into()))?;
                if got == 0 {
                    break;
                }
                size += got as u64;
                *written += got as u64;
                // However it was announced.
                if size > found.size || *written > extraction.max_bytes {
                    let why = "unpacks to more than was announced".to_owned();
                    return Err(Written::Ended(Stop::TooLarge(why).into()));
                }
                let chunk = &buffer[..got];
                hole = chunk == &ZEROS[..got];
                let done = match hole {
                    true => file.seek(SeekFrom::Current(signed(got as u64))).map(drop),
                    false => file.write_all(chunk),
                };
                done.map_err(failed("write")).map_err(Written::Ended)?;
                inside.control.bytes_done(got as u64);
                inside
                    .control
                    .check()
                    .map_err(|_| Written::Ended(Stop::Stopped.into()))?;
            }
            if size < found.size {
                let why = "is smaller than it says";
                let broken = Stop::from(Broken::entry(&found.name, why));
                return Err(Written::Ended(broken.into()));
            }
            if hole {
                file.set_len(size)
                    .map_err(failed("ftruncate"))
                    .map_err(Written::Ended)?;
            }
            // What comes now makes it visible.
            inside.step().map_err(Written::Ended)
        });
        put.map_err(|why| match why {
            Written::Ended(ended) => ended,
            Written::Fault(fault) => at(fault),
        })
    }

    /// Directories of an earlier life may have their modes by now, and forbid what is still to be put into them to whoever
    /// is not root.
    fn open_up(&self, later: &mut File) -> Result<(), Ended> {
        later.seek(SeekFrom::Start(0)).map_err(scratch)?;
        let mut from = BufReader::new(later);
        while let Some(one) = Later::read(&mut from).map_err(scratch)? {
            if one.what == What::Directory {
                self.inside.step()?;
                let opened = self.put.open_up(&one.path);
                opened.map_err(at(self.extraction, &one.path))?;
            }
        }
        Ok(())
    }

    /// Once all files are there.
    fn links(&mut self, later: &mut File, reservation: &mut Reservation) -> Result<(), Ended> {
        later.seek(SeekFrom::Start(0)).map_err(scratch)?;
        let mut from = BufReader::new(&*later);
        while let Some(one) = Later::read(&mut from).map_err(scratch)? {
            if one.what == What::Directory {
                continue;
            }
            self.inside.step()?;
            let put = self.link(&one);
            self.counted(put, reservation)?;
            self.inside.control.entry_done();
        }
        Ok(())
    }

    fn link(&self, one: &Later) -> Result<(), Ended> {
        let put = match &one.what {
            What::Directory => Ok(()),
            What::Symlink(target) => {
                let target = CString::new(target.as_slice()).unwrap_or_default();
                self.put.symlink(&one.path, &target, one.modified)
            }
            What::HardLink(target) => match self.put.hard_link(&one.path, target) {
                Err(Fault::NotFound | Fault::Changed) => {
                    let name = one.path.as_bytes();
                    let why = format!(
                        "is a hard link to \"{target}\", which is no file in the destination"
                    );
                    return Err(Stop::from(Broken::entry(name, why)).into());
                }
                put => put,
            },
        };
        put.map_err(at(self.extraction, &one.path))
    }

    /// What directories are like, once nothing is put into them any more: from the last to the first, so that those
    /// further down, which come later in most archives, are still within reach.
    fn directories(&self, later: &mut File) -> Result<(), Ended> {
        let mut end = later.seek(SeekFrom::End(0)).map_err(scratch)?;
        while let Some(one) = Later::read_back(later, &mut end).map_err(scratch)? {
            if one.what == What::Directory {
                self.inside.step()?;
                let dressed = self.put.dress_directory(&one.path, one.mode, one.modified);
                dressed.map_err(at(self.extraction, &one.path))?;
            }
        }
        Ok(())
    }

    /// From time to time: so many entries are durable.
    fn note(&mut self, number: u64) -> Result<(), Ended> {
        if self.noted.elapsed() < self.pause {
            return Ok(());
        }
        let begun = Instant::now();
        self.inside.sync()?;
        self.job.note_inside(InPlace { durable: number })?;
        self.noted = Instant::now();
        self.pause = INTERVAL.max(begun.elapsed() * SHARE);
        Ok(())
    }
}

/// Why a file was not written.
enum Written {
    Ended(Ended),
    Fault(Fault),
}

impl From<Fault> for Written {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// For what is at `path`, from the destination.
fn at(extraction: &Extraction, path: &RelativePath) -> impl Fn(Fault) -> Ended + Clone {
    let full = match extraction.destination.as_bytes() {
        b"" => path.as_bytes().to_vec(),
        above => [above, b"/", path.as_bytes()].concat(),
    };
    move |fault| Ended::Tree(TreeError::new(fault, full.clone()))
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

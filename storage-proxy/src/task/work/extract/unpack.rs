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
    tree::{Fault, Put, RelativePath, TreeError, put::Placed},
};

/// Bytes that are written at once, and between two looks at the wish to stop.
const CHUNK: usize = 128 << 10;
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
    ) -> Self {
        Self {
            job,
            extraction,
            inside,
            put,
            seen: &checked.seen,
            change: Change::default(),
            made: 0,
            written: 0,
            noted: Instant::now(),
            pause: INTERVAL,
            buffer: vec![0; CHUNK].into(),
        }
    }

    /// Files, directories and pipes.
    pub fn files(
        &mut self,
        reader: &Reader<'_>,
        reservation: &mut Reservation,
    ) -> Result<(), Ended> {
        let durable = self.inside.before.map_or(0, |before| before.durable);
        let mut number = 0;
        reader.each(&mut |found: Found, data: &mut dyn Read| {
            let is_wanted = number >= durable
                && !(self.seen.was_there(number)
                    && (self.extraction.existing == Existing::Skip
                        || found.kind == Kind::Directory));
            if is_wanted {
                self.inside.step()?;
                if number == durable && durable > 0 {
                    // Here an earlier life has died.
                    self.put.tidy(&path_of(&found.name, 0).map_err(Stop::from)?);
                }
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
        let placed = match found.kind {
            Kind::Directory => {
                let made = self.put.directory(&path).map_err(at)?;
                self.made(made, 0, reservation)?;
                return Ok(());
            }
            Kind::Fifo => self
                .put
                .fifo(&path, found.mode, found.modified)
                .map_err(at)?,
            Kind::File => self.file(found, &path, data)?,
            Kind::Symlink(_) | Kind::HardLink(_) => return Ok(()),
        };
        let made = placed.parents + u64::from(placed.replaced.is_none());
        self.change.bytes += signed(found.size) - signed(placed.replaced.unwrap_or(0));
        // What was asked for in advance has this entry in it, and not the directories on the way.
        self.made(made, 1, reservation)
    }

    /// So many directory entries more, of which so many were asked for in advance.
    fn made(
        &mut self,
        made: u64,
        expected: u64,
        reservation: &mut Reservation,
    ) -> Result<(), Ended> {
        self.change.files += signed(made);
        self.made += made;
        if self.made > self.extraction.max_files {
            let why = format!(
                "makes more than {} files and directories, which are the most that may be unpacked",
                self.extraction.max_files
            );
            return Err(Stop::TooLarge(why).into());
        }
        let unexpected = made.saturating_sub(expected.max(1));
        if unexpected > 0 {
            reservation.grow(Amount {
                bytes: 0,
                files: unexpected,
            })?;
        }
        Ok(())
    }

    fn file(
        &mut self,
        found: &Found,
        path: &RelativePath,
        data: &mut dyn Read,
    ) -> Result<Placed, Ended> {
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
                hole = chunk.iter().all(|b| *b == 0);
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

    /// Links, and then what directories are like, once nothing is put into them any more.
    pub fn later(&mut self, later: &mut File) -> Result<(), Ended> {
        for links in [true, false] {
            later.seek(SeekFrom::Start(0)).map_err(scratch)?;
            let mut from = BufReader::new(&*later);
            while let Some(one) = Later::read(&mut from).map_err(scratch)? {
                if (one.what == What::Directory) == links {
                    continue;
                }
                self.inside.step()?;
                self.one_later(&one)?;
            }
        }
        Ok(())
    }

    fn one_later(&mut self, one: &Later) -> Result<(), Ended> {
        let at = at(self.extraction, &one.path);
        let placed = match &one.what {
            What::Directory => {
                let dressed = self.put.dress_directory(&one.path, one.mode, one.modified);
                return dressed.map_err(at);
            }
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
        let placed = placed.map_err(at)?;
        self.inside.control.entry_done();
        let made = placed.parents + u64::from(placed.replaced.is_none());
        self.change.files += signed(made);
        self.change.bytes -= signed(placed.replaced.unwrap_or(0));
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

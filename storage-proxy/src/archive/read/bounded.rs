//! Bytes of an archive, with an eye on how many come out of it and on the wish to stop.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt as _,
};

use super::{Broken, Stop};
use crate::tree::Control;

/// How much an archive of so many bytes may unpack to, whatever a request allows: 1,100 times as much, and 1 GiB for free.
/// (Deflate makes anything at most 1,032 times smaller. Zstandard has no such limit, and nothing else that people keep comes
/// near.)
const MOST_RATIO: u64 = 1_100;
const FREE: u64 = 1 << 30;
static ZEROS: [u8; super::CHUNK] = [0; super::CHUNK];

/// How much may come out of an archive.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    unpacked: u64,
    /// With the zeros.
    whole: u64,
}

impl Bounds {
    /// For an archive of `size` bytes, of which at most `most` are wanted.
    #[must_use]
    pub fn new(size: u64, most: u64) -> Self {
        let unpacked = size.saturating_mul(MOST_RATIO).saturating_add(FREE);
        Self {
            unpacked,
            whole: unpacked.saturating_add(most),
        }
    }

    /// Whether so much may.
    ///
    /// # Errors
    /// [`Stop::TooLarge`].
    pub fn check(self, unpacked: u64) -> Result<(), Stop> {
        if unpacked <= self.unpacked {
            return Ok(());
        }
        let why = format!(
            "unpacks to more than {} bytes, {MOST_RATIO} times its own size and 1 GiB: it looks like a bomb. If it is none, \
             unpack it where you made it and upload the files",
            self.unpacked
        );
        Err(Stop::TooLarge(why))
    }

    /// The same where `zeros` more have come, which were found to be zeros: they become holes and take no space, so they
    /// are bounded by nothing but what is wanted.
    fn check_with(self, unpacked: u64, zeros: u64) -> Result<(), Stop> {
        self.check(unpacked)?;
        if unpacked.saturating_add(zeros) <= self.whole {
            return Ok(());
        }
        let why = "has more zeros in it than may be unpacked";
        Err(Stop::TooLarge(why.into()))
    }
}

/// Something that is read once from start to end, and may be able to pass over parts for free.
pub(super) trait Source: Read {
    /// Passes over so many bytes, which must be there.
    fn skip(&mut self, bytes: u64) -> Result<(), Stop>;

    /// Once nothing more of it counts: whether all was well, as far as that is told only at the end.
    fn finish(&mut self) -> Result<(), Stop>;
}

/// A file that is read where nobody else's position counts.
pub(super) struct Plain<'a> {
    file: &'a File,
    at: u64,
    end: u64,
    control: &'a Control,
}

impl<'a> Plain<'a> {
    pub fn new(file: &'a File, end: u64, control: &'a Control) -> Self {
        Self::part(file, 0, end, control)
    }

    /// From `at` to `end`.
    pub fn part(file: &'a File, at: u64, end: u64, control: &'a Control) -> Self {
        Self {
            file,
            at,
            end,
            control,
        }
    }
}

impl Read for Plain<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        check(self.control)?;
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let most = left.min(buffer.len());
        let got = self.file.read_at(&mut buffer[..most], self.at)?;
        self.at += got as u64;
        Ok(got)
    }
}

impl Source for Plain<'_> {
    fn skip(&mut self, bytes: u64) -> Result<(), Stop> {
        check(self.control)?;
        if bytes > self.end - self.at {
            return Err(cut_off().into());
        }
        self.at += bytes;
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Stop> {
        Ok(())
    }
}

/// What comes out of a decompressor.
pub(super) struct Metered<'a> {
    inner: Box<dyn Read + 'a>,
    bounds: Bounds,
    control: &'a Control,
    out: u64,
    zeros: u64,
}

impl<'a> Metered<'a> {
    pub fn new(inner: Box<dyn Read + 'a>, bounds: Bounds, control: &'a Control) -> Self {
        Self {
            inner,
            bounds,
            control,
            out: 0,
            zeros: 0,
        }
    }
}

impl Read for Metered<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        check(self.control)?;
        // Not all that the caller has room for: the wish to stop must be heard.
        let most = buffer.len().min(super::CHUNK);
        let got = self.inner.read(&mut buffer[..most])?;
        match buffer[..got] == ZEROS[..got] {
            true => self.zeros += got as u64,
            false => self.out += got as u64,
        }
        self.bounds.check_with(self.out, self.zeros)?;
        Ok(got)
    }
}

impl Source for Metered<'_> {
    fn skip(&mut self, mut bytes: u64) -> Result<(), Stop> {
        let mut buffer = [0; 16 << 10];
        while bytes > 0 {
            let most = usize::try_from(bytes)
                .unwrap_or(usize::MAX)
                .min(buffer.len());
            let got = self.read(&mut buffer[..most])?;
            if got == 0 {
                return Err(cut_off().into());
            }
            bytes -= got as u64;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Stop> {
        let mut rest = [0; 16 << 10];
        while self.read(&mut rest)? > 0 {}
        Ok(())
    }
}

/// As much as there is from `at` on, up to all that there is room for.
pub(super) fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read_at(&mut buffer[length..], at + length as u64) {
            Ok(0) => break,
            Ok(got) => length += got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

pub(super) fn check(control: &Control) -> Result<(), Stop> {
    control.check().map_err(|_| Stop::Stopped)
}

pub(super) fn cut_off() -> Broken {
    Broken::archive("ends too soon: it is cut off")
}

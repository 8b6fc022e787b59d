//! Reads archives that nobody vouches for: whatever is in the file, it ends with an answer, and neither memory nor time
//! grow by more than the file and the bounds admit.

mod bounded;
mod pax;
mod stop;
mod tar;
mod zip;

use std::{fs::File, io::BufReader, io::Read};

use flate2::bufread::MultiGzDecoder;

pub use self::{
    bounded::Bounds,
    stop::{Broken, Stop},
};
use self::{
    bounded::{Metered, Plain, read_at},
    tar::Tar,
    zip::Zip,
};
use super::Format;
use crate::tree::Control;

/// Bytes of the file that are read at once.
const CHUNK: usize = 64 << 10;
/// How much of what has come out a Zstandard archive may refer back to, and makes us keep: 32 MiB, which is what "zstd -20"
/// uses. The format allows 2 TiB, the library 128 MiB.
const WINDOW_LOG: u32 = 25;

/// An entry of an archive, as the archive says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name: any bytes at all.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// Last change of its data; seconds and nanoseconds since 1970.
    pub modified: (i64, i64),
    /// Bytes of data, as announced: of a tar, there are as many; of a zip, no more. 0 of what is no file.
    pub size: u64,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symlink, and where it points.
    Symlink(Vec<u8>),
    /// Another name of the file that is under this name in the archive.
    HardLink(Vec<u8>),
    /// A named pipe.
    Fifo,
}

/// An archive in a file.
#[derive(Debug)]
pub struct Reader<'a> {
    file: &'a File,
    size: u64,
    format: Format,
    bounds: Bounds,
    control: &'a Control,
}

impl<'a> Reader<'a> {
    /// Over a file of `size` bytes, of which more is not looked at. Only the stop flag of `control` is used.
    #[must_use]
    pub fn new(
        file: &'a File,
        size: u64,
        format: Format,
        bounds: Bounds,
        control: &'a Control,
    ) -> Self {
        Self {
            file,
            size,
            format,
            bounds,
            control,
        }
    }

    /// Visits the entries, in the archive's order, with their data. What `visit` does not read of that is passed over,
    /// which costs nothing where it need not be unpacked for it.
    ///
    /// # Errors
    /// Those of `visit`, and [`Stop`]. That the data is not what was announced, reading it tells.
    pub fn each<E: From<Stop>>(
        &self,
        visit: &mut dyn FnMut(Found, &mut dyn Read) -> Result<(), E>,
    ) -> Result<(), E> {
        let plain = || Plain::new(self.file, self.size, self.control);
        let metered = |source| Metered::new(source, self.bounds, self.control);
        let buffered = || BufReader::with_capacity(CHUNK, plain());
        match self.format {
            Format::Tar => Tar::new(&mut plain()).each(visit),
            Format::TarGz => {
                let unpacked = MultiGzDecoder::new(buffered());
                Tar::new(&mut metered(Box::new(unpacked))).each(visit)
            }
            Format::TarZst => {
                let mut unpacked = zstd::Decoder::with_buffer(buffered()).map_err(Stop::from)?;
                unpacked.window_log_max(WINDOW_LOG).map_err(Stop::from)?;
                Tar::new(&mut metered(Box::new(unpacked))).each(visit)
            }
            Format::Zip => {
                let zip = Zip::open(self.file, self.size, self.bounds, self.control)?;
                zip.each(visit)
            }
        }
    }
}

/// Finds out from its first bytes how the archive in `file` is written, if it is one.
///
/// # Errors
/// Those of reading it.
pub fn detect(file: &File) -> Result<Option<Format>, Stop> {
    let mut first = [0; tar::BLOCK];
    let length = read_at(file, &mut first, 0)?;
    let first = &first[..length];
    Ok(
        if first.starts_with(b"PK\x03\x04") || first.starts_with(b"PK\x05\x06") {
            Some(Format::Zip)
        } else if first.starts_with(b"\x1f\x8b") {
            Some(Format::TarGz)
        } else if first.starts_with(b"\x28\xb5\x2f\xfd") {
            Some(Format::TarZst)
        } else if tar::begins(first) {
            Some(Format::Tar)
        } else {
            None
        },
    )
}

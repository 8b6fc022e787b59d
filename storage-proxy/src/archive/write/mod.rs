//! Writes archives.

mod tar;
mod zip;

use std::io::{self, Read, Write};

use flate2::{Compression, write::GzEncoder};

use self::{tar::Tar, zip::Zip};
use super::{Entry, Format};

pub use self::zip::is_too_large;

/// Bytes that are read and written at once.
const CHUNK: usize = 128 << 10;
/// Zstandard's own default.
const ZSTD_LEVEL: i32 = 3;

/// An archive that is being written, in memory that does not grow with it, but for zip: there each entry takes its name
/// and about a hundred bytes until the end.
pub struct Writer<W: Write> {
    to: To<W>,
    buffer: Box<[u8]>,
}

enum To<W: Write> {
    Tar(Tar<W>),
    TarGz(Tar<GzEncoder<W>>),
    TarZst(Tar<zstd::Encoder<'static, W>>),
    Zip(Zip<W>),
}

impl<W: Write> Writer<W> {
    /// An empty one.
    ///
    /// # Errors
    /// Out of memory.
    pub fn new(format: Format, to: W) -> io::Result<Self> {
        let to = match format {
            Format::Tar => To::Tar(Tar::new(to)),
            Format::TarGz => To::TarGz(Tar::new(GzEncoder::new(to, Compression::default()))),
            Format::TarZst => To::TarZst(Tar::new(zstd::Encoder::new(to, ZSTD_LEVEL)?)),
            Format::Zip => To::Zip(Zip::new(to)),
        };
        Ok(Self {
            to,
            buffer: vec![0; CHUNK].into(),
        })
    }

    /// Whether a file's other names can be written as such.
    #[must_use]
    pub fn has_hard_links(&self) -> bool {
        !matches!(self.to, To::Zip(_))
    }

    /// Writes an entry; of a file, as many bytes of `data` as it has. What the format doesn't have (of zip: pipes and hard
    /// links) is left out.
    ///
    /// # Errors
    /// Those of what it is written to, and of `data`; `UnexpectedEof` if that ends too soon; [`is_too_large`]. After
    /// any, what was written is no archive, and nothing more can be written.
    pub fn entry(&mut self, entry: &Entry<'_>, data: &mut dyn Read) -> io::Result<()> {
        let buffer = &mut self.buffer;
        match &mut self.to {
            To::Tar(tar) => tar.entry(entry, data, buffer),
            To::TarGz(tar) => tar.entry(entry, data, buffer),
            To::TarZst(tar) => tar.entry(entry, data, buffer),
            To::Zip(zip) => zip.entry(entry, data, buffer),
        }
    }

    /// Writes what comes after the last entry.
    ///
    /// # Errors
    /// Those of what it is written to.
    pub fn finish(self) -> io::Result<W> {
        match self.to {
            To::Tar(tar) => tar.finish(),
            To::TarGz(tar) => tar.finish()?.finish(),
            To::TarZst(tar) => tar.finish()?.finish(),
            To::Zip(zip) => zip.finish(),
        }
    }
}

/// Writes `size` bytes of `data`, and tells `see` of them on the way.
fn copy(
    data: &mut dyn Read,
    mut size: u64,
    buffer: &mut [u8],
    to: &mut impl Write,
    mut see: impl FnMut(&[u8]),
) -> io::Result<()> {
    while size > 0 {
        let most = usize::try_from(size)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let got = data.read(&mut buffer[..most])?;
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        see(&buffer[..got]);
        to.write_all(&buffer[..got])?;
        size -= got as u64;
    }
    Ok(())
}

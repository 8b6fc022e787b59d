//! Archives, as streams of bytes: written to what can't be rewound, read from files that nobody vouches for.
//!
//! It knows the formats and nothing of trees. The zip side is ours, since what is needed is what libraries don't do
//! (ADR 24): names that are not UTF-8, a directory that is read entry by entry instead of held in memory, and a check that
//! no two entries share their data. Of tar, the headers are those of the crate `tar`, and what is between them is read
//! here, within bounds: a name or a pax record may be as long as somebody who wants all our memory likes.

mod counting;
mod entry;
mod msdos;
mod read;
mod write;

pub use entry::{Entry, What};
pub use read::{Bounds, Broken, Found, Kind, Reader, Stop, detect};
pub use write::{Writer, is_too_large};

use serde::{Deserialize, Serialize};

/// How an archive is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// tar (POSIX.1-2001, pax).
    Tar,
    /// tar, compressed with gzip.
    TarGz,
    /// tar, compressed with Zstandard.
    TarZst,
    /// zip.
    Zip,
}

impl Format {
    /// How names of such files end.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Tar => "tar",
            Self::TarGz => "tar.gz",
            Self::TarZst => "tar.zst",
            Self::Zip => "zip",
        }
    }

    /// The media type (RFC 8878 for Zstandard, RFC 6713 for gzip).
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Tar => "application/x-tar",
            Self::TarGz => "application/gzip",
            Self::TarZst => "application/zstd",
            Self::Zip => "application/zip",
        }
    }
}

//! Why an archive is not read to its end.

use std::{fmt, io};

use rustix::io::Errno;
use thiserror::Error;

/// Why.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Stop {
    /// It is no archive that can be unpacked safely.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// There is more in it than the bounds admit.
    #[error("the archive {0}")]
    TooLarge(String),
    /// Whoever reads it was asked to stop.
    #[error("cancelled")]
    Stopped,
    /// The file can't be read.
    #[error("reading the archive failed: {0}")]
    System(Errno),
}

/// What is wrong with an archive.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct Broken {
    /// With which entry; empty: with all of it, or it isn't known.
    pub entry: Vec<u8>,
    /// What.
    pub why: String,
}

impl Broken {
    /// Wrong with the archive as a whole.
    pub fn archive(why: impl Into<String>) -> Self {
        Self {
            entry: Vec::new(),
            why: why.into(),
        }
    }

    /// Wrong with one entry.
    pub fn entry(name: &[u8], why: impl Into<String>) -> Self {
        Self {
            entry: name.to_vec(),
            why: why.into(),
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Of a name that is made to be long.
        const SHOWN: usize = 200;
        if self.entry.is_empty() {
            return write!(f, "the archive {}", self.why);
        }
        let shown = &self.entry[..self.entry.len().min(SHOWN)];
        let dots = if shown.len() < self.entry.len() {
            "…"
        } else {
            ""
        };
        write!(
            f,
            "the archive's entry \"{}{dots}\" {}",
            shown.escape_ascii(),
            self.why
        )
    }
}

/// Through `Read`, which knows but one type of errors.
impl From<Stop> for io::Error {
    fn from(stop: Stop) -> Self {
        Self::other(stop)
    }
}

/// What comes out of a `Read` of this module.
impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        if let Some(errno) = Errno::from_io_error(&error) {
            return Self::System(errno);
        }
        match error.downcast::<Self>() {
            Ok(stop) => stop,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Broken::archive("ends too soon: it is cut off").into()
            }
            // Of a decompressor.
            Err(error) => Broken::archive(format!("is damaged: {error}")).into(),
        }
    }
}

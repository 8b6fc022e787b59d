//! A file whose content is copied, and its copy.

use std::os::fd::OwnedFd;

use rustix::fs::fstat;

use super::{checkpoint::Ongoing, direct::Direct, entry::Copying};
use crate::tree::{Control, Fault, Meta, digest::ContentHasher, error::system};

/// Of files from here on it is told how far they are, so that a killed copy goes on within them.
const LARGE: u64 = 64 << 20;

/// A file and its copy.
pub(super) struct Pair<'a> {
    pub source: &'a OwnedFd,
    pub target: &'a OwnedFd,
    pub control: &'a Control,
    ongoing: &'a Ongoing,
    /// Takes in what is copied, where that is wanted.
    pub hasher: Option<&'a mut ContentHasher>,
    /// The inode number of a large copy, which tells how far it is.
    told: Option<u64>,
    /// Whether what is large of it is written past the page cache.
    pub writes_directly: bool,
    pub direct: Direct<'a>,
}

impl<'a> Pair<'a> {
    pub fn new(
        source: &'a OwnedFd,
        target: &'a OwnedFd,
        meta: &Meta,
        job: &'a Copying<'_>,
    ) -> Result<Self, Fault> {
        let told = if meta.size >= LARGE {
            let target = fstat(target).map_err(system("fstat"))?;
            Some(Meta::from(target).id.ino)
        } else {
            None
        };
        Ok(Self {
            source,
            target,
            control: job.control,
            ongoing: job.ongoing,
            hasher: None,
            told,
            writes_directly: job.habits.writes_directly,
            direct: Direct::new(target),
        })
    }

    /// All before `at` is copied.
    pub fn reached(&self, at: u64) {
        if let Some(ino) = self.told {
            self.ongoing.reached(ino, at);
        }
    }
}

impl Drop for Pair<'_> {
    fn drop(&mut self) {
        if let Some(ino) = self.told {
            self.ongoing.done(ino);
        }
    }
}

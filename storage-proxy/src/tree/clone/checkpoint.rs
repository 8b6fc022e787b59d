//! What a copy that is killed leaves for the next life to go on from.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};

use crate::tree::Meta;

/// A moment by the clock of the filesystem that the copy is on, as its inodes tell it: seconds and nanoseconds since 1970.
pub type Moment = (i64, i64);

/// What is known of a copy that was begun. To be kept where it outlives a power cut.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Checkpoint {
    /// When it was begun, before anything of the source was read.
    pub began: Moment,
    /// All of the copy that was last changed before this moment is durable. Nothing: none of it need be.
    pub durable: Option<Moment>,
    /// Of files that were not complete at the time: their inode number in the copy, and how many of their first bytes are
    /// durable.
    pub partial: Vec<(u64, u64)>,
}

impl Checkpoint {
    /// Of a copy that begins.
    #[must_use]
    pub fn first(began: Moment) -> Self {
        Self {
            began,
            durable: None,
            partial: Vec::new(),
        }
    }
}

/// How far the large files are that are being copied, for the next [`Checkpoint`].
#[derive(Debug, Default)]
pub struct Ongoing(Mutex<HashMap<u64, u64>>);

impl Ongoing {
    /// Inode numbers in the copy, and how many bytes of each are written.
    #[must_use]
    pub fn offsets(&self) -> Vec<(u64, u64)> {
        self.lock().iter().map(|(ino, at)| (*ino, *at)).collect()
    }

    pub(super) fn reached(&self, ino: u64, at: u64) {
        self.lock().insert(ino, at);
    }

    pub(super) fn done(&self, ino: u64) {
        self.lock().remove(&ino);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far an entry of the copy that is there already can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It is complete, durable, and what the source says.
    Whole,
    /// It is complete, but a power cut may have taken contents that were not durable: they must be compared.
    Unproven,
    /// So many of its first bytes are what the source says; what follows must be compared.
    Begun(u64),
    /// Nothing: it must be made anew.
    Nothing,
}

/// A [`Checkpoint`] to go on from.
#[derive(Debug)]
pub(super) struct Resume {
    began: Moment,
    durable: Option<Moment>,
    partial: HashMap<u64, u64>,
}

impl Resume {
    pub fn from(checkpoint: &Checkpoint) -> Self {
        Self {
            began: checkpoint.began,
            durable: checkpoint.durable,
            partial: checkpoint.partial.iter().copied().collect(),
        }
    }

    /// Judges what is no directory. What is complete shows by its times, which are what an entry gets last.
    pub fn judge(&self, source: &Meta, copy: &Meta) -> Trust {
        if source.kind != copy.kind || self.has_changed(source) {
            return Trust::Nothing;
        }
        let complete = copy.size == source.size
            && copy.device == source.device
            && (copy.mode, copy.uid, copy.gid) == (source.mode, source.uid, source.gid)
            && copy.modified == source.modified;
        if !complete {
            let trusted = self.partial.get(&copy.id.ino);
            return Trust::Begun(trusted.copied().unwrap_or(0).min(copy.size));
        }
        match self.durable {
            Some(durable) if copy.changed < durable => Trust::Whole,
            _ => Trust::Unproven,
        }
    }

    /// Whether a file or directory of the source has changed since the copy was begun.
    pub fn has_changed(&self, source: &Meta) -> bool {
        source.changed >= self.began || source.modified >= self.began
    }
}

//! What was written into which tree and what was seen there, as far as the clients know.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use uuid::Uuid;

use super::{history::Micros, trees::Digest};

/// A bundle written, or removed.
#[derive(Clone, Debug)]
pub struct Write {
    /// Into which vfolder.
    pub vfolder: Uuid,
    /// The bundle's name.
    pub bundle: String,
    /// Not before.
    pub start: Micros,
    /// Not after; NEVER if it is not known whether it happened at all.
    pub end: Micros,
    /// What is there afterwards.
    pub value: Option<Digest>,
}

/// A tree as somebody walked it.
#[derive(Clone, Debug)]
pub struct Look {
    /// Whose tree.
    pub vfolder: Uuid,
    /// When the walk began.
    pub start: Micros,
    /// When it ended.
    pub end: Micros,
    /// The one bundle that was looked at; nothing: all of them were.
    pub only: Option<String>,
    /// What was there.
    pub bundles: BTreeMap<String, Digest>,
    /// Who walked it, for people.
    pub who: String,
}

/// All of it.
#[derive(Debug, Default)]
pub struct Contents(Mutex<(Vec<Write>, Vec<Look>)>);

impl Contents {
    /// Notes a write.
    pub fn wrote(&self, write: Write) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .0
            .push(write);
    }

    /// Notes a look.
    pub fn looked(&self, look: Look) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .1
            .push(look);
    }

    /// Takes what was noted.
    #[must_use]
    pub fn take(&self) -> (Vec<Write>, Vec<Look>) {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

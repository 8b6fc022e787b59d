//! Which names share an inode: two trees agree if the inodes with several names pair up.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Mutex, PoisonError},
};

use crate::tree::{Meta, meta::FileId};

/// How many inodes with several names are remembered in each tree: some 40 MB.
const REMEMBERED: usize = 250_000;

/// The inodes of one tree and what they are in the other.
#[derive(Debug, Default)]
pub struct Pairs(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    second_of: HashMap<FileId, FileId>,
    first_of: HashMap<FileId, FileId>,
    overflown: bool,
}

/// How two files that have the same path are related.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// Neither was met before, or neither has other names.
    New,
    /// They were compared already, under another name.
    Compared,
    /// One of them belongs to another file of the other tree.
    Crossed,
    /// There are too many to tell.
    Unknown,
}

impl Pairs {
    /// Looks up two files that have the same path, and remembers them as a pair.
    pub fn relate(&self, first: &Meta, second: &Meta) -> Relation {
        if first.links < 2 && second.links < 2 {
            return Relation::New;
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Known {
            second_of,
            first_of,
            overflown,
        } = &mut *known;
        let full = second_of.len() >= REMEMBERED;
        match (second_of.entry(first.id), first_of.entry(second.id)) {
            (Entry::Occupied(one), Entry::Occupied(other))
                if *one.get() == second.id && *other.get() == first.id =>
            {
                Relation::Compared
            }
            (Entry::Vacant(one), Entry::Vacant(other)) if !full => {
                one.insert(second.id);
                other.insert(first.id);
                Relation::New
            }
            (Entry::Vacant(_), Entry::Vacant(_)) => {
                *overflown = true;
                Relation::Unknown
            }
            _ => Relation::Crossed,
        }
    }

    /// Whether all were told.
    pub fn complete(self) -> bool {
        let known = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        !known.overflown
    }
}

//! What an archive makes of each path: no entry may be below, or in the place of, what another entry makes something else.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher as _, RandomState},
};

use crate::{
    archive::{Broken, Kind, Stop},
    tree::RelativePath,
};

/// Symlinks and hard links of one archive at most: where they are is remembered, by sixteen bytes each or so.
const MOST_LINKS: usize = 2_000_000;
/// Other paths that are remembered, by sixteen bytes each or so.
const ROOM: usize = 1_000_000;

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Is {
    Directory,
    /// Anything but a symlink.
    File,
}

/// All paths that were taken, as hashes.
#[derive(Debug)]
pub(super) struct Shape {
    hashes: RandomState,
    symlinks: HashSet<u64>,
    others: HashMap<u64, Is>,
    room: usize,
    links: usize,
}

impl Default for Shape {
    fn default() -> Self {
        Self::with_room(ROOM)
    }
}

impl Shape {
    fn with_room(room: usize) -> Self {
        Self {
            hashes: RandomState::new(),
            symlinks: HashSet::new(),
            others: HashMap::new(),
            room,
            links: 0,
        }
    }

    /// Whether there were more paths than are remembered, and symlinks: then each entry has to be looked at once more,
    /// by [`Shape::look_again`], since some symlinks came after it.
    pub fn is_unsure(&self) -> bool {
        self.others.len() >= self.room && !self.symlinks.is_empty()
    }

    /// The entry `name` puts such a thing at `path`.
    pub fn take(&mut self, name: &[u8], kind: &Kind, path: &RelativePath) -> Result<(), Stop> {
        if matches!(kind, Kind::Symlink(_) | Kind::HardLink(_)) {
            self.links += 1;
            if self.links > MOST_LINKS {
                let why = format!("has more than {MOST_LINKS} links");
                return Err(Stop::TooLarge(why));
            }
        }
        let own = self.descend(name, path)?;
        let there = self.others.get(&own).copied();
        let is = match kind {
            Kind::Symlink(_) => {
                if there.is_some() {
                    let why = "is a symlink in the place of what another entry makes";
                    return Err(Broken::entry(name, why).into());
                }
                self.symlinks.insert(own);
                return Ok(());
            }
            Kind::Directory => Is::Directory,
            Kind::File | Kind::HardLink(_) | Kind::Fifo => Is::File,
        };
        self.not_a_symlink(name, own)?;
        match there {
            Some(other) if other != is => {
                let why = "is a file by one entry of the archive, and a directory by another";
                Err(Broken::entry(name, why).into())
            }
            _ => {
                self.remember(own, is);
                Ok(())
            }
        }
    }

    /// The entry `name` is a hard link to what is at `target`.
    pub fn link_to(&mut self, name: &[u8], target: &RelativePath) -> Result<(), Stop> {
        let own = self.descend(name, target)?;
        self.not_a_symlink(name, own)
    }

    /// Whether what is known by now still admits the entry `name` at `path`.
    pub fn look_again(&self, name: &[u8], kind: &Kind, path: &RelativePath) -> Result<(), Stop> {
        let mut hash = 0;
        let mut components = path.components().peekable();
        while let Some(component) = components.next() {
            hash = self.hashes.hash_one((hash, component));
            if components.peek().is_some() {
                self.not_through_a_symlink(name, hash)?;
            } else if !matches!(kind, Kind::Symlink(_)) {
                self.not_a_symlink(name, hash)?;
            }
        }
        Ok(())
    }

    /// Takes the directories on the way to `path`; answers the hash of all of it.
    fn descend(&mut self, name: &[u8], path: &RelativePath) -> Result<u64, Stop> {
        let mut hash = 0;
        let mut components = path.components().peekable();
        while let Some(component) = components.next() {
            // Of the directory's hash and the name in it: a long path is not hashed anew for each of its components.
            hash = self.hashes.hash_one((hash, component));
            if components.peek().is_none() {
                break;
            }
            self.not_through_a_symlink(name, hash)?;
            if self.others.get(&hash) == Some(&Is::File) {
                let why = "is below what another entry makes a file";
                return Err(Broken::entry(name, why).into());
            }
            self.remember(hash, Is::Directory);
        }
        Ok(hash)
    }

    fn not_through_a_symlink(&self, name: &[u8], hash: u64) -> Result<(), Stop> {
        match self.symlinks.contains(&hash) {
            true => {
                Err(Broken::entry(name, "leads through a symlink that the archive makes").into())
            }
            false => Ok(()),
        }
    }

    fn not_a_symlink(&self, name: &[u8], hash: u64) -> Result<(), Stop> {
        let why = "takes the place of a symlink that the archive makes, or links to it";
        match self.symlinks.contains(&hash) {
            true => Err(Broken::entry(name, why).into()),
            false => Ok(()),
        }
    }

    fn remember(&mut self, hash: u64, is: Is) {
        if self.others.len() < self.room {
            self.others.insert(hash, is);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn path(text: &str) -> RelativePath {
        RelativePath::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn beyond_its_room_a_symlink_that_comes_last_is_found_when_all_is_looked_at_again() {
        let mut shape = Shape::with_room(3);
        let entries = ["a/b", "c", "s/x", "t"];
        for entry in entries {
            shape
                .take(entry.as_bytes(), &Kind::File, &path(entry))
                .unwrap();
        }
        assert!(!shape.is_unsure(), "there is no symlink");
        for symlink in ["s", "t", "u"] {
            let kind = Kind::Symlink(b"/tmp".to_vec());
            shape.take(b"link", &kind, &path(symlink)).unwrap();
        }
        assert!(shape.is_unsure());
        let again = |entry: &str| {
            let looked = shape.look_again(entry.as_bytes(), &Kind::File, &path(entry));
            looked.is_ok()
        };
        assert_eq!(entries.map(again), [true, true, false, false]);
        let kind = Kind::Symlink(b"/tmp".to_vec());
        assert!(shape.look_again(b"u", &kind, &path("u")).is_ok());
    }
}

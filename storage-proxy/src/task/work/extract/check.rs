//! Looks at everything in an archive that can make it fail, before anything is written.

use std::{
    collections::HashSet,
    fs::File,
    hash::{BuildHasher, RandomState},
    io::{BufWriter, Read, Write as _},
};

use super::{
    Plan,
    later::{Later, What, scratch},
    names::path_of,
    seen::Seen,
};
use crate::{
    archive::{Broken, Found, Kind, Reader, Stop},
    task::{
        Existing, Extraction,
        work::inside::{Ended, Inside},
    },
    tree::{Fault, FileKind, Put, RelativePath},
};

/// Symlinks and hard links of one archive at most: what they are called is remembered, by sixteen bytes each or so.
const MOST_LINKS: usize = 2_000_000;

pub(super) struct Check<'a> {
    extraction: &'a Extraction,
    inside: &'a Inside<'a>,
    /// Of the destination, if it is there.
    there: Option<Put>,
    /// Of an earlier life: what is there now may be its own.
    before: Option<Seen>,
    seen: Seen,
    plan: Plan,
    hashes: RandomState,
    symlinks: HashSet<u64>,
    links: usize,
}

/// What was found.
pub(super) struct Checked {
    pub plan: Plan,
    pub seen: Seen,
}

impl<'a> Check<'a> {
    pub fn new(extraction: &'a Extraction, inside: &'a Inside<'a>, before: Option<Seen>) -> Self {
        Self {
            extraction,
            inside,
            there: None,
            before,
            seen: Seen::default(),
            plan: Plan::default(),
            hashes: RandomState::new(),
            symlinks: HashSet::new(),
            links: 0,
        }
    }

    /// Reads the whole archive. What is to be done after the files goes into `later`.
    pub fn run(mut self, reader: &Reader<'_>, later: &mut File) -> Result<Checked, Ended> {
        let destination = &self.extraction.destination;
        self.there = match self.inside.tree.directory(destination) {
            Err(Fault::NotFound) => None,
            opened => {
                let put = opened.and_then(|opened| Put::into(opened, Default::default()));
                Some(put.map_err(Ended::at(destination))?)
            }
        };
        let mut later = BufWriter::new(later);
        reader.each(&mut |found, data: &mut dyn Read| self.entry(found, data, &mut later))?;
        later.flush().map_err(scratch)?;
        Ok(Checked {
            plan: self.plan,
            seen: self.seen,
        })
    }

    fn entry(
        &mut self,
        found: Found,
        _: &mut dyn Read,
        later: &mut BufWriter<&mut File>,
    ) -> Result<(), Ended> {
        let number = self.plan.entries;
        self.plan.entries += 1;
        self.within_bounds(&found)?;
        let broken = |why: &str| Ended::from(Stop::from(Broken::entry(&found.name, why)));
        let destination = self.extraction.destination.as_bytes().len();
        let path = path_of(&found.name, destination).map_err(Stop::from)?;
        if path.is_root() {
            return match found.kind {
                Kind::Directory => Ok(()),
                _ => Err(broken("would take the place of the destination itself")),
            };
        }
        self.not_through_its_own_symlinks(&found, &path)?;
        let full = self.full(&path);
        if full.as_slice() == self.extraction.archive.as_bytes()
            && self.extraction.existing == Existing::Replace
        {
            return Err(broken("would replace the archive itself"));
        }
        let was_there = self.was_there(number, &found, &path)?;
        self.seen.note(number, was_there);
        let skipped = was_there
            && (found.kind == Kind::Directory || self.extraction.existing == Existing::Skip);
        if !skipped {
            self.plan.wanted += 1;
            self.plan.bytes += found.size;
        }
        let what = match found.kind {
            Kind::File | Kind::Fifo => return Ok(()),
            Kind::Directory => What::Directory,
            Kind::Symlink(target) => {
                if target.is_empty() || target.contains(&0) || target.len() >= 4096 {
                    let why = "is a symlink with an impossible target";
                    return Err(Stop::from(Broken::entry(&found.name, why)).into());
                }
                What::Symlink(target)
            }
            Kind::HardLink(target) => {
                let target = path_of(&target, destination).map_err(|_| {
                    let why = "is a hard link to what is not in the destination";
                    Stop::from(Broken::entry(&found.name, why))
                })?;
                self.not_through_its_own_symlinks(
                    &Found {
                        kind: Kind::File,
                        ..Found::of(&found.name)
                    },
                    &target,
                )?;
                What::HardLink(target)
            }
        };
        if skipped {
            return Ok(());
        }
        let note = Later {
            path,
            what,
            mode: found.mode,
            modified: found.modified,
        };
        note.write(later).map_err(scratch)
    }

    fn within_bounds(&self, found: &Found) -> Result<(), Stop> {
        let Extraction {
            max_bytes,
            max_files,
            ..
        } = *self.extraction;
        if self.plan.entries > max_files {
            let why = format!(
                "has more than {max_files} entries, which are the most that may be unpacked"
            );
            return Err(Stop::TooLarge(why));
        }
        if self.plan.bytes.saturating_add(found.size) > max_bytes {
            let why = format!(
                "unpacks to more than {max_bytes} bytes, which are the most that may be unpacked"
            );
            return Err(Stop::TooLarge(why));
        }
        Ok(())
    }

    /// No entry is below, or in the place of, a symlink of the same archive, whichever comes first.
    fn not_through_its_own_symlinks(
        &mut self,
        found: &Found,
        path: &RelativePath,
    ) -> Result<(), Ended> {
        if matches!(found.kind, Kind::Symlink(_) | Kind::HardLink(_)) {
            self.links += 1;
            if self.links > MOST_LINKS {
                let why = format!("has more than {MOST_LINKS} links");
                return Err(Stop::TooLarge(why).into());
            }
        }
        let hash = |path: &[u8]| self.hashes.hash_one(path);
        let bytes = path.as_bytes();
        let prefixes = bytes.iter().enumerate();
        let above = prefixes.filter(|(_, b)| **b == b'/').map(|(at, _)| at);
        let through = above.map(|at| hash(&bytes[..at]));
        if !self.symlinks.is_empty() && { through }.any(|hash| self.symlinks.contains(&hash)) {
            let why = "leads through a symlink that the archive makes";
            return Err(Stop::from(Broken::entry(&found.name, why)).into());
        }
        let own = hash(bytes);
        if matches!(found.kind, Kind::Symlink(_)) {
            self.symlinks.insert(own);
        } else if self.symlinks.contains(&own) {
            let why = "takes the place of a symlink that the archive makes";
            return Err(Stop::from(Broken::entry(&found.name, why)).into());
        }
        Ok(())
    }

    /// Whether there was something before this operation.
    fn was_there(&self, number: u64, found: &Found, path: &RelativePath) -> Result<bool, Ended> {
        if let Some(before) = &self.before {
            return Ok(before.was_there(number));
        }
        let Some(put) = &self.there else {
            return Ok(false);
        };
        let full = self.full(path);
        let at = |fault| Ended::Tree(crate::tree::TreeError::new(fault, full.clone()));
        let Some(meta) = put.look(path).map_err(at)? else {
            return Ok(false);
        };
        let is_directory = meta.kind == FileKind::Directory;
        match (found.kind == Kind::Directory, is_directory) {
            (true, true) => Ok(true),
            (true, false) => Err(at(Fault::NotADirectory)),
            (false, true) => Err(at(Fault::Exists)),
            (false, false) if self.extraction.existing == Existing::Fail => Err(at(Fault::Exists)),
            (false, false) => Ok(true),
        }
    }

    fn full(&self, path: &RelativePath) -> Vec<u8> {
        let destination = self.extraction.destination.as_bytes();
        match destination {
            b"" => path.as_bytes().to_vec(),
            above => [above, b"/", path.as_bytes()].concat(),
        }
    }
}

impl Found {
    /// A file of that name, to say what is wrong with it.
    fn of(name: &[u8]) -> Self {
        Self {
            name: name.to_vec(),
            kind: Kind::File,
            mode: 0,
            modified: (0, 0),
            size: 0,
        }
    }
}

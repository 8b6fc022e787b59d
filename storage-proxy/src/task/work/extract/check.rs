//! Looks at everything in an archive that can make it fail, before anything is written.

use std::{
    ffi::CStr,
    fs::File,
    io::{BufWriter, Read, Write as _},
};

use super::{
    Plan,
    later::{Later, What, scratch},
    names::path_of,
    seen::Seen,
    shape::Shape,
};
use crate::{
    account::Amount,
    archive::{Broken, Found, Kind, Reader, Stop},
    task::{
        Existing, Extraction,
        work::inside::{Ended, Inside},
    },
    tree::{Fault, FileKind, Meta, Put, RelativePath, TreeError},
};

pub(super) struct Check<'a> {
    extraction: &'a Extraction,
    inside: &'a Inside<'a>,
    /// The name of what has none yet, which nothing in the archive may have.
    hidden: &'a CStr,
    /// Of the destination, if it is there.
    there: Option<Put>,
    /// Of an earlier life: what is there now may be its own.
    before: Option<Seen>,
    seen: Seen,
    plan: Plan,
    shape: Shape,
}

/// What was found.
pub(super) struct Checked {
    pub plan: Plan,
    pub seen: Seen,
}

impl<'a> Check<'a> {
    pub fn new(
        extraction: &'a Extraction,
        inside: &'a Inside<'a>,
        hidden: &'a CStr,
        before: Option<Seen>,
    ) -> Self {
        Self {
            extraction,
            inside,
            hidden,
            there: None,
            before,
            seen: Seen::default(),
            plan: Plan::default(),
            shape: Shape::default(),
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
        if self.shape.is_unsure() {
            reader.each(&mut |found, _: &mut dyn Read| self.look_again(&found))?;
        }
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
        if path.components().any(|name| name.as_c_str() == self.hidden) {
            return Err(broken("has a name that this operation needs for itself"));
        }
        self.shape.take(&found.name, &found.kind, &path)?;
        let full = self.full(&path);
        if full.as_slice() == self.extraction.archive.as_bytes()
            && self.extraction.existing == Existing::Replace
        {
            return Err(broken("would replace the archive itself"));
        }
        let now = self.look(&path);
        let was_there = match &self.before {
            Some(before) => before.was_there(number),
            None => self.was_there(&found, &path, now)?,
        };
        self.seen.note(number, was_there);
        let skipped = was_there
            && (found.kind == Kind::Directory || self.extraction.existing == Existing::Skip);
        if !skipped {
            self.plan.bytes += found.size;
            self.plan.more = self.plan.more.plus(more(&found, now.ok().flatten()));
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
                self.shape.link_to(&found.name, &target)?;
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

    /// Once all symlinks are known.
    fn look_again(&self, found: &Found) -> Result<(), Ended> {
        let destination = self.extraction.destination.as_bytes().len();
        let path = path_of(&found.name, destination).map_err(Stop::from)?;
        self.shape.look_again(&found.name, &found.kind, &path)?;
        if let Kind::HardLink(target) = &found.kind {
            let target = path_of(target, destination).map_err(Stop::from)?;
            self.shape.look_again(&found.name, &Kind::File, &target)?;
        }
        Ok(())
    }

    /// What is there now.
    fn look(&self, path: &RelativePath) -> Result<Option<Meta>, Fault> {
        self.there.as_ref().map_or(Ok(None), |put| put.look(path))
    }

    /// Whether there is something before this operation.
    fn was_there(
        &self,
        found: &Found,
        path: &RelativePath,
        now: Result<Option<Meta>, Fault>,
    ) -> Result<bool, Ended> {
        let full = self.full(path);
        let at = |fault| Ended::Tree(TreeError::new(fault, full.clone()));
        let Some(meta) = now.map_err(at)? else {
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

/// What there will be more than now: of what takes the place of something, the difference. So a task that goes on after a
/// crash asks for nothing that it has unpacked before, and that was counted since.
fn more(found: &Found, now: Option<Meta>) -> Amount {
    let replaced = now.map_or(0, |meta| meta.bytes_of_its_own());
    Amount {
        bytes: found.size.saturating_sub(replaced),
        files: u64::from(now.is_none()),
    }
}

//! Unpacks an archive inside a tree.
//!
//! The archive is read twice: once to look at everything that can make it fail (`check`), and once to write the files
//! (`unpack`). Links and the attributes of directories come last (`later`): nothing is written through a symlink of the
//! archive's, and a directory's time is not changed by what is put into it.
//!
//! What was there before is noted, entry by entry, before anything is written (`seen`). So a task that goes on after a
//! crash doesn't take its own files for somebody else's. From time to time what is written is made durable, and how far
//! that is goes into the journal.

mod check;
mod later;
mod names;
mod seen;
mod unpack;

use std::{ffi::CString, fs::File, os::fd::AsFd as _};

use rustix::fs::{AtFlags, statat};

use self::{check::Check, seen::Seen, unpack::Unpack};
use super::{
    Job,
    inside::{Ended, Inside},
};
use crate::{
    account::{Amount, Change},
    archive::{Bounds, Broken, Reader, Stop, detect},
    task::{Extraction, Failure, FailureKind, spec::InPlace},
    tree::{Fault, FileKind, Meta, Put, RelativePath, open::open_regular},
};

/// What there is to do, once everything was looked at.
#[derive(Clone, Copy, Debug, Default)]
struct Plan {
    /// Entries of the archive.
    entries: u64,
    /// Of them, those that are put somewhere.
    wanted: u64,
    /// Bytes of the files that are.
    bytes: u64,
}

impl Job<'_> {
    pub(super) fn extract(
        &self,
        extraction: &Extraction,
        inside: &Inside<'_>,
    ) -> Result<(), Ended> {
        let (file, size) = open(extraction, inside)?;
        let format = match extraction.format {
            Some(format) => format,
            None => detect(&file)?
                .ok_or_else(|| Stop::from(Broken::archive("is no tar, tar.gz, tar.zst or zip")))?,
        };
        let bounds = Bounds::for_size(size);
        let reader = Reader::new(&file, size, format, bounds, inside.control);
        let seen = match inside.before {
            // What was noted is there, or the disk has lost what it had.
            Some(_) => {
                let kept = self.volume.kept(self.operation)?;
                let lost = || {
                    Failure::lasting(
                        FailureKind::IoError,
                        "the note of what was there before is gone",
                    )
                };
                Some(Seen::from(kept.ok_or_else(lost)?))
            }
            None => None,
        };
        let mut later = self.volume.scratch_file().map_err(later::scratch)?;
        let checked = Check::new(extraction, inside, seen).run(&reader, &mut later)?;
        let plan = checked.plan;
        self.at("inside.checked")?;
        if inside.before.is_none() {
            self.volume.keep(self.operation, checked.seen.as_bytes())?;
            self.note_inside(InPlace::default())?;
        }
        self.at("inside.noted")?;
        inside.control.set_totals(plan.entries, plan.bytes);

        let asked = Amount {
            bytes: plan.bytes,
            files: plan.wanted,
        };
        let mut reservation = self.ledger.accounts.reserve(extraction.vfolder, asked)?;
        let mut unpack = Unpack::new(self, extraction, inside, put(extraction, inside)?, &checked);
        let unpacked = unpack
            .files(&reader, &mut reservation)
            .and_then(|()| unpack.later(&mut later));
        let Change { bytes, files } = unpack.change;
        // Whatever is there by now, however this ends.
        reservation.settle(Change { bytes, files });
        unpacked
    }
}

/// The archive, and how many bytes it has.
fn open(extraction: &Extraction, inside: &Inside<'_>) -> Result<(File, u64), Ended> {
    let path = &extraction.archive;
    let Some((above, name)) = path.split_last() else {
        return Err(not_a_file(path).into());
    };
    let parent = inside.tree.directory(&above).map_err(Ended::at(path))?;
    match open_regular(parent.as_fd(), &name, inside.control) {
        Ok((file, meta)) => Ok((file.into(), meta.size)),
        Err(Fault::Changed) => Err(match statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if Meta::from(stat).kind == FileKind::Symlink => {
                Ended::at(path)(Fault::Symlink)
            }
            _ => not_a_file(path).into(),
        }),
        Err(fault) => Err(Ended::at(path)(fault)),
    }
}

fn not_a_file(path: &RelativePath) -> Failure {
    let message = format!("\"{path}\" is no regular file, and so no archive");
    Failure::lasting(FailureKind::NotAFile, message)
}

/// The destination, made if it is missing.
fn put(extraction: &Extraction, inside: &Inside<'_>) -> Result<Put, Ended> {
    let at = Ended::at(&extraction.destination);
    let root = inside.tree.directory(&RelativePath::root()).map_err(&at)?;
    // Never a name of the archive's: it is of this operation alone.
    let hidden = CString::new(format!(".vfolder-{}.part", extraction.vfolder)).unwrap_or_default();
    let whole = Put::into(root, hidden.clone()).map_err(&at)?;
    inside.step()?;
    whole.directory(&extraction.destination).map_err(&at)?;
    let destination = inside
        .tree
        .directory(&extraction.destination)
        .map_err(&at)?;
    Put::into(destination, hidden).map_err(&at)
}

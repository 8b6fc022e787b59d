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
mod shape;
mod unpack;

use std::{ffi::CString, fs::File, os::fd::AsFd as _};

use rustix::fs::{AtFlags, statat};
use uuid::Uuid;

use self::{check::Check, seen::Seen, unpack::Unpack};
use super::{
    Job,
    inside::{Ended, Inside},
};
use crate::{
    account::{Accounts, Amount, Change, Reservation},
    archive::{Bounds, Broken, Reader, Stop, detect},
    task::{Extraction, Failure, FailureKind, Work, spec::InPlace},
    tree::{Fault, FileKind, Meta, Put, RelativePath, open::open_regular},
    volume::{OpenVolume, VolumeError},
};

/// What there is to do, once everything was looked at.
#[derive(Clone, Copy, Debug, Default)]
struct Plan {
    /// Entries of the archive.
    entries: u64,
    /// Bytes of the files that are put somewhere.
    bytes: u64,
    /// What there will be more in the tree.
    more: Amount,
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
        let bounds = Bounds::new(size, extraction.max_bytes);
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
        let hidden = hidden_name(self.operation);
        let check = Check::new(extraction, inside, &hidden, seen);
        let checked = check.run(&reader, &mut later)?;
        let plan = checked.plan;
        self.at("inside.checked")?;
        if inside.before.is_none() {
            self.volume.keep(self.operation, checked.seen.as_bytes())?;
            self.note_inside(InPlace::default())?;
        }
        self.at("inside.noted")?;
        inside.control.set_totals(plan.entries, plan.bytes);

        let accounts = &self.ledger.accounts;
        let mut reservation = accounts.try_reserve(extraction.vfolder, plan.more)?;
        let mut change = Change::default();
        let unpacked = destination(extraction, inside, hidden, &mut reservation, &mut change)
            .and_then(|put| {
                let put = put.noting(self.volume.place_note(self.operation)?);
                let mut unpack = Unpack::new(self, extraction, inside, put, &checked, change);
                let unpacked = unpack.all(&reader, &mut later, &mut reservation);
                change = unpack.change;
                unpacked
            });
        // Whatever is there by now, however this ends.
        reservation.settle(change);
        // What an earlier life has left of an entry may have been counted, and is gone.
        if unpacked.is_err() || inside.before.is_some() {
            accounts.unsure(extraction.vfolder);
        }
        unpacked
    }
}

/// Of what is not whole yet. Nobody else's: it is of this operation alone.
fn hidden_name(operation: Uuid) -> CString {
    CString::new(format!(".vfolder-{operation}.part")).unwrap_or_default()
}

/// Removes what an extraction that was killed, and does not go on, has left of an entry that was not whole.
///
/// # Errors
/// If the accounts can't be told.
pub(in crate::task) fn clear_hidden(
    volume: &OpenVolume,
    accounts: &Accounts,
    operation: Uuid,
    work: &Work,
) -> Result<(), VolumeError> {
    let Work::Extract(extraction) = work else {
        return Ok(());
    };
    let (Ok(Some(note)), Ok(Some(tree))) =
        (volume.place(operation), volume.tree(extraction.vfolder))
    else {
        return Ok(());
    };
    // It may have been counted since.
    accounts.disturb(volume, extraction.vfolder)?;
    let destination = tree.directory(&extraction.destination);
    let put = destination.and_then(|opened| Put::into(opened, hidden_name(operation)));
    if let Ok(put) = put {
        put.clear(&note);
    }
    accounts.unsure(extraction.vfolder);
    Ok(())
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

/// The destination, made if it is missing. `change` is what came with that.
fn destination(
    extraction: &Extraction,
    inside: &Inside<'_>,
    hidden: CString,
    reservation: &mut Reservation,
    change: &mut Change,
) -> Result<Put, Ended> {
    let at = Ended::at(&extraction.destination);
    let root = inside.tree.directory(&RelativePath::root()).map_err(&at)?;
    let whole = Put::into(root, hidden.clone()).map_err(&at)?;
    inside.step()?;
    let made = whole.directory(&extraction.destination);
    let files = whole.tally().made;
    change.files += i64::try_from(files).unwrap_or(i64::MAX);
    made.map_err(&at)?;
    reservation.try_grow(Amount { bytes: 0, files })?;
    let destination = inside
        .tree
        .directory(&extraction.destination)
        .map_err(&at)?;
    let put = Put::into(destination, hidden).map_err(&at)?;
    Ok(put.among(inside.tree.name_lock()))
}

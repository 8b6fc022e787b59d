//! Removes what is in a tree. What is removed is gone: there is no trash for parts of a vfolder.

use std::{os::fd::AsFd as _, sync::atomic::Ordering::Relaxed, thread};

use rustix::fs::{AtFlags, statat};

use super::{
    Job,
    inside::{Ended, Inside},
};
use crate::{
    account::Change,
    task::{Removal, spec::InPlace},
    tree::{Control, Fault, Workers, error::named, open::open_directory, usage},
};

impl Job<'_> {
    pub(super) fn remove(&self, removal: &Removal, inside: &Inside<'_>) -> Result<(), Ended> {
        let mut noted = inside.before.is_some();
        if !noted {
            // An earlier life may have removed something, and had no space to note that it would.
            let missing_ok = removal.missing_ok || self.task.begun_before.load(Relaxed);
            self.all_there(removal, missing_ok, inside)?;
            self.at("inside.checked")?;
            noted = self.note_removal()?;
        }
        self.at("inside.noted")?;
        let removed = self.remove_and_count(removal, inside, noted);
        // Whatever is gone by now, however this ends.
        let done = inside.control.progress();
        let less = |n: u64| i64::try_from(n).unwrap_or(i64::MAX).saturating_neg();
        let change = Change {
            bytes: less(done.bytes_done),
            files: less(done.entries_done),
        };
        self.ledger.accounts.changed(removal.vfolder, change);
        removed
    }

    /// Notes that what is missing from now on may have been removed by this. False: there is no space for it.
    fn note_removal(&self) -> Result<bool, Ended> {
        Ok(self.unless_full(self.note_inside(InPlace::default()))?)
    }

    /// Before anything is removed.
    fn all_there(
        &self,
        removal: &Removal,
        missing_ok: bool,
        inside: &Inside<'_>,
    ) -> Result<(), Ended> {
        for path in &removal.paths {
            let Some((above, name)) = path.split_last() else {
                return Err(Ended::at(path)(Fault::Exists));
            };
            let found = inside.tree.directory(&above).and_then(|parent| {
                statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW).map_err(named("fstatat"))
            });
            match found {
                Err(Fault::NotFound) if missing_ok => {}
                found => drop(found.map_err(Ended::at(path))?),
            }
        }
        Ok(())
    }

    fn remove_and_count(
        &self,
        removal: &Removal,
        inside: &Inside<'_>,
        mut noted: bool,
    ) -> Result<(), Ended> {
        let scan = Control::default();
        thread::scope(|scope| {
            let count = || count(removal, inside, &scan);
            let counting = thread::Builder::new().name("count".into());
            if let Err(error) = counting.spawn_scoped(scope, count) {
                tracing::warn!(operation = %self.operation, %error, "no thread to count what is to be removed");
            }
            let workers = self.volume.backend().capabilities().remove_workers;
            let mut paths = removal.paths.iter();
            let removed = paths.try_for_each(|path| {
                inside.step()?;
                // What forbids the removal stands, and what somebody has open, or still has its name, has all its bytes.
                let removed = inside.tree.remove_with(path, true, workers, inside.control);
                match removed {
                    // Gone with what it was below, or by an earlier life.
                    Err(error) if matches!(error.fault, Fault::NotFound | Fault::Gone) => {}
                    removed => removed.map_err(Ended::Tree)?,
                }
                if !noted {
                    noted = self.note_removal()?;
                }
                Ok(())
            });
            scan.stop();
            removed
        })
    }
}

/// For the progress only: whatever keeps the totals from being known, the removal will meet too.
fn count(removal: &Removal, inside: &Inside<'_>, scan: &Control) {
    let (mut entries, mut bytes) = (0, 0);
    for path in &removal.paths {
        let Some((above, name)) = path.split_last() else {
            return;
        };
        let Ok(parent) = inside.tree.directory(&above) else {
            continue;
        };
        match open_directory(&parent, &name) {
            Ok(directory) => match usage(directory.as_fd(), Workers::ONE, scan) {
                Ok(all) => (entries, bytes) = (entries + all.entries, bytes + all.bytes),
                Err(_) => return,
            },
            Err(_) => {
                if let Ok(stat) = statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW) {
                    entries += 1;
                    bytes += u64::try_from(stat.st_size).unwrap_or_default();
                }
            }
        }
    }
    inside.control.set_totals(entries, bytes);
}

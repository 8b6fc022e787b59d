//! Removes what is in a tree. What is removed is gone: there is no trash for parts of a vfolder.

use std::{os::fd::AsFd as _, thread};

use rustix::fs::{AtFlags, statat};

use super::{
    Job,
    inside::{Ended, Inside},
};
use crate::{
    account::Change,
    task::{Removal, spec::InPlace},
    tree::{
        Control, Fault, FileKind, Meta, Workers, error::named, open::open_directory, remove_tree,
        usage,
    },
};

impl Job<'_> {
    pub(super) fn remove(&self, removal: &Removal, inside: &Inside<'_>) -> Result<(), Ended> {
        if inside.before.is_none() {
            self.all_there(removal, inside)?;
            self.at("inside.checked")?;
            self.note_inside(InPlace::default())?;
        }
        self.at("inside.noted")?;
        let removed = self.remove_and_count(removal, inside);
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

    /// Before anything is removed.
    fn all_there(&self, removal: &Removal, inside: &Inside<'_>) -> Result<(), Ended> {
        for path in &removal.paths {
            let Some((above, name)) = path.split_last() else {
                return Err(Ended::at(path)(Fault::Exists));
            };
            let found = inside.tree.directory(&above).and_then(|parent| {
                statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW).map_err(named("fstatat"))
            });
            match found {
                Err(Fault::NotFound) if removal.missing_ok => {}
                found => drop(found.map_err(Ended::at(path))?),
            }
        }
        Ok(())
    }

    fn remove_and_count(&self, removal: &Removal, inside: &Inside<'_>) -> Result<(), Ended> {
        let scan = Control::default();
        thread::scope(|scope| {
            let count = || count(removal, inside, &scan);
            let counting = thread::Builder::new().name("count".into());
            if let Err(error) = counting.spawn_scoped(scope, count) {
                tracing::warn!(operation = %self.operation, %error, "no thread to count what is to be removed");
            }
            let mut paths = removal.paths.iter();
            let removed = paths.try_for_each(|path| {
                inside.step()?;
                let Some((above, name)) = path.split_last() else {
                    return Err(Ended::at(path)(Fault::Exists));
                };
                let parent = match inside.tree.directory(&above) {
                    // Gone with what it was below, or by an earlier life.
                    Err(Fault::NotFound) => return Ok(()),
                    opened => opened.map_err(Ended::at(path))?,
                };
                let before = statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW).map(Meta::from);
                let removed =
                    remove_tree(parent.as_fd(), &name, Workers::all_cores(), inside.control);
                if let (Ok(()), Ok(meta)) = (&removed, before)
                    && meta.kind != FileKind::Directory
                {
                    // A file by itself: of a directory, all that is in it has been counted.
                    inside.control.entry_done();
                    if meta.kind == FileKind::Regular && meta.links == 1 {
                        inside.control.bytes_done(meta.size);
                    }
                }
                removed.map_err(|mut error| {
                    let mut full = path.as_bytes().to_vec();
                    if !error.path.is_empty() {
                        full.push(b'/');
                        full.append(&mut error.path);
                    }
                    error.path = full;
                    Ended::Tree(error)
                })
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

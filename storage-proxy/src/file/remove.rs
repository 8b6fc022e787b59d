//! Removes many files at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rustix::fs::fsync;
use vfolder_common::{
    error::{Reason, Refusal},
    token::Grant,
};

use super::{Files, Visit, cut_off, in_scope};
use crate::{
    account::Change,
    faults::at,
    refuse,
    task::Stay,
    tree::{Control, Fault, RelativePath, StopOnDrop, TreeError},
};

/// What to remove.
#[derive(Clone, Debug)]
pub struct Removal {
    /// The paths. None of them is the root.
    pub paths: Vec<RelativePath>,
    /// Also directories with what is in them.
    pub recursive: bool,
    /// What is not there counts as removed.
    pub missing_ok: bool,
}

/// What became of one path.
#[derive(Clone, Debug, Default)]
pub struct Removed {
    /// Directory entries that were removed.
    pub files: u64,
    /// Why it is still there, or may be there again after a power cut: for programs, and for people.
    pub refusal: Option<(Reason, String)>,
}

impl Files {
    /// Removes each path, or says why not; answers in their order. What is inside another path goes before that one, in
    /// whatever order they come. Stops when nobody waits for it any more or the tree changes hands: what comes then is
    /// not removed, GRANT_STALE. Durable when it returns.
    ///
    /// # Errors
    /// GRANT_TOO_SMALL, if the grant is not for one of the paths; then nothing is removed. Those of [`Files::in_tree`].
    pub async fn remove(&self, grant: Grant, removal: Removal) -> Result<Vec<Removed>, Refusal> {
        for path in &removal.paths {
            in_scope(&grant, path)?;
        }
        let (vfolder, control) = (grant.vfolder, Arc::new(Control::default()));
        let _stop = StopOnDrop(Arc::clone(&control));
        let removed = self.walk_tree(grant, Stay::Writing, Arc::clone(&control), move |visit| {
            // In descending byte order, what is inside comes before what it is in.
            let all: BTreeSet<_> = removal.paths.iter().collect();
            let mut ends = BTreeMap::new();
            for path in all.into_iter().rev() {
                let (before, error) = (control.progress(), removal.one(path, visit, &control));
                let now = control.progress();
                let files = now.entries_done - before.entries_done;
                let bytes = now.bytes_done - before.bytes_done;
                visit.accounts.changed(
                    vfolder,
                    Change {
                        bytes: -i64::try_from(bytes).unwrap_or(i64::MAX),
                        files: -i64::try_from(files).unwrap_or(i64::MAX),
                    },
                );
                let refusal = error.map(|error| match error.fault {
                    Fault::Cancelled => told(&cut_off(vfolder)),
                    _ => shown(&error, path),
                });
                ends.insert(path, Removed { files, refusal });
            }
            removal.sync(visit, &control, &mut ends);
            let end_of = |path: &RelativePath| match ends.get_mut(path) {
                // The same path once more removes nothing more.
                Some(end) => {
                    let told = end.clone();
                    end.files = 0;
                    told
                }
                None => Removed::default(),
            };
            Ok(removal.paths.iter().map(end_of).collect())
        });
        removed.await
    }
}

/// What became of each path.
type Ends<'a> = BTreeMap<&'a RelativePath, Removed>;

impl Removal {
    fn one(&self, path: &RelativePath, visit: &Visit<'_>, control: &Control) -> Option<TreeError> {
        let removed = visit.tree.remove(path, self.recursive, control);
        removed.err().filter(|error| {
            let is_missing = error.fault == Fault::NotFound && error.path == path.as_bytes();
            !(is_missing && self.missing_ok)
        })
    }

    /// Makes it durable, also what was removed before the tree changed hands: that changes nothing in it. The first costs a
    /// commit of the filesystem's journal, and the others hardly anything.
    fn sync(&self, visit: &Visit<'_>, control: &Control, ends: &mut Ends<'_>) {
        let mut below: BTreeMap<RelativePath, Vec<&RelativePath>> = BTreeMap::new();
        for path in &self.paths {
            if let Some((parent, _)) = path.split_last() {
                below.entry(parent).or_default().push(path);
            }
        }
        for (parent, paths) in below {
            let nothing_went = || {
                let mut files = paths.iter().filter_map(|path| ends.get(path));
                files.all(|end| end.files == 0)
            };
            if control.stopped() && nothing_went() {
                continue;
            }
            // It may have been removed as well.
            let Ok(directory) = visit.tree.directory(&parent) else {
                continue;
            };
            let Err(errno) = at("files.removed").and_then(|()| fsync(&directory)) else {
                continue;
            };
            tracing::warn!(%parent, %errno, "what was removed from a directory may come back after a power cut");
            let text = format!("is not there, and may be after a power cut: fsync: {errno}");
            for path in paths {
                if let Some(Removed { refusal, .. }) = ends.get_mut(path) {
                    refusal.get_or_insert_with(|| (Reason::IoError, text.clone()));
                }
            }
        }
    }
}

fn told(refusal: &Refusal) -> (Reason, String) {
    (refusal.reason(), refusal.text().to_owned())
}

/// Short: thousands of them go into one answer, each next to its path.
fn shown(error: &TreeError, path: &RelativePath) -> (Reason, String) {
    const SHOWN: usize = 100;
    let reason = refuse::by_tree(error).reason();
    if error.path == path.as_bytes() {
        return (reason, error.fault.to_string());
    }
    let end = error.path.len().saturating_sub(SHOWN);
    let end = String::from_utf8_lossy(error.path.get(end..).unwrap_or_default());
    (reason, format!("\"{end}\" {}", error.fault))
}

//! What a tree is: its digest.

use std::{
    os::fd::{AsFd as _, BorrowedFd},
    sync::Arc,
    thread,
};

use uuid::Uuid;

use super::{Interrupted, Job};
use crate::{
    task::{Done, Failure, FailureKind, Receipt, Stay},
    tree::{Control, TreeDigest, TreeError, Workers, digest, open::open_directory, usage},
    volume::{Staging, on},
};

impl Job<'_> {
    /// Digests the tree as a reader: nobody is kept from writing, but it is noted.
    pub(super) fn verify(&self, vfolder: Uuid) -> Result<Done, Interrupted> {
        let (control, epoch) = (&self.task.control, self.task.spec.epoch);
        let fences = &self.ledger.fences;
        let held = fences.enter(
            self.volume,
            vfolder,
            Stay::Verifying,
            epoch,
            Arc::clone(control),
        )?;
        let Some(tree) = self.volume.tree(vfolder)? else {
            let message = format!("the vfolder {vfolder} has no tree on this volume");
            return Err(Failure::lasting(FailureKind::SourceMissing, message).into());
        };
        let found = self.digest_and_count(tree.as_fd()).map_err(|error| {
            // Cut off, and not asked to stop.
            if error.is_cancelled() && held.is_cut() && self.task.phase.stopping().is_none() {
                return outdated(vfolder).into();
            }
            self.interrupted(error)
        })?;
        control.set_totals(found.entries, found.bytes);
        Ok(Done {
            progress: control.progress(),
            receipt: Some(Receipt::new(&found, held.is_disturbed())),
        })
    }

    /// Digests a copy that nobody else sees yet. The copy's progress stands still meanwhile.
    pub(super) fn digest_staged(&self, staging: &Staging) -> Result<Receipt, Interrupted> {
        let tree = open_directory(staging.directory(), &staging.tree_name())
            .map_err(on("staging", "open"))?;
        let control = self.task.control.beside();
        let found = self.digest(tree.as_fd(), &control);
        let found = found.map_err(|error| self.interrupted(error))?;
        Ok(Receipt::new(&found, false))
    }

    fn digest_and_count(&self, tree: BorrowedFd<'_>) -> Result<TreeDigest, TreeError> {
        let control = &*self.task.control;
        let scan = Control::default();
        thread::scope(|scope| {
            // For the progress only: whatever keeps the totals from being known, the digest will meet too.
            let count = || {
                if let Ok(all) = usage(tree, Workers::ONE, &scan)
                    && !all.approximate
                {
                    control.set_totals(all.entries, all.bytes);
                }
            };
            let counting = thread::Builder::new().name("count".into());
            if let Err(error) = counting.spawn_scoped(scope, count) {
                tracing::warn!(operation = %self.operation, %error, "no thread to count what is to be read");
            }
            let found = self.digest(tree, control);
            scan.stop();
            found
        })
    }

    fn digest(&self, tree: BorrowedFd<'_>, control: &Control) -> Result<TreeDigest, TreeError> {
        let scratch = || self.volume.scratch_file();
        digest(tree, &scratch, Workers::all_cores(), control)
    }
}

fn outdated(vfolder: Uuid) -> Failure {
    let message = format!(
        "the vfolder {vfolder} has changed hands while it was read; look at its status, and verify it again if it still has a tree"
    );
    Failure::lasting(FailureKind::Stale, message)
}

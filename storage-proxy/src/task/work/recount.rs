//! What is in a tree, for its account.

use std::{os::fd::AsFd as _, sync::Arc};

use uuid::Uuid;

use super::{Interrupted, Job};
use crate::{
    account::Amount,
    task::{Done, Failure, FailureKind, Receipt, Stay},
    tree::Workers,
};

impl Job<'_> {
    /// Counts the tree as a reader: nobody is kept from writing, but then it is counted again when nobody does.
    pub(super) fn recount(&self, vfolder: Uuid) -> Result<Done, Interrupted> {
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
        let accounts = &self.ledger.accounts;
        let since = accounts.begin_recount(self.volume, vfolder)?;
        let backend = self.volume.backend();
        let counted = backend.usage(tree.as_fd(), Workers::all_cores(), control);
        let usage = counted.map_err(|error| {
            // Cut off, and not asked to stop.
            if error.is_cancelled() && held.is_cut() && self.task.phase.stopping().is_none() {
                return outdated(vfolder).into();
            }
            self.interrupted(error)
        })?;
        let disturbed = held.is_disturbed();
        let used = Amount::from(usage);
        accounts.end_recount(self.volume, vfolder, since, used, !disturbed)?;
        control.count(usage.entries, usage.bytes);
        Ok(Done {
            progress: control.progress(),
            receipt: Some(Receipt::counted(usage.entries, usage.bytes, disturbed)),
        })
    }
}

fn outdated(vfolder: Uuid) -> Failure {
    let message = format!(
        "the vfolder {vfolder} has changed hands while it was counted; look at its status, and count it again if it still has a tree"
    );
    Failure::lasting(FailureKind::Stale, message)
}

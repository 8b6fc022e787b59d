//! What tasks do to the accounts of the vfolders that they make and destroy.

use std::os::fd::AsFd as _;

use uuid::Uuid;

use super::{Interrupted, Job};
use crate::{
    account::{Amount, Exceeded, Reservation, of_tree},
    backend::QuotaError,
    task::{Failure, FailureKind},
    tree::open::open_directory,
    volume::Staging,
};

/// What is set aside for a copy.
pub(super) struct CopyReservation {
    reserved: Reservation,
    /// What is in the source; nothing if nobody has to know.
    source: Option<Amount>,
}

impl CopyReservation {
    /// What is in the copy, if somebody knows: of entries and bytes that a walk has made, the root included, or of what
    /// was counted in the source. Sets aside what has come in beyond that.
    ///
    /// # Errors
    /// The limit that is in the way.
    pub fn is_what_was_made(
        &mut self,
        walked: Option<(u64, u64)>,
    ) -> Result<Option<Amount>, Exceeded> {
        let made = match walked {
            Some((entries, bytes)) => Some(Amount {
                bytes,
                files: entries.saturating_sub(1),
            }),
            None => self.source,
        };
        let more = made.unwrap_or_default().beyond(self.reserved.amount());
        self.reserved.try_grow(more)?;
        Ok(made)
    }
}

impl Job<'_> {
    /// Before a byte is copied: sets aside what is in the source, if the copy or its owner has limits.
    pub(super) fn reserve_for_copy(
        &self,
        source: Uuid,
        vfolder: Uuid,
    ) -> Result<CopyReservation, Interrupted> {
        let accounts = &self.ledger.accounts;
        let control = &self.task.control;
        let nothing = Amount::default();
        if !accounts.is_limited(vfolder) {
            let reserved = accounts.try_reserve(vfolder, nothing)?;
            return Ok(CopyReservation {
                reserved,
                source: None,
            });
        }
        accounts.make_ready(self.volume, vfolder, control)?;
        // Nobody writes into it as long as it is held.
        let found = accounts.count_of(self.volume, source, control)?;
        let reserved = accounts.try_reserve(vfolder, found)?;
        Ok(CopyReservation {
            reserved,
            source: Some(found),
        })
    }

    /// Where the filesystem limits trees itself: a copy may come with its source's limits, or without any.
    pub(super) fn limit_copy(&self, staging: &Staging, vfolder: Uuid) {
        let backend = self.volume.backend();
        if !backend.capabilities().quota {
            return;
        }
        let limits = of_tree(self.ledger.accounts.limits(vfolder));
        let tree = open_directory(staging.directory(), &staging.tree_name());
        let limited = tree
            .map_err(|errno| QuotaError::System("open", errno))
            .and_then(|tree| backend.set_quota(tree.as_fd(), limits));
        if let Err(error) = limited {
            tracing::warn!(%vfolder, %error, "the filesystem does not limit what sessions write into a clone");
        }
    }

    /// What a task in the tree of `vfolder` took for a full disk may have been its limit.
    pub(super) fn explain_full(&self, vfolder: Uuid, why: Interrupted) -> Interrupted {
        match why {
            Interrupted::Failed(failure) if failure.kind == FailureKind::VolumeFull => {
                let met = self.ledger.accounts.met_on_disk(self.volume, vfolder, true);
                Interrupted::Failed(met.map_or(failure, Failure::from))
            }
            why => why,
        }
    }

    /// The tree of `vfolder` is there. What can't be noted is counted when it matters.
    pub(super) fn open_account(&self, vfolder: Uuid, used: Option<Amount>) {
        if let Err(error) = self.ledger.accounts.appeared(self.volume, vfolder, used) {
            tracing::warn!(%vfolder, %error, "can't note what is in a new tree; it will be counted");
        }
    }

    /// The tree of `vfolder` is gone. What can't be removed is, once all notes are read.
    pub(super) fn close_account(&self, vfolder: Uuid) {
        if let Err(error) = self.ledger.accounts.disappeared(self.volume, vfolder) {
            tracing::warn!(%vfolder, %error, "can't remove the note of what was in a tree");
        }
    }
}

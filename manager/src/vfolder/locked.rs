//! A vfolder under its row lock.

use vfolder_common::error::{Reason, Refusal};

use super::{Cause, refuse};
use crate::{
    model::{Backing, Status, Transition, Warrant, settle},
    store::{Id, Mode, Timestamp, Tx, Vfolder, mounts, vfolders},
};

/// A vfolder that nobody else can change until the transaction ends, and what backs its status now.
#[derive(Clone, Debug)]
pub struct Locked {
    /// The row.
    pub row: Vfolder,
    /// What is live on it.
    pub backing: Backing,
    /// What the database's clock said once the lock was held.
    pub now: Timestamp,
    /// The revision before mounts that had expired were swept: what callers have seen, since nobody had noted that yet.
    pub seen_revision: i64,
    /// The status before that.
    pub seen_status: Status,
}

impl Locked {
    /// Takes the lock. Mounts that have expired are swept first, so that the status read is the one that counts.
    /// None: there is no such row.
    pub async fn take(tx: &mut Tx, id: Id) -> Result<Option<Self>, Refusal> {
        let Some(row) = vfolders::lock(tx, id).await? else {
            return Ok(None);
        };
        let now = tx.now().await?;
        let backing = vfolders::backing(tx, id, now).await?;
        let mut locked = Self {
            seen_revision: row.revision,
            seen_status: row.status,
            row,
            backing,
            now,
        };
        let expired = mounts::expired_on(tx, id, now).await?;
        let count = expired.len();
        for (i, mount) in expired.into_iter().enumerate() {
            mounts::remove(tx, mount.id).await?;
            locked.note_mount_gone(mount.mode);
            let cause = Cause {
                action: "mount expiry",
                actor: "system".into(),
                mount: Some(mount.id),
                reason: format!(
                    "session \"{}\" of {} did not renew it",
                    mount.session, mount.holder
                ),
                ..Cause::default()
            };
            // The last to go settles the status.
            if i + 1 == count {
                locked.end_mount(tx, cause).await?;
            } else {
                let same = locked.row.status;
                locked
                    .change(tx, Transition::MountEnd, same, cause, |_| {})
                    .await?;
            }
        }
        Ok(Some(locked))
    }

    /// Takes the lock for a warrant: absent and invisible look the same, and what the gate checked is checked again.
    pub async fn admit(
        tx: &mut Tx,
        id: Id,
        warrant: &Warrant,
        etag: &str,
    ) -> Result<Self, Refusal> {
        let Some(locked) = Self::take(tx, id).await? else {
            return Err(refuse::not_found(id));
        };
        refuse::unless_permitted(&locked.row, warrant)?;
        if !warrant.admitted_in(locked.row.status, locked.backing.write_mounts) {
            return Err(refuse::status(tx, &locked.row, warrant, locked.now).await?);
        }
        let fits = [
            "",
            &vfolders::etag(locked.seen_revision),
            &locked.row.etag(),
        ]
        .contains(&etag);
        if !fits {
            return Err(Refusal::new(
                Reason::EtagMismatch,
                "the vfolder has changed since you read it; read it again, and repeat the request with the new etag if it still makes sense",
            )
            .with_metadata("etag", locked.row.etag()));
        }
        Ok(locked)
    }

    /// Raises the epoch of a vfolder in ERROR: once its storage-proxy has heard of it, no operation that was given up can
    /// change the tree any more, and what is seen of it stays true.
    pub async fn take_over(
        &mut self,
        tx: &mut Tx,
        actor: &str,
        action: &'static str,
    ) -> Result<(), Refusal> {
        let cause = Cause {
            action,
            actor: actor.to_owned(),
            reason: "whoever held its tree holds it no more".into(),
            ..Cause::default()
        };
        self.change(tx, Transition::TakeOver, Status::Error, cause, |row| {
            row.epoch += 1;
        })
        .await
    }

    /// Notes, for the next change of the row, that a session no longer writes past the storage-proxy: it has to count again.
    pub fn note_mount_gone(&mut self, mode: Mode) {
        if mode == Mode::ReadWrite {
            self.row.mounted_revision = self.row.revision + 1;
            self.row.quota_untold = true;
        }
    }

    /// Moves the status to what backs it once a mount is gone.
    pub async fn end_mount(&mut self, tx: &mut Tx, cause: Cause) -> Result<(), Refusal> {
        let to = match self.row.status {
            Status::Mounted => settle::settle(&self.backing),
            other => other,
        };
        self.change(tx, Transition::MountEnd, to, cause, |_| {})
            .await
    }
}

//! What the volume has of the accounts.

use std::os::fd::AsFd as _;

use uuid::Uuid;
use vfolder_common::token::Limits;

use super::{Accounts, Amount, accounts::lock};
use crate::{
    backend::{Quota as TreeQuota, QuotaError},
    volume::{AccountNote, Figures, OpenVolume, VolumeError},
};

/// What is known of the note on the volume.
#[derive(Debug, Default)]
pub(super) struct File {
    /// At which opening of the volume it was read.
    opening: Option<u64>,
    /// What it says.
    pub noted: Option<AccountNote>,
    /// The limits that the filesystem has been told of, in this opening.
    enforced: Option<Limits>,
}

impl Accounts {
    /// A tree has appeared, durable, and this is in it; nothing where that is not known.
    ///
    /// # Errors
    /// Those of reading and writing.
    pub fn appeared(
        &self,
        volume: &OpenVolume,
        vfolder: Uuid,
        used: Option<Amount>,
    ) -> Result<(), VolumeError> {
        if !self.is_limited(vfolder) {
            self.take_over(vfolder, None);
            return Ok(());
        }
        let desk = self.desk(vfolder);
        let mut file = lock(&desk);
        let read = self.read(volume, vfolder, &mut file);
        self.take_over(vfolder, used);
        read?;
        self.note_as_it_is(volume, vfolder, &mut file)
    }

    fn take_over(&self, vfolder: Uuid, used: Option<Amount>) {
        let mut book = self.shared.book();
        let mounted = book.get(vfolder).map(|account| account.quota.mounted);
        match (used, mounted) {
            (Some(used), Some(mounted)) => book.counted(vfolder, used, mounted, true),
            _ => book.doubt(vfolder),
        }
    }

    /// The tree of `vfolder` is gone, or was never made.
    ///
    /// # Errors
    /// Those of removing the note.
    pub fn disappeared(&self, volume: &OpenVolume, vfolder: Uuid) -> Result<(), VolumeError> {
        let desk = self.desk(vfolder);
        let forgotten = {
            let mut file = lock(&desk);
            self.shared.book().forget(vfolder);
            lock(&self.unwritten).remove(&vfolder);
            file.noted = None;
            volume.forget_account(vfolder)
        };
        if forgotten.is_ok() {
            self.drop_desk(vfolder, &desk);
        }
        forgotten
    }

    /// Forgets `vfolder`, if it has no tree: who was to make it has failed, or it was purged.
    pub fn forget_treeless(&self, volume: &OpenVolume, vfolder: Uuid) {
        let forgotten = match volume.tree(vfolder) {
            Ok(None) => self.disappeared(volume, vfolder),
            Ok(Some(_)) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = forgotten {
            tracing::debug!(%vfolder, %error, "limits of a vfolder without a tree stay known");
        }
    }

    /// Limits have changed, or a session has ended: the volume knows too, when this returns.
    ///
    /// # Errors
    /// Those of reading and writing.
    pub fn keep(&self, volume: &OpenVolume, vfolder: Uuid) -> Result<(), VolumeError> {
        let desk = self.desk(vfolder);
        let mut file = lock(&desk);
        self.read(volume, vfolder, &mut file)?;
        let noted = file.noted.as_ref().and_then(|noted| noted.used);
        let is_clean = noted.is_some() && noted.map(Amount::from) == self.final_figures(vfolder);
        match is_clean {
            true => self.note_as_it_is(volume, vfolder, &mut file),
            // What is known now need not be durable yet.
            false => self.note_unknown(volume, vfolder, &mut file),
        }
    }

    fn final_figures(&self, vfolder: Uuid) -> Option<Amount> {
        let book = self.shared.book();
        book.get(vfolder)?.final_figures()
    }

    pub(super) fn read_one(&self, volume: &OpenVolume, vfolder: Uuid) -> Result<(), VolumeError> {
        let desk = self.desk(vfolder);
        let mut file = lock(&desk);
        self.read(volume, vfolder, &mut file)
    }

    /// Reads the note, once per opening of the volume.
    pub(super) fn read(
        &self,
        volume: &OpenVolume,
        vfolder: Uuid,
        file: &mut File,
    ) -> Result<(), VolumeError> {
        if file.opening == Some(volume.opening()) {
            return Ok(());
        }
        let noted = volume.noted_account(vfolder)?;
        // Also what this process knew: the volume was away, and may have been somebody else's.
        let mut book = self.shared.book();
        book.doubt(vfolder);
        if let Some(noted) = &noted {
            book.learn(vfolder, &noted.quota);
            if let Some(used) = noted.used {
                book.counted(vfolder, used.into(), noted.quota.mounted, true);
            }
        }
        drop(book);
        file.noted = noted;
        file.enforced = None;
        file.opening = Some(volume.opening());
        Ok(())
    }

    /// Reads all notes, once per opening of the volume. Those whose tree is gone are removed.
    pub(super) fn read_all(&self, volume: &OpenVolume) -> Result<(), VolumeError> {
        let mut all_read = lock(&self.all_read);
        if *all_read == Some(volume.opening()) {
            return Ok(());
        }
        for vfolder in volume.noted_accounts()? {
            if volume.tree(vfolder)?.is_none() {
                self.disappeared(volume, vfolder)?;
                continue;
            }
            self.read_one(volume, vfolder)?;
        }
        *all_read = Some(volume.opening());
        Ok(())
    }

    /// Writes that nobody knows what is in the tree.
    pub(super) fn note_unknown(
        &self,
        volume: &OpenVolume,
        vfolder: Uuid,
        file: &mut File,
    ) -> Result<(), VolumeError> {
        self.note(volume, vfolder, file, |_| None)
    }

    /// Writes what is in the tree, if that is final; else that nobody knows. It must be durable.
    pub(super) fn note_as_it_is(
        &self,
        volume: &OpenVolume,
        vfolder: Uuid,
        file: &mut File,
    ) -> Result<(), VolumeError> {
        self.note(volume, vfolder, file, |known| known)
    }

    /// Writes the note, unless it says that already. Of a vfolder that nobody has ever limited, there is none. Figures and
    /// the end of a mount up to which they hold are taken from the book in one step: a note never has those of one time with
    /// that of another.
    fn note(
        &self,
        volume: &OpenVolume,
        vfolder: Uuid,
        file: &mut File,
        which: impl FnOnce(Option<Amount>) -> Option<Amount>,
    ) -> Result<(), VolumeError> {
        let (quota, limited, known) = {
            let book = self.shared.book();
            let quota = book.quota(vfolder).unwrap_or_default();
            let known = book.get(vfolder).and_then(|a| a.final_figures());
            (quota, book.is_limited(vfolder), known)
        };
        if file.noted.is_none() && !limited {
            if file.enforced.is_some_and(Limits::any) {
                self.enforce(volume, vfolder, quota.vfolder, file);
            }
            return Ok(());
        }
        self.enforce(volume, vfolder, quota.vfolder, file);
        let note = AccountNote {
            quota,
            used: which(known).map(Figures::from),
        };
        if file.noted.as_ref() == Some(&note) {
            return Ok(());
        }
        match volume.note_account(vfolder, &note) {
            // What is removed makes space, and must not wait for it.
            Err(error) if error.is_for_want_of_space() => {
                lock(&self.unwritten).insert(vfolder);
                let old = file.noted.take();
                if volume.doubt_account(vfolder)? {
                    file.noted = old.map(|old| AccountNote { used: None, ..old });
                }
                Ok(())
            }
            noted => {
                noted?;
                file.noted = Some(note);
                Ok(())
            }
        }
    }

    /// Writes what there was no space for before.
    ///
    /// # Errors
    /// Those of writing.
    pub(super) fn note_unwritten(&self, volume: &OpenVolume) -> Result<(), VolumeError> {
        // Where there still is no space, it is noted once more that it is unwritten.
        let mut unwritten = std::mem::take(&mut *lock(&self.unwritten)).into_iter();
        let noted = unwritten.try_for_each(|vfolder| {
            let desk = self.desk(vfolder);
            let mut file = lock(&desk);
            let read = self.read(volume, vfolder, &mut file);
            let noted = read.and_then(|_| self.note_unknown(volume, vfolder, &mut file));
            noted.inspect_err(|_| {
                lock(&self.unwritten).insert(vfolder);
            })
        });
        lock(&self.unwritten).extend(unwritten);
        noted
    }

    /// Tells the filesystem, where it keeps limits: what sessions write past us counts too. Where it can't, what is written
    /// by way of us is counted all the same.
    fn enforce(&self, volume: &OpenVolume, vfolder: Uuid, limits: Limits, file: &mut File) {
        if !volume.backend().capabilities().quota || file.enforced == Some(limits) {
            return;
        }
        let Ok(Some(tree)) = volume.tree(vfolder) else {
            return;
        };
        match volume.backend().set_quota(tree.as_fd(), of_tree(limits)) {
            // A tree from before, or from elsewhere, may be none that can be limited.
            Ok(()) | Err(QuotaError::NotSupported) => file.enforced = Some(limits),
            Err(error) => {
                tracing::warn!(%vfolder, %error, "the filesystem does not limit what sessions write");
            }
        }
    }
}

/// The filesystem counts the root, too.
pub(crate) fn of_tree(limits: Limits) -> TreeQuota {
    TreeQuota {
        bytes: (limits.bytes > 0).then_some(limits.bytes),
        entries: (limits.files > 0).then_some(limits.files.saturating_add(1)),
    }
}

//! The accounts of one volume: the figures in memory and what the volume has of them.

use std::{
    collections::HashMap,
    os::fd::AsFd as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use uuid::Uuid;
use vfolder_common::{
    error::Refusal,
    token::{Limits, Quota},
};

use super::{Amount, Change, Exceeded, OwnerUse, Presence, Reservation, book::Book};
use crate::{
    backend::{Quota as TreeQuota, QuotaError},
    tree::{Control, Workers},
    volume::{AccountNote, Figures, OpenVolume, VolumeError},
};

/// The accounts of one volume.
#[derive(Debug, Default)]
pub struct Accounts {
    pub(super) shared: Arc<Shared>,
    desks: Mutex<HashMap<Uuid, Arc<Desk>>>,
    /// At which opening of the volume all notes were read.
    all_read: Mutex<Option<u64>>,
    /// Held by who counts a tree: one at a time on a volume.
    counting: Mutex<()>,
}

#[derive(Debug, Default)]
pub(super) struct Shared(Mutex<Book>);

impl Shared {
    pub fn book(&self) -> MutexGuard<'_, Book> {
        lock(&self.0)
    }
}

/// What belongs to one account besides its figures.
#[derive(Debug, Default)]
pub(super) struct Desk {
    /// Held while it is read, counted or written.
    pub file: Mutex<File>,
    /// Where those wait who need the figures, so that they hold no thread.
    turn: Arc<tokio::sync::Mutex<()>>,
}

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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Accounts {
    /// Takes note of the limits of a vfolder and its owner, unless newer ones are known. Blocks nothing.
    pub fn learn(&self, vfolder: Uuid, quota: &Quota) {
        self.shared.book().learn(vfolder, quota);
    }

    /// Sets aside what somebody is about to add to the tree of `vfolder`, into which it has come as a writer.
    ///
    /// # Errors
    /// QUOTA_EXCEEDED, which names the limit, what is used, and what was asked for.
    pub fn reserve(&self, vfolder: Uuid, asked: Amount) -> Result<Reservation, Refusal> {
        Ok(self.try_reserve(vfolder, asked)?)
    }

    /// As [`Accounts::reserve`].
    ///
    /// # Errors
    /// The limit that is in the way.
    pub fn try_reserve(&self, vfolder: Uuid, asked: Amount) -> Result<Reservation, Exceeded> {
        self.shared.book().reserve(vfolder, asked)?;
        Ok(Reservation {
            shared: Arc::clone(&self.shared),
            vfolder,
            amount: asked,
        })
    }

    /// Notes what has changed in the tree of `vfolder` without a reservation: what was removed, most often.
    pub fn changed(&self, vfolder: Uuid, change: Change) {
        self.shared
            .book()
            .settle(vfolder, Amount::default(), change);
    }

    /// Something has failed in the tree of `vfolder` where nobody can say what it has left: it is counted before its figures
    /// decide again.
    pub fn unsure(&self, vfolder: Uuid) {
        self.shared.book().unsure(vfolder);
    }

    /// What an owner's vfolders hold. Reads all notes of the volume, once.
    ///
    /// # Errors
    /// Those of reading.
    pub fn owner_use(&self, volume: &OpenVolume, owner: &str) -> Result<OwnerUse, VolumeError> {
        self.read_all(volume)?;
        Ok(self.shared.book().owner_use(owner))
    }

    /// The vfolder's own limits, as far as they are known.
    #[must_use]
    pub fn limits(&self, vfolder: Uuid) -> Limits {
        let quota = self.shared.book().quota(vfolder);
        quota.unwrap_or_default().vfolder
    }

    /// Whether there is a limit that `vfolder` counts for.
    #[must_use]
    pub fn is_limited(&self, vfolder: Uuid) -> bool {
        self.shared.book().is_limited(vfolder)
    }

    /// Where to wait for one's turn to call [`Accounts::make_ready`], if that may take long.
    #[must_use]
    pub fn turn(&self, vfolder: Uuid) -> Option<Arc<tokio::sync::Mutex<()>>> {
        let ready = {
            let book = self.shared.book();
            !book.is_limited(vfolder)
                || (!book.must_count(vfolder)
                    && book.get(vfolder).is_some_and(|a| a.used.is_some())
                    && book.uncounted_beside(vfolder).is_empty())
        };
        (!ready).then(|| Arc::clone(&self.desk(vfolder).turn))
    }

    /// Sees to it that the figures which decide about `vfolder` are known: its own, and those of its owner's other
    /// vfolders where the owner is limited. Counts what has to be counted. Quick where there is nothing to do.
    ///
    /// # Errors
    /// Those of reading and of the count.
    pub fn make_ready(
        &self,
        volume: &OpenVolume,
        vfolder: Uuid,
        control: &Control,
    ) -> Result<(), VolumeError> {
        self.make_ready_and(volume, vfolder, control, |_| Ok(()))
    }

    /// Somebody comes into the tree to change it. When it returns, the volume knows that the figures which it has may be
    /// wrong from now on.
    ///
    /// # Errors
    /// Those of reading, of the count and of writing.
    pub fn come_in(
        &self,
        volume: &OpenVolume,
        vfolder: Uuid,
        control: &Control,
    ) -> Result<Presence, VolumeError> {
        self.make_ready_and(volume, vfolder, control, |file| {
            self.note(volume, vfolder, file, None)?;
            // While the desk is held: nobody takes the figures for final in between.
            self.shared.book().come_in(vfolder);
            Ok(())
        })?;
        Ok(Presence {
            shared: Arc::clone(&self.shared),
            vfolder,
        })
    }

    /// What is in the tree of `vfolder`, counted now unless that is known for sure. Nobody writes there.
    ///
    /// # Errors
    /// Those of reading and of the count.
    pub fn count_of(
        &self,
        volume: &OpenVolume,
        vfolder: Uuid,
        control: &Control,
    ) -> Result<Amount, VolumeError> {
        let desk = self.desk(vfolder);
        let mut file = lock(&desk.file);
        self.read(volume, vfolder, &mut file)?;
        let known = {
            let book = self.shared.book();
            book.get(vfolder).filter(|a| a.exact).and_then(|a| a.used)
        };
        match known {
            Some(used) => Ok(used),
            None => Ok(self.count(volume, vfolder, control)?.unwrap_or_default()),
        }
    }

    /// A tree has appeared, durable, and this is in it; nothing where that is not known.
    ///
    /// # Errors
    /// Those of writing.
    pub fn appeared(
        &self,
        volume: &OpenVolume,
        vfolder: Uuid,
        used: Option<Amount>,
    ) -> Result<(), VolumeError> {
        if !self.shared.book().is_limited(vfolder) {
            return Ok(());
        }
        let desk = self.desk(vfolder);
        let mut file = lock(&desk.file);
        self.read(volume, vfolder, &mut file)?;
        if let Some(used) = used {
            self.shared.book().counted(vfolder, used, i64::MAX, true);
        }
        self.note(volume, vfolder, &mut file, used)
    }

    /// The tree of `vfolder` is gone.
    ///
    /// # Errors
    /// Those of removing the note.
    pub fn disappeared(&self, volume: &OpenVolume, vfolder: Uuid) -> Result<(), VolumeError> {
        let desk = self.desk(vfolder);
        let mut file = lock(&desk.file);
        self.shared.book().forget(vfolder);
        file.noted = None;
        volume.forget_account(vfolder)
    }

    /// Limits have changed: the volume has them too, when this returns.
    ///
    /// # Errors
    /// Those of reading and writing.
    pub fn keep(&self, volume: &OpenVolume, vfolder: Uuid) -> Result<(), VolumeError> {
        let desk = self.desk(vfolder);
        let mut file = lock(&desk.file);
        self.read(volume, vfolder, &mut file)?;
        let clean = file.noted.as_ref().and_then(|noted| noted.used);
        self.note(volume, vfolder, &mut file, clean.map(Amount::from))
    }

    /// Somebody has counted the tree of `vfolder`; for sure, if nobody was in there to change it meanwhile.
    pub fn recounted(&self, vfolder: Uuid, since: Count, used: Amount, for_sure: bool) {
        let mut book = self.shared.book();
        let exact = for_sure
            && book
                .get(vfolder)
                .is_some_and(|a| a.changes == since.changes && a.is_quiet());
        book.counted(vfolder, used, since.mounted, exact);
    }

    /// To be asked before a count that ends with [`Accounts::recounted`].
    #[must_use]
    pub fn begin_count(&self, vfolder: Uuid) -> Count {
        let book = self.shared.book();
        let account = book.get(vfolder);
        Count {
            changes: account.map_or(0, |account| account.changes),
            mounted: account.map_or(0, |account| account.quota.mounted),
        }
    }

    fn make_ready_and(
        &self,
        volume: &OpenVolume,
        vfolder: Uuid,
        control: &Control,
        then: impl FnOnce(&mut File) -> Result<(), VolumeError>,
    ) -> Result<(), VolumeError> {
        let desk = self.desk(vfolder);
        // Its owner may only be known afterwards.
        self.read(volume, vfolder, &mut lock(&desk.file))?;
        if self.is_owner_limited(vfolder) {
            self.read_all(volume)?;
            // Before this one's desk is taken: others may be on their way from theirs to here.
            let others = self.shared.book().uncounted_beside(vfolder);
            for other in others {
                let desk = self.desk(other);
                let _file = lock(&desk.file);
                self.count_if_needed(volume, other, control)?;
            }
        }
        let mut file = lock(&desk.file);
        self.read(volume, vfolder, &mut file)?;
        self.count_if_needed(volume, vfolder, control)?;
        then(&mut file)
    }

    fn is_owner_limited(&self, vfolder: Uuid) -> bool {
        let quota = self.shared.book().quota(vfolder);
        quota.is_some_and(|quota| quota.all.any())
    }

    /// With the desk's file held.
    fn count_if_needed(
        &self,
        volume: &OpenVolume,
        vfolder: Uuid,
        control: &Control,
    ) -> Result<(), VolumeError> {
        if self.shared.book().must_count(vfolder) {
            self.count(volume, vfolder, control)?;
        }
        Ok(())
    }

    /// With the desk's file held. Nothing if there is no tree.
    fn count(
        &self,
        volume: &OpenVolume,
        vfolder: Uuid,
        control: &Control,
    ) -> Result<Option<Amount>, VolumeError> {
        let _one = lock(&self.counting);
        let Some(tree) = volume.tree(vfolder)? else {
            // Not there yet, or never: its limits are known, and whatever is set aside for it.
            let mut book = self.shared.book();
            if book.get(vfolder).is_some() {
                book.counted(vfolder, Amount::default(), 0, false);
            }
            return Ok(None);
        };
        let since = self.begin_count(vfolder);
        let control = control.beside();
        let usage = volume
            .backend()
            .usage(tree.as_fd(), Workers::all_cores(), &control)?;
        let used = Amount::from(usage);
        if self.shared.book().get(vfolder).is_some() {
            self.recounted(vfolder, since, used, !usage.approximate);
        }
        Ok(Some(used))
    }

    /// Reads the note, once per opening of the volume.
    fn read(&self, volume: &OpenVolume, vfolder: Uuid, file: &mut File) -> Result<(), VolumeError> {
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
    fn read_all(&self, volume: &OpenVolume) -> Result<(), VolumeError> {
        let mut all_read = lock(&self.all_read);
        if *all_read == Some(volume.opening()) {
            return Ok(());
        }
        for vfolder in volume.noted_accounts()? {
            if volume.tree(vfolder)?.is_none() {
                self.disappeared(volume, vfolder)?;
                continue;
            }
            let desk = self.desk(vfolder);
            self.read(volume, vfolder, &mut lock(&desk.file))?;
        }
        *all_read = Some(volume.opening());
        Ok(())
    }

    /// Writes the note, unless it says that already. With `used` it is clean. Of a vfolder that nobody has ever said
    /// anything about, there is none.
    pub(super) fn note(
        &self,
        volume: &OpenVolume,
        vfolder: Uuid,
        file: &mut File,
        used: Option<Amount>,
    ) -> Result<(), VolumeError> {
        let (quota, limited) = {
            let book = self.shared.book();
            (
                book.quota(vfolder).unwrap_or_default(),
                book.is_limited(vfolder),
            )
        };
        if file.noted.is_none() && !limited {
            return Ok(());
        }
        self.enforce(volume, vfolder, quota.vfolder, file);
        let note = AccountNote {
            quota,
            used: used.map(Figures::from),
        };
        if file.noted.as_ref() == Some(&note) {
            return Ok(());
        }
        match volume.note_account(vfolder, &note) {
            // What is removed makes space, and must not wait for it. No note says the same: it is to be counted.
            Err(error) if error.is_for_want_of_space() => {
                file.noted = None;
                volume.forget_account(vfolder)
            }
            noted => {
                noted?;
                file.noted = Some(note);
                Ok(())
            }
        }
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

    pub(super) fn desk(&self, vfolder: Uuid) -> Arc<Desk> {
        Arc::clone(lock(&self.desks).entry(vfolder).or_default())
    }
}

/// The filesystem counts the root, too.
pub(crate) fn of_tree(limits: Limits) -> TreeQuota {
    TreeQuota {
        bytes: (limits.bytes > 0).then_some(limits.bytes),
        entries: (limits.files > 0).then_some(limits.files.saturating_add(1)),
    }
}

/// What was so when a count began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    changes: u64,
    mounted: i64,
}

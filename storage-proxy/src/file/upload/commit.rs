//! Commits: an upload is checked, made durable, and put into the tree.
//!
//! Reading it for its digest and syncing it take as long as they take. No tree is changed by that, so whoever takes the
//! tree away does not wait for it; only the last step, which is short, is waited for.

use std::sync::{Arc, OnceLock};

use uuid::Uuid;
use vfolder_common::{error::Refusal, token::Grant};

use super::{
    FileCheck,
    digest::{Digest, pairs},
    land::{Landed, named_entry},
    live::{Live, Phase, State, Store},
    refused::{self, busy},
    settle::settle,
};
use crate::{
    account::Accounts,
    file::{Files, Visit, cut_off},
    refuse,
    task::{Guard, Stay},
    tree::{Control, Entry, TreeRoot},
    volume::{KnownDigests, LandedFile, OpenVolume, UploadRecord},
};

/// A commit under way. Threads that are at it hold it too, so that the tree is not left before they are done.
#[derive(Debug)]
pub struct Commit {
    // Dropped in this order.
    pub ending: Arc<Ending>,
    pub store: Arc<Store>,
    pub guard: Guard,
    pub size: u64,
    /// Stopped when somebody else gets the tree.
    pub control: Arc<Control>,
    /// Of what arrived, once they are computed.
    pub digests: OnceLock<KnownDigests>,
}

/// The right to end an upload. Dropped, it goes on: also by threads that nobody waits for any more.
#[derive(Debug)]
pub struct Ending(pub Arc<Live>);

impl Drop for Ending {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if matches!(state.phase, Phase::Ending) {
            state.phase = Phase::Open;
        }
    }
}

enum Begun {
    Before(Entry),
    Now(Ending, Arc<Store>, u64),
}

impl Files {
    /// Checks an upload, makes it durable, and makes it appear in the tree, whole, by one step. Repeated after it has
    /// succeeded, it answers the same.
    ///
    /// # Errors
    /// UPLOAD_INCOMPLETE, DIGEST_MISMATCH, UPLOAD_BUSY, UPLOAD_NOT_FOUND; FILE_EXISTS, FILE_NOT_FOUND, SYMLINK_IN_PATH and
    /// the like; QUOTA_EXCEEDED, VOLUME_FULL; GRANT_TOO_SMALL, GRANT_STALE; those of the volume. The upload stays as it is.
    pub async fn commit_upload(
        &self,
        grant: &Grant,
        id: Uuid,
        check: FileCheck,
    ) -> Result<Entry, Refusal> {
        let (files, scope) = (self.clone(), grant.clone());
        let find = move |visit: &Visit<'_>| files.find_upload(visit, &scope, id);
        self.commit(grant, find, check, None).await
    }

    /// Commits what `find` finds, of which `digest` is known or not.
    pub(super) async fn commit(
        &self,
        grant: &Grant,
        find: impl FnOnce(&Visit<'_>) -> Result<Arc<Live>, Refusal> + Send + 'static,
        check: FileCheck,
        digest: Option<Digest>,
    ) -> Result<Entry, Refusal> {
        let control = Arc::new(Control::default());
        let wanted = check.clone();
        let coming = self.stay_in_tree(
            grant.clone(),
            Stay::Writing,
            Arc::clone(&control),
            move |visit| begin(find(visit)?, visit, &wanted),
        );
        match coming.await? {
            (Begun::Before(entry), _guard) => Ok(entry),
            (Begun::Now(ending, store, size), guard) => {
                let commit = Arc::new(Commit {
                    ending: Arc::new(ending),
                    store,
                    guard,
                    size,
                    control,
                    digests: OnceLock::new(),
                });
                self.go_on(&commit, &check, digest).await
            }
        }
    }

    async fn go_on(
        &self,
        commit: &Arc<Commit>,
        check: &FileCheck,
        digest: Option<Digest>,
    ) -> Result<Entry, Refusal> {
        let (live, store) = (&commit.ending.0, &commit.store);
        let digest = match digest {
            None if check.sha256.is_some() || check.blake3.is_some() => {
                let begin = Digest::for_check(check);
                let reading = self.digest_upload(live, store, commit.size, begin);
                Some(commit.unless_cut(reading).await?)
            }
            known => known,
        };
        if let Some(digest) = digest {
            let known = digest.compare(live, check)?;
            commit.digests.get_or_init(|| known);
        }
        // Without the guard: nobody has to wait for the disk who takes the tree away.
        let (ending, bytes, size) = (Arc::clone(&commit.ending), Arc::clone(store), commit.size);
        let syncing = self.apart(&live.volume, move || ending.0.sync_all(&bytes, size));
        commit.unless_cut(syncing).await??;
        let own = Arc::clone(commit);
        let landed = self
            .in_tree_of(commit, move |land| own.by_rename(land))
            .await?;
        match landed {
            Landed::Done(entry) => Ok(entry),
            Landed::NeedsCopy => self.land_copy(commit).await,
        }
    }

    /// Runs a step of the commit on a thread that may block, with the tree as it is now.
    pub(super) async fn in_tree_of<T: Send + 'static>(
        &self,
        commit: &Arc<Commit>,
        work: impl FnOnce(&Ground<'_>) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let by_tasks = |refused| refuse::by_tasks(&refused);
        let live = Arc::clone(&commit.ending.0);
        let accounts = self.tasks().accounts(&live.volume).map_err(by_tasks)?;
        let (name, own, files) = (live.volume.clone(), Arc::clone(commit), self.clone());
        let done = self.tasks().serve(&name, move |volume| {
            let by_volume = |error| refuse::by_volume(&error);
            let volume = volume.get().map_err(by_volume)?;
            if volume.opening() != live.opening {
                return Err(refused::not_found(live.id));
            }
            let tree = volume.tree(live.vfolder).map_err(by_volume)?;
            let tree = tree.ok_or_else(|| refuse::no_tree(live.vfolder))?;
            own.check_cut()?;
            let ground = Ground {
                volume: &volume,
                tree: &tree,
                accounts: &accounts,
                files: &files,
            };
            work(&ground).map_err(|refusal| accounts.explain(&volume, live.vfolder, refusal))
        });
        done.await.map_err(by_tasks)?
    }
}

/// Where an upload lands.
pub struct Ground<'a> {
    pub volume: &'a OpenVolume,
    pub tree: &'a TreeRoot,
    pub accounts: &'a Accounts,
    pub files: &'a Files,
}

impl Commit {
    /// # Errors
    /// GRANT_STALE once the tree is somebody else's: nothing may be made visible any more.
    pub fn check_cut(&self) -> Result<(), Refusal> {
        match self.guard.is_cut() {
            true => Err(cut_off(self.ending.0.vfolder)),
            false => Ok(()),
        }
    }

    /// Waits for what changes no tree, but no longer than the tree is ours.
    pub async fn unless_cut<T>(
        &self,
        work: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        tokio::select! {
            biased;
            () = self.guard.cut() => Err(cut_off(self.ending.0.vfolder)),
            done = work => done,
        }
    }
}

fn begin(live: Arc<Live>, visit: &Visit<'_>, check: &FileCheck) -> Result<Begun, Refusal> {
    let landed = match &live.lock().phase {
        Phase::Landed(file) => Some(*file),
        _ => None,
    };
    if let Some(file) = landed {
        check_landed(live.id, &live.lock().record, file, check)?;
        return settle(visit, &live, file).map(Begun::Before);
    }
    let size = {
        let mut state = live.lock();
        if let Phase::Committed(committed) = &state.phase {
            check_landed(live.id, &state.record, committed.file, check)?;
            return Ok(Begun::Before(named_entry(&state.record, committed.file)));
        }
        state.check_open(live.id)?;
        // Who only waits for more may wait for a client that is gone; but where nobody has said how large it is to be, more may
        // come.
        let sized = state.size().or(check.size).is_some();
        if state.writers.iter().any(|w| w.at_work || !sized) {
            return Err(busy(live.id, "somebody is still writing the upload"));
        }
        let size = state.complete(live.id, check.size)?;
        state.phase = Phase::Ending;
        size
    };
    let ending = Ending(live);
    let store = ending.0.store(visit.volume)?;
    Ok(Begun::Now(ending, store, size))
}

/// Whether a file that is in the tree already was what `check` says. It is not read again for that: others may have
/// changed it since.
fn check_landed(
    id: Uuid,
    record: &UploadRecord,
    file: LandedFile,
    check: &FileCheck,
) -> Result<(), Refusal> {
    if let Some(size) = check.size.filter(|size| *size != file.size) {
        let text = format!(
            "the upload {id} is in the tree with {} bytes, not {size}",
            file.size
        );
        return Err(refused::mismatch(id, text));
    }
    let known = record.landing.as_ref().map(|landing| landing.digests);
    for (name, wanted, known) in pairs(check, &known.unwrap_or_default()) {
        match (wanted, known) {
            (Some(wanted), Some(known)) if wanted != known => {
                let text = format!("the upload {id} is in the tree, and its {name} is another");
                return Err(refused::mismatch(id, text));
            }
            (Some(_), None) => return Err(refused::committed_unchecked(id, name)),
            _ => {}
        }
    }
    Ok(())
}

impl State {
    /// The size, if all of it has arrived.
    fn complete(&self, id: Uuid, wanted: Option<u64>) -> Result<u64, Refusal> {
        let arrived = self.arrived.end();
        let size = self.size().or(wanted).unwrap_or(arrived);
        if self.arrived.prefix() < size {
            let text = format!(
                "of {size} bytes {} have arrived, {} of them in one piece from the beginning; send the rest",
                self.arrived.count(),
                self.arrived.prefix()
            );
            return Err(refused::incomplete(id, text));
        }
        match wanted.filter(|wanted| *wanted != arrived) {
            None if arrived == size => Ok(size),
            _ => {
                let text = format!(
                    "{arrived} bytes have arrived, not {}",
                    wanted.unwrap_or(size)
                );
                Err(refused::mismatch(id, text))
            }
        }
    }
}

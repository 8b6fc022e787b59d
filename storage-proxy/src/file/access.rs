//! Who may come into a tree, and coming in.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;
use vfolder_common::{
    error::{Reason, Refusal},
    path::shown,
    token::{Grant, GrantMode},
};

use super::{Limits, Transfer, transfer::Transfers, turns::Turns, upload::Uploads};
use crate::{
    account::Accounts,
    refuse,
    task::{Fences, Guard, Stay, Tasks},
    tree::{Control, RelativePath, Shelf, TreeRoot},
    volume::{OpenVolume, Volume},
};

/// Of one vfolder, threads at most that are in its tree at once, of the [32](crate::task::LOOKS) of its volume.
const IN_TREE: usize = 8;
/// Of those, threads at most that walk through it.
const WALKING: usize = 4;
/// Of one vfolder, archives at most that are made at once, of the [16](crate::task::ARCHIVES) of its volume.
const ARCHIVES: usize = 4;

/// The files of the volumes of this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Files {
    tasks: Tasks,
    shelf: Arc<Shelf>,
    transfers: Arc<Transfers>,
    uploads: Arc<Uploads>,
    in_tree: Arc<Turns>,
    walking: Arc<Turns>,
    archives: Arc<Turns>,
}

/// Somebody's place in a tree: see [`Guard`].
#[derive(Debug)]
pub struct Visit<'a> {
    /// The volume.
    pub volume: &'a OpenVolume,
    /// The tree.
    pub tree: &'a TreeRoot,
    /// The place.
    pub guard: &'a Guard,
    /// The volume's quotas.
    pub accounts: &'a Arc<Accounts>,
}

impl Files {
    /// Over the volumes of `tasks`, with the default limits.
    #[must_use]
    pub fn new(tasks: Tasks) -> Self {
        Self::with_limits(tasks, Limits::default())
    }

    /// Over the volumes of `tasks`.
    #[must_use]
    pub fn with_limits(tasks: Tasks, limits: Limits) -> Self {
        Self {
            tasks,
            shelf: Arc::default(),
            transfers: Transfers::new(limits),
            uploads: Arc::default(),
            in_tree: Arc::new(Turns::new(IN_TREE)),
            walking: Arc::new(Turns::new(WALKING)),
            archives: Arc::new(Turns::new(ARCHIVES)),
        }
    }

    /// The limits of transfers.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.transfers.limits()
    }

    /// Takes a place among the transfers, for whoever is about to send or receive what is in files.
    ///
    /// # Errors
    /// TOO_MANY_REQUESTS, with RetryInfo.
    pub fn begin_transfer(&self, vfolder: Uuid) -> Result<Transfer, Refusal> {
        self.transfers.begin(vfolder)
    }

    pub(super) fn archive_turn(&self, vfolder: Uuid) -> Option<OwnedSemaphorePermit> {
        self.archives.try_take(vfolder)
    }

    pub(super) fn uploads(&self) -> &Uploads {
        &self.uploads
    }

    /// The volumes and what is under way on them.
    #[must_use]
    pub fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// Where the names of listings are kept between two pages.
    #[must_use]
    pub fn shelf(&self) -> &Arc<Shelf> {
        &self.shelf
    }

    /// Runs `work` in the granted tree, on a thread that may block. `control` is stopped when somebody else gets the tree
    /// meanwhile.
    ///
    /// # Errors
    /// Those of `work`; GRANT_STALE; those of the volume.
    pub async fn in_tree<T: Send + 'static>(
        &self,
        grant: Grant,
        stay: Stay,
        control: Arc<Control>,
        work: impl FnOnce(&Visit<'_>) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let staying = self.stay_in_tree(grant, stay, control, work);
        staying.await.map(|(done, _guard)| done)
    }

    /// As [`Files::in_tree`], for work that takes the longer the more there is in the tree. It waits while as much is under
    /// way as may be in one vfolder or on one volume, so that there are threads left for what is short.
    ///
    /// # Errors
    /// As [`Files::in_tree`].
    pub async fn walk_tree<T: Send + 'static>(
        &self,
        grant: Grant,
        stay: Stay,
        control: Arc<Control>,
        work: impl FnOnce(&Visit<'_>) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let own = self.walking.take(grant.vfolder).await;
        let of_volume = self.tasks.walk_turn(&grant.volume).await;
        let turns = (
            own,
            of_volume.map_err(|refused| refuse::by_tasks(&refused))?,
        );
        self.in_tree(grant, stay, control, move |visit| {
            // Given back by the thread, as that of the volume's threads is.
            let _turns = turns;
            work(visit)
        })
        .await
    }

    /// Runs `work` on a thread that may block, for somebody who has a file of the vfolder open already. Also of those, one
    /// vfolder's must not take all of a volume's threads.
    pub(super) async fn serve<T: Send + 'static>(
        &self,
        volume: &str,
        vfolder: Uuid,
        work: impl FnOnce(&Volume) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let turn = self.in_tree.take(vfolder).await;
        let done = self.tasks.serve(volume, move |volume| {
            let _turn = turn;
            work(volume)
        });
        done.await.map_err(|refused| refuse::by_tasks(&refused))
    }

    /// As [`Files::in_tree`], and stays in the tree for as long as the guard is held: for whoever goes on to read or write
    /// what `work` has opened.
    ///
    /// # Errors
    /// As [`Files::in_tree`].
    pub async fn stay_in_tree<T: Send + 'static>(
        &self,
        grant: Grant,
        stay: Stay,
        control: Arc<Control>,
        work: impl FnOnce(&Visit<'_>) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<(T, Guard), Refusal> {
        let by_tasks = |refused| refuse::by_tasks(&refused);
        let fences = self.tasks.fences(&grant.volume).map_err(by_tasks)?;
        let accounts = self.tasks.accounts(&grant.volume).map_err(by_tasks)?;
        let name = grant.volume.clone();
        if let Some(quota) = &grant.quota {
            accounts.learn(grant.vfolder, quota);
        }
        let mut work = work;
        loop {
            let (entering, own) = (Arc::clone(&fences), Arc::clone(&accounts));
            let (grant, control) = (grant.clone(), Arc::clone(&control));
            let vfolder = grant.vfolder;
            let turn = self.in_tree.take(vfolder).await;
            let done = self.tasks.serve(&name, move |volume| {
                let _turn = turn;
                visit(volume, &entering, &own, (grant, stay, control), work)
            });
            match done.await.map_err(by_tasks)?? {
                Visited::Done(done) => return Ok(done),
                Visited::Uncounted(later) => work = later,
            }
            self.count_first(&accounts, &name, vfolder).await?;
        }
    }

    /// Where something has to be counted before anything may be added to the tree, one request does, on a thread of its
    /// own, and the others wait without holding one.
    async fn count_first(
        &self,
        accounts: &Arc<Accounts>,
        volume: &str,
        vfolder: Uuid,
    ) -> Result<(), Refusal> {
        let counting = accounts.may_count().await;
        // By whoever was before us.
        if accounts.is_ready(vfolder) {
            return Ok(());
        }
        let accounts = Arc::clone(accounts);
        let counted = self.tasks.count(volume, move |volume| {
            let volume = volume.get()?;
            accounts.make_ready_now(&volume, vfolder, accounts.control(), &counting)
        });
        let counted = counted
            .await
            .map_err(|refused| refuse::by_tasks(&refused))?;
        counted.map_err(|error| refuse::by_volume(&error))
    }
}

/// What came of coming in.
enum Visited<T, W> {
    Done((T, Guard)),
    /// Nothing yet: something has to be counted first, and then this work is still to be done.
    Uncounted(W),
}

fn visit<T, W: FnOnce(&Visit<'_>) -> Result<T, Refusal>>(
    volume: &Volume,
    fences: &Fences,
    accounts: &Arc<Accounts>,
    (grant, stay, control): (Grant, Stay, Arc<Control>),
    work: W,
) -> Result<Visited<T, W>, Refusal> {
    let by_volume = |error| refuse::by_volume(&error);
    let volume = volume.get().map_err(by_volume)?;
    let entered = fences.try_enter(&volume, grant.vfolder, stay, grant.epoch, control);
    let Some(guard) = entered.map_err(|error| refuse::by_fence(&error))? else {
        return Ok(Visited::Uncounted(work));
    };
    let tree = volume.tree(grant.vfolder).map_err(by_volume)?;
    let Some(tree) = tree else {
        drop(guard);
        accounts.forget_treeless(&volume, grant.vfolder);
        return Err(refuse::no_tree(grant.vfolder));
    };
    let visit = Visit {
        volume: &volume,
        tree: &tree,
        guard: &guard,
        accounts,
    };
    match work(&visit) {
        Ok(done) => Ok(Visited::Done((done, guard))),
        Err(_) if guard.is_cut() => Err(cut_off(grant.vfolder)),
        Err(refusal) => Err(accounts.explain(&volume, grant.vfolder, refusal)),
    }
}

/// The grant that the request came with, if it is for this vfolder and lets its bearer do that much.
///
/// # Errors
/// GRANT_MISSING, GRANT_TOO_SMALL, FIELD_INVALID.
pub fn granted(grant: Option<&Grant>, vfolder_id: &str, mode: GrantMode) -> Result<Grant, Refusal> {
    let grant = grant
        .ok_or_else(|| Refusal::new(Reason::GrantMissing, "the request came without a grant"))?;
    let vfolder =
        Uuid::parse_str(vfolder_id).map_err(|_| Refusal::field("vfolder_id", "must be a UUID"))?;
    let too_small = |text: &str| Err(Refusal::new(Reason::GrantTooSmall, text));
    if grant.vfolder != vfolder {
        return too_small("the grant is for another vfolder");
    }
    if mode == GrantMode::ReadWrite && grant.mode != GrantMode::ReadWrite {
        return too_small("the grant is for reading only");
    }
    Ok(grant.clone())
}

/// Whether the grant is for this path too.
///
/// # Errors
/// GRANT_TOO_SMALL.
pub fn in_scope(grant: &Grant, path: &RelativePath) -> Result<(), Refusal> {
    let inside = match path.as_bytes().strip_prefix(grant.path.as_slice()) {
        Some(rest) => grant.path.is_empty() || rest.is_empty() || rest.starts_with(b"/"),
        None => false,
    };
    if inside {
        return Ok(());
    }
    let text = format!(
        "the grant is for \"{}\" and what is below; \"{path}\" is not",
        shown(&grant.path)
    );
    Err(Refusal::new(Reason::GrantTooSmall, text))
}

/// The tree has changed hands while this was under way.
#[must_use]
pub fn cut_off(vfolder: Uuid) -> Refusal {
    let text = format!(
        "the vfolder {vfolder} has changed hands while this was under way; look at its status, and try again"
    );
    Refusal::new(Reason::GrantStale, text)
}

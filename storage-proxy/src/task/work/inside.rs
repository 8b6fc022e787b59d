//! Work inside a tree: what unpacking and removing do alike.
//!
//! There is no rename that publishes it. It is published by its totals in the journal, written when all that was done is
//! durable; from then on it can't be cancelled. What was done before, if it ends otherwise, stays.

use std::{
    os::fd::OwnedFd,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use super::{Interrupted, Job, Record, Step};
use crate::{
    account::NotReserved,
    archive::Stop as Unread,
    faults::{at, pass},
    task::{
        Done, EnterError, Failure, FailureKind, Guard, RaiseError, Stay, Work,
        lane::Long,
        spec::{InPlace, Totals},
    },
    tree::{Control, Fault, RelativePath, TreeError, TreeRoot, sync},
    volume::{Fence, VolumeError},
};

/// A place in the tree that is worked in.
pub(super) struct Inside<'a> {
    pub tree: TreeRoot,
    pub control: &'a Control,
    guard: &'a Guard,
    /// How far an earlier life was.
    pub before: Option<InPlace>,
    /// Older than all that is written, and nobody else's.
    sync: OwnedFd,
}

/// Why work inside a tree ends early.
#[derive(Debug)]
pub(super) enum Ended {
    /// For something in the tree, or the wish to stop.
    Tree(TreeError),
    /// For the archive, or the wish to stop.
    Unread(Unread),
    /// For anything else.
    Failed(Failure),
}

impl From<Unread> for Ended {
    fn from(why: Unread) -> Self {
        Self::Unread(why)
    }
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<VolumeError> for Ended {
    fn from(error: VolumeError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<NotReserved> for Ended {
    fn from(why: NotReserved) -> Self {
        Self::Failed(why.into())
    }
}

impl Ended {
    /// For what is at `path`.
    pub fn at(path: &RelativePath) -> impl Fn(Fault) -> Self {
        move |fault| Self::Tree(TreeError::new(fault, path.as_bytes()))
    }

    fn is_stop(&self) -> bool {
        match self {
            Self::Tree(error) => error.is_cancelled(),
            Self::Unread(why) => *why == Unread::Stopped,
            Self::Failed(_) => false,
        }
    }
}

impl Inside<'_> {
    /// Stands before a step that becomes visible.
    pub fn step(&self) -> Result<(), Ended> {
        let faults = at("inside.entry").map_err(|errno| Fault::System("fault point", errno));
        self.control
            .check()
            .and(faults)
            .map_err(Ended::at(&RelativePath::root()))?;
        match self.guard.is_cut() {
            true => Err(Ended::Unread(Unread::Stopped)),
            false => Ok(()),
        }
    }

    /// Makes durable what was done.
    pub fn sync(&self) -> Result<(), Ended> {
        let handle = self.sync.try_clone();
        let handle = handle.map_err(|error| {
            Failure::passing(
                FailureKind::IoError,
                format!("no handle to sync by: {error}"),
            )
        })?;
        sync(handle, self.control).map_err(Ended::at(&RelativePath::root()))
    }
}

impl Job<'_> {
    /// Sees to it that nobody older writes in the tree.
    pub(super) fn begin_inside(
        &self,
        record: Option<Record>,
        long: Long,
    ) -> Result<Step, Interrupted> {
        self.at("inside.begin")?;
        if let Some(totals) = record.as_ref().and_then(|record| record.totals.clone()) {
            return Ok(Step::Done(totals.into()));
        }
        drop(self.take_target()?);
        self.task.begun_before.store(record.is_some(), Relaxed);
        if record.is_none() {
            self.unless_full(self.write_record(None))?;
        }
        self.at("inside.journalled")?;
        let spec = &self.task.spec;
        let (vfolder, fence) = (spec.work.vfolder(), Fence::for_writers(spec.epoch));
        match self.ledger.fences.raise(self.volume, vfolder, fence) {
            // This process knows it all the same, and notes it as soon as there is space.
            Err(RaiseError::Volume(error)) => drop(self.unless_full(Err(error))?),
            raised => raised?,
        }
        self.at("inside.fenced")?;
        Ok(Step::Long(long))
    }

    /// Does the work by `work`, as a writer, and publishes that it is done.
    pub(super) fn work_inside(
        &self,
        work: impl FnOnce(&Inside<'_>) -> Result<(), Ended>,
    ) -> Result<Done, Interrupted> {
        let (spec, control) = (&self.task.spec, &self.task.control);
        let vfolder = spec.work.vfolder();
        let guard = self
            .ledger
            .fences
            .enter(
                self.volume,
                vfolder,
                Stay::Writing,
                spec.epoch,
                Arc::clone(control),
            )
            .map_err(|error| match error {
                // Asked to stop while something was counted first.
                EnterError::Volume(error) => self.interrupted_by(error),
                stale @ EnterError::Stale { .. } => stale.into(),
            })?;
        let Some(tree) = self.volume.tree(vfolder)? else {
            let message = format!("the vfolder {vfolder} has no tree on this volume");
            return Err(Failure::lasting(FailureKind::SourceMissing, message).into());
        };
        let record = self.volume.read_journal::<Record>(self.operation)?;
        let root = RelativePath::root();
        let handle = tree.directory(&root).map_err(|fault| self.fault(fault))?;
        let inside = Inside {
            tree,
            control,
            guard: &guard,
            before: record.and_then(|record| record.progress),
            sync: handle,
        };
        let worked = work(&inside)
            .and_then(|()| {
                self.at("inside.worked")?;
                inside.sync()?;
                self.at("inside.synced")?;
                Ok(())
            })
            .map_err(|ended| self.why(ended, &guard));
        // What was kept for after a crash is of no use to one that has failed.
        worked.map_err(|why| self.clean_up_after(why))?;
        let progress = control.progress();
        control.set_totals(progress.entries_done, progress.bytes_done);
        let totals = Totals {
            entries: progress.entries_done,
            bytes: progress.bytes_done,
            receipt: None,
        };
        self.publish(|| match guard.is_cut() {
            true => Err(outdated(vfolder).into()),
            false => Ok(self.write_record(Some(totals.clone()))?),
        })?;
        pass("inside.done");
        self.tidy();
        Ok(Done::from(totals))
    }

    /// Whether something is noted. Of a removal, which makes space, it may be that there is none for it.
    pub(super) fn unless_full(&self, noted: Result<(), VolumeError>) -> Result<bool, VolumeError> {
        match noted {
            Err(error)
                if matches!(self.task.spec.work, Work::Remove(_))
                    && error.is_for_want_of_space() =>
            {
                tracing::warn!(operation = %self.operation, %error, "removing without a note of it: the volume is full");
                Ok(false)
            }
            noted => noted.map(|()| true),
        }
    }

    /// Notes that from here on, what is there may be its own.
    pub(super) fn note_inside(&self, progress: InPlace) -> Result<(), VolumeError> {
        let mut record = Record::new(&self.task.spec);
        record.progress = Some(progress);
        self.volume.write_journal(self.operation, &record)
    }

    fn why(&self, ended: Ended, guard: &Guard) -> Interrupted {
        if ended.is_stop() {
            // Cut off, and not asked to stop.
            if guard.is_cut() && self.task.phase.stopping().is_none() {
                return outdated(self.task.spec.work.vfolder()).into();
            }
            return self.fault(Fault::Cancelled);
        }
        match ended {
            Ended::Tree(error) => of_path(error).into(),
            Ended::Unread(why) => of_archive(why).into(),
            Ended::Failed(failure) => failure.into(),
        }
    }

    fn fault(&self, fault: Fault) -> Interrupted {
        self.interrupted(TreeError::new(fault, Vec::new()))
    }
}

/// Here a path is one that a user, or an archive, has given.
fn of_path(error: TreeError) -> Failure {
    let kind = match error.fault {
        Fault::Exists => FailureKind::FileExists,
        Fault::NotFound | Fault::Gone => FailureKind::FileNotFound,
        Fault::NotADirectory => FailureKind::NotADirectory,
        Fault::Symlink => FailureKind::SymlinkInPath,
        _ => return error.into(),
    };
    Failure::lasting(kind, error.to_string())
}

fn of_archive(why: Unread) -> Failure {
    let message = why.to_string();
    match why {
        Unread::Broken(_) => Failure::lasting(FailureKind::ArchiveInvalid, message),
        Unread::TooLarge(_) => Failure::lasting(FailureKind::ArchiveTooLarge, message),
        Unread::Stopped => Failure::cancelled(),
        Unread::System(_) => Failure::lasting(FailureKind::IoError, message),
    }
}

fn outdated(vfolder: uuid::Uuid) -> Failure {
    let message = format!(
        "the vfolder {vfolder} has changed hands while this worked in it; look at its status, and begin anew if it still admits it"
    );
    Failure::lasting(FailureKind::Stale, message)
}

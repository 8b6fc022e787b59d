//! What tasks do. Runs on threads that may block; everything here may be repeated after a crash at any point.

mod account;
mod checkpoints;
mod copy;
mod create;
mod extract;
mod inside;
mod job;
mod purge;
mod recount;
mod remove;
mod verify;

pub(super) use self::{extract::clear_hidden, job::Job};
use super::{Done, Failure, Work, lane::Long, phase::Stop, spec::Record};

/// How far a task is.
#[derive(Debug)]
pub(super) enum Step {
    /// It is done; this was done in all.
    Done(Done),
    /// What remains takes long.
    Long(Long),
}

/// Why work ended early.
#[derive(Debug)]
pub(super) enum Interrupted {
    /// It failed.
    Failed(Failure),
    /// It had failed for good before.
    FailedBefore(Failure),
    /// It was asked to stop.
    Stopped(Stop),
    /// The journal has another task under this id.
    ArgumentsDiffer,
}

impl<E: Into<Failure>> From<E> for Interrupted {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Job<'_> {
    /// Does what is quick of the task, or what remains of that.
    pub fn begin(&self) -> Result<Step, Interrupted> {
        let spec = &self.task.spec;
        let record = match self.ledger.verdicts.unwritten(self.operation) {
            Some(record) => Some(record),
            None => self.volume.read_journal::<Record>(self.operation)?,
        };
        if record.as_ref().is_some_and(|record| !record.is_of(spec)) {
            return Err(Interrupted::ArgumentsDiffer);
        }
        if let Some(verdict) = record.as_ref().and_then(|r| r.verdict.clone()) {
            return Err(Interrupted::FailedBefore(verdict.into()));
        }
        match &spec.work {
            Work::Create { vfolder } => self.begin_create(*vfolder, record),
            Work::Clone {
                source,
                vfolder,
                source_epoch,
                ..
            } => self.begin_clone(*source, *source_epoch, *vfolder, record),
            Work::Purge { vfolder } => self.purge(*vfolder),
            Work::Verify { .. } | Work::Recount { .. } => Ok(Step::Long(Long::Copy)),
            Work::Extract(_) => self.begin_inside(record, Long::Copy),
            Work::Remove(_) => self.begin_inside(record, Long::Remove),
        }
        .map_err(|why| self.clean_up_after(why))
    }

    /// Does what takes long, after [`Job::begin`] and with a turn.
    pub fn go_on(&self) -> Result<Step, Interrupted> {
        match &self.task.spec.work {
            Work::Create { vfolder } => self.create(*vfolder).map(Done::from).map(Step::Done),
            Work::Clone {
                source,
                vfolder,
                source_epoch,
                receipt,
            } => self
                .copy_and_publish(*source, *source_epoch, *vfolder, *receipt)
                .map(Step::Done),
            Work::Purge { vfolder } => self.purge(*vfolder),
            Work::Verify { vfolder } => self.verify(*vfolder).map(Step::Done),
            Work::Recount { vfolder } => self.recount(*vfolder).map(Step::Done),
            Work::Extract(extraction) => self
                .work_inside(|inside| self.extract(extraction, inside))
                .map_err(|why| self.explain_full(extraction.vfolder, why))
                .map(Step::Done),
            Work::Remove(removal) => self
                .work_inside(|inside| self.remove(removal, inside))
                .map(Step::Done),
        }
    }
}

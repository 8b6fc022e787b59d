//! A copy of a tree, as it was at one moment.

use std::{os::fd::AsFd as _, sync::Arc, thread, time::Instant};

use uuid::Uuid;

use super::{Interrupted, Job, Record, Step, account::CopyReservation, checkpoints::Checkpoints};
use crate::{
    backend::{Cloned, Method},
    faults::{at, pass},
    task::{Done, Failure, FailureKind, Guard, Receipt, Stay, lane::Long, spec::Totals},
    tree::{
        CloneTarget, Control, Fault, Progress, TreeDigest, TreeError, TreeRoot, Workers,
        error::system, sync, usage,
    },
    volume::{Fence, Staging, on},
};

impl Job<'_> {
    pub(super) fn begin_clone(
        &self,
        source: Uuid,
        source_epoch: i64,
        vfolder: Uuid,
        record: Option<Record>,
    ) -> Result<Step, Interrupted> {
        self.at("clone.begin")?;
        let totals = record.as_ref().and_then(|record| record.totals.clone());
        if self.is_published(vfolder)? {
            // An earlier life has died before it could note that; what is in there is counted if it matters.
            self.open_account(vfolder, None);
            return Ok(Step::Done(totals.map(Done::from).unwrap_or_default()));
        }
        drop(self.take_target()?);
        if record.is_none() {
            self.write_record(None)?;
        }
        self.at("clone.journalled")?;
        // Those who wrote before are out, for good, before anything is copied.
        let fence = Fence::for_writers(source_epoch);
        self.ledger.fences.raise(self.volume, source, fence)?;
        drop(self.hold_source(source, source_epoch)?);
        self.at("clone.fenced")?;
        Ok(Step::Long(Long::Copy))
    }

    pub(super) fn copy_and_publish(
        &self,
        source: Uuid,
        source_epoch: i64,
        vfolder: Uuid,
        receipt: bool,
    ) -> Result<Done, Interrupted> {
        let held = self.hold_source(source, source_epoch)?;
        let copied = self
            .reserve_for_copy(source, vfolder)
            .and_then(|reserved| self.copy_while_held(source, vfolder, receipt, &held, reserved));
        // Whoever cuts this clone off waits for no more than that it has stopped.
        drop(held);
        let done = copied.map_err(|why| self.clean_up_after(why))?;
        pass("clone.published");
        self.tidy();
        Ok(done)
    }

    fn copy_while_held(
        &self,
        source: Uuid,
        vfolder: Uuid,
        receipt: bool,
        held: &Guard,
        mut reserved: CopyReservation,
    ) -> Result<Done, Interrupted> {
        let copy = move || {
            let begun = Instant::now();
            let (staging, copied) = self.copy(source, receipt)?;
            let took = begun.elapsed();
            self.at("clone.copied")?;
            let Progress {
                entries_done: entries,
                bytes_done: bytes,
                ..
            } = self.task.control.progress();
            self.task.control.set_totals(entries, bytes);
            let totals = match receipt {
                // It has seen every entry, also of a snapshot, of which nobody else counts any.
                true => {
                    let receipt = match &copied.digest {
                        Some(found) => Receipt::new(found, false),
                        None => self.digest_staged(&staging)?,
                    };
                    self.at("clone.digested")?;
                    Totals::of(receipt)
                }
                false => Totals {
                    entries,
                    bytes,
                    receipt: None,
                },
            };
            let walked = match &totals.receipt {
                Some(receipt) => Some((receipt.entries, receipt.bytes)),
                None => copied.walked.then_some((entries, bytes)),
            };
            let made = self.reserve_what_was_made(&mut reserved, &staging, walked)?;
            self.limit_copy(&staging, vfolder);
            // What the place needs is made durable together with the tree.
            let place = self.volume.prepare_place(vfolder)?;
            self.at("clone.placed")?;
            let syncing = Instant::now();
            if !copied.durable {
                self.sync(&staging)?;
            }
            if let Some(method) = copied.method {
                let took = took + syncing.elapsed();
                self.ledger.rates.note(method, entries, bytes, took);
            }
            self.at("clone.synced")?;
            self.write_record(Some(totals.clone()))?;
            self.at("clone.totalled")?;
            self.publish(|| match held.is_cut() {
                true => Err(outdated(source).into()),
                false => Ok(self.volume.publish(&staging, &place, vfolder)?),
            })?;
            // In this order: in between, nobody is let in who would find no room.
            self.open_account(vfolder, made);
            drop(reserved);
            Ok(Done::from(totals))
        };
        copy().map_err(|why| match why {
            // Cut off, and not asked to stop.
            Interrupted::Stopped(_) if held.is_cut() && self.task.phase.stopping().is_none() => {
                outdated(source).into()
            }
            why => why,
        })
    }

    fn hold_source(&self, source: Uuid, epoch: i64) -> Result<Guard, Interrupted> {
        let control = Arc::clone(&self.task.control);
        let fences = &self.ledger.fences;
        Ok(fences.enter(self.volume, source, Stay::Copying, epoch, control)?)
    }

    /// With its digest, if it is `digested`: but not of a snapshot or a copy that is gone on with, which would be read for that
    /// alone.
    fn copy(&self, source: Uuid, digested: bool) -> Result<(Staging, Copied), Interrupted> {
        let Some(tree) = self.volume.tree(source)? else {
            let message = format!("the vfolder {source} has no tree on this volume");
            return Err(Failure::lasting(FailureKind::SourceMissing, message).into());
        };
        let (staging, checkpoint, resumed) = match self.volume.resume_staging(self.operation)? {
            Some((staging, checkpoint)) => (staging, checkpoint, true),
            None => {
                self.clear_staging()?;
                let staging = self.volume.begin_staging(self.operation)?;
                let checkpoint = staging.begin_copy()?;
                (staging, checkpoint, false)
            }
        };
        self.at("clone.staged")?;
        let ongoing = Arc::default();
        let scratch = || self.volume.scratch_file();
        let name = staging.tree_name();
        let target = CloneTarget {
            parent: staging.directory(),
            name: &name,
            links: staging.links(),
            root: None,
            resume: resumed.then_some(&checkpoint),
            ongoing: &ongoing,
            digest: digested.then_some(&scratch),
        };
        let checkpoints = Checkpoints::begin(&staging, checkpoint.clone(), &ongoing)?;
        let cloned = self.copy_and_count(&tree, target);
        drop(checkpoints);
        let cloned = cloned.map_err(|error| self.interrupted(error))?;
        if let (true, Some(walked)) = (resumed, cloned.walked) {
            let done = self.task.control.progress();
            tracing::info!(
                operation = %self.operation,
                kept_entries = walked.kept_entries,
                copied_entries = done.entries_done - walked.kept_entries,
                redone_entries = walked.redone_entries,
                kept_bytes = walked.kept_bytes,
                copied_bytes = done.bytes_done - walked.kept_bytes,
                "clone resumed"
            );
        }
        let method = match (resumed, cloned.walked) {
            (true, _) => None,
            (false, None) => Some(Method::Snapshot),
            (false, Some(walked)) => walked
                .digest
                .is_none()
                .then(|| self.volume.method_by_entries()),
        };
        let (durable, walked) = (cloned.durable, cloned.walked.is_some());
        let copied = Copied {
            durable,
            walked,
            method,
            digest: cloned.walked.and_then(|walked| walked.digest),
        };
        Ok((staging, copied))
    }

    fn copy_and_count(
        &self,
        source: &TreeRoot,
        target: CloneTarget<'_>,
    ) -> Result<Cloned, TreeError> {
        let control = &*self.task.control;
        let scan = Control::default();
        thread::scope(|scope| {
            // The totals only serve the progress: whatever keeps them from being known, the copy
            // will meet too.
            let count = || {
                if let Ok(all) = usage(source.as_fd(), Workers::ONE, &scan)
                    && !all.approximate
                {
                    control.set_totals(all.entries, all.bytes);
                }
            };
            let counting = thread::Builder::new().name("count".into());
            if let Err(error) = counting.spawn_scoped(scope, count) {
                tracing::warn!(operation = %self.operation, %error, "no thread to count what is to be copied");
            }
            let cloned = self
                .volume
                .backend()
                .clone_tree(source.as_fd(), target, control);
            scan.stop();
            cloned
        })
    }

    fn sync(&self, staging: &Staging) -> Result<(), Interrupted> {
        // This task's own, and older than all that it has written.
        let handle = staging.sync_handle()?;
        let synced = at("clone.syncing")
            .map_err(system("syncfs"))
            .and_then(|()| sync(handle, &self.task.control));
        synced.map_err(|fault| match fault {
            Fault::System(call, errno) => {
                staging.distrust();
                on("staging", call)(errno).into()
            }
            fault => self.interrupted(TreeError::new(fault, Vec::new())),
        })
    }
}

/// What is known of a copy besides what is in it.
struct Copied {
    /// It survives a power cut.
    durable: bool,
    /// Somebody has counted what is in it.
    walked: bool,
    /// How it was made, if it was made in one go, and by copying alone: what takes longer would spoil estimates.
    method: Option<Method>,
    /// Its digest, if that is known by now.
    digest: Option<TreeDigest>,
}

fn outdated(source: Uuid) -> Failure {
    let message = format!(
        "the vfolder {source} has changed hands while it was copied; look at its status, and clone it again"
    );
    Failure::lasting(FailureKind::Stale, message)
}

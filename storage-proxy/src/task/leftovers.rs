//! What is on disk of a task that doesn't run, or has stopped.

use uuid::Uuid;

use super::{Work, spec::Record};
use crate::{
    tree::{Control, Progress},
    volume::{OpenVolume, VolumeError},
};

/// What a task is, as far as its journal doesn't tell.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hint {
    /// Its work.
    Work(Work),
    /// The tree that it would publish.
    Publishes(Uuid),
}

/// Removes what an unpublished task has left. Durable when it returns; the blocks may be given back later.
pub(super) fn discard(
    volume: &OpenVolume,
    operation: Uuid,
    control: &Control,
) -> Result<(), VolumeError> {
    volume.clear_staging(operation, control)?;
    volume.remove_journal(operation)
}

/// If the task's result is published: makes that durable and answers what was done. Otherwise discards the task.
pub(super) fn discard_unpublished(
    volume: &OpenVolume,
    operation: Uuid,
    hint: Hint,
    control: &Control,
) -> Result<Option<Progress>, VolumeError> {
    let record = match volume.read_journal::<Record>(operation) {
        Err(error @ VolumeError::Journal(..)) => {
            tracing::warn!(%operation, %error, "deciding without the journal whether the task is published");
            None
        }
        read => read?,
    };
    let work = record.as_ref().map(|record| record.spec.work);
    let (vfolder, leaves_a_tree) = match (work, hint) {
        (Some(work), _) | (None, Hint::Work(work)) => (work.vfolder(), work.leaves_a_tree()),
        (None, Hint::Publishes(vfolder)) => (vfolder, true),
    };
    if volume.tree(vfolder)?.is_some() == leaves_a_tree {
        volume.settle_tree(vfolder)?;
        tidy(volume, operation);
        let totals = record.and_then(|record| record.totals);
        return Ok(Some(totals.map(Progress::from).unwrap_or_default()));
    }
    discard(volume, operation, control)?;
    Ok(None)
}

/// A published task's staging holds nothing that anybody misses; failing to remove it is no failure.
pub(super) fn tidy(volume: &OpenVolume, operation: Uuid) {
    if let Err(error) = volume.remove_staging(operation, &Control::default()) {
        tracing::warn!(%operation, %error, "can't remove the staging of a published task");
    }
}

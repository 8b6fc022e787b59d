//! Room in a volume's queue for one more operation.

use std::time::Duration;

use vfolder_common::error::{Reason, Refusal};

use crate::{
    context::Context,
    model::State,
    store::{Operation, Tx, queue},
};

/// When to try again with what found the queue full.
const RETRY: Duration = Duration::from_secs(10);

/// Whether one more operation may wait on its volume. Those that begin at the same moment are not counted, so a queue
/// may become a little longer than its limit.
pub async fn in_queue(ctx: &Context, tx: &mut Tx, op: &Operation) -> Result<(), Refusal> {
    let settings = &ctx.settings.operations;
    let (volume, lane) = (op.volume.as_str(), op.kind.lane());
    let waiting = queue::count(tx, volume, lane, State::Pending).await?;
    let full = |whose: &str, limit: i64, used: i64| {
        Refusal::new(
            Reason::QueueFull,
            format!(
                "{used} operations of kind {} wait on volume \"{volume}\"{whose}, and {limit} may; try again when some have ended",
                op.kind
            ),
        )
        .with_quota(
            format!("volume:{volume}"),
            format!("limit {limit} waiting operations{whose}, used {used}, asked 1"),
        )
        .with_retry(RETRY)
    };
    if waiting >= settings.max_queue_per_volume {
        return Err(full("", settings.max_queue_per_volume, waiting));
    }
    if waiting >= settings.max_queue_per_owner {
        let own = queue::count_of_owner(tx, volume, lane, &op.owner).await?;
        if own >= settings.max_queue_per_owner {
            return Err(full(" for this owner", settings.max_queue_per_owner, own));
        }
    }
    Ok(())
}

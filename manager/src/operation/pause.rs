//! A volume's queue, and its pause.

use vfolder_common::error::Refusal;

use crate::{
    context::Context,
    model::{Caller, Lane, State},
    store::{VolumeRow, queue, volumes},
};

/// How a volume's queue is.
#[derive(Clone, Debug)]
pub struct Queue {
    /// Whether it is paused.
    pub row: VolumeRow,
    /// Operations that run.
    pub running: i64,
    /// Operations that wait.
    pub waiting: i64,
}

/// Looks at a volume's queue.
pub async fn look(ctx: &Context, volume: &str) -> Result<Queue, Refusal> {
    let mut tx = ctx.store.read("volume.queue").await?;
    let (mut running, mut waiting) = (0, 0);
    for lane in Lane::ALL {
        running += queue::count(&mut tx, volume, lane, State::Running).await?;
        waiting += queue::count(&mut tx, volume, lane, State::Pending).await?;
    }
    Ok(Queue {
        row: volumes::get(&mut tx, volume).await?,
        running,
        waiting,
    })
}

/// Pauses a volume's queue: what runs goes on, nothing new begins. Or resumes it.
pub async fn set_paused(
    ctx: &Context,
    caller: &Caller,
    volume: &str,
    paused: bool,
    reason: &str,
) -> Result<VolumeRow, Refusal> {
    let mut tx = ctx.store.begin("volume.pause").await?;
    let done = async {
        let mut row = volumes::lock(&mut tx, volume).await?;
        if row.paused == paused && (!paused || row.pause_reason == reason) {
            return Ok(row);
        }
        let now = tx.now().await?;
        row.paused = paused;
        row.pause_reason = if paused {
            reason.to_owned()
        } else {
            String::new()
        };
        row.pause_actor = if paused {
            caller.user.clone()
        } else {
            String::new()
        };
        row.pause_time = paused.then_some(now);
        volumes::update(&mut tx, &row).await?;
        Ok::<_, Refusal>(row)
    }
    .await;
    let row = tx.finish(done).await?;
    tracing::info!(
        volume,
        paused,
        reason,
        actor = caller.user,
        "volume's queue"
    );
    Ok(row)
}

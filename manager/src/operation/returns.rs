//! Storage-proxies that come back: what pauses because of them need not wait out its pause.

use std::sync::Arc;

use tokio::{task::JoinSet, time};
use tokio_util::sync::CancellationToken;
use vfolder_common::error::Refusal;

use crate::{context::Context, storage::Proxy, store::operations};

/// Looks for storage-proxies that have come back, until told to stop. Each is looked for apart from the others, since one
/// that is away takes long to be found so.
pub async fn watch(ctx: Context, stop: CancellationToken) {
    let mut watches = JoinSet::new();
    for proxy in ctx.volumes.proxies() {
        let (ctx, stop) = (ctx.clone(), stop.clone());
        watches.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = watch_one(&ctx, &proxy) => {}
            }
        });
    }
    while watches.join_next().await.is_some() {}
}

async fn watch_one(ctx: &Context, proxy: &Arc<Proxy>) {
    // What paused before this manager came need not wait for it either.
    let mut seen = None;
    loop {
        // Whoever calls it finds out that it is lost; here it is only found again.
        let losses = proxy.losses();
        if seen != Some(losses) && proxy.channel().await.is_ok() {
            match let_go_on(ctx, proxy).await {
                Ok(()) => seen = Some(losses),
                Err(refusal) => {
                    tracing::warn!(address = proxy.address(), error = %refusal, "operations wait out their pauses");
                }
            }
        }
        time::sleep(ctx.settings.operations.tick).await;
    }
}

async fn let_go_on(ctx: &Context, proxy: &Arc<Proxy>) -> Result<(), Refusal> {
    for volume in ctx.volumes.of(proxy) {
        let mut tx = ctx.store.begin("operation.retry_now").await?;
        let done = async {
            let now = tx.now().await?;
            operations::retry_now(&mut tx, volume, now).await
        }
        .await;
        let count = tx.finish(done).await?;
        if count > 0 {
            tracing::info!(volume, count, "the storage-proxy is back; operations go on");
        }
    }
    Ok(())
}

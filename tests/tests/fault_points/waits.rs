//! Stories that pass through the points of what runs by itself, or while the manager waits.

use std::time::Duration;

use vfolder_proto::v1::{
    DeleteVFolderRequest, MountMode, MountRequest, ResetStatusRequest, VFolderStatus,
};
use vfolder_tests::{User, eventually};

use super::doomed::{DEATHS, Doomed, is};

pub async fn waits_and_sweeps(point: &str, doomed: &mut Doomed) {
    let id = doomed.create("data").await;
    let what = point.rsplit_once('.').unwrap().0;
    match what {
        "operation.release" => {
            doomed.pause().await;
            let (operation, _) = doomed.clone_to(&id, "copy").await;
            doomed.system.storage.kill();
            doomed.resume().await;
            doomed.die(point).await;
            doomed.system.start_storage().await;
            doomed.ended(&operation).await;
        }
        "operation.give_back" => {
            for _ in 0..DEATHS {
                let before = doomed.deaths;
                doomed.system.manager.request_stop();
                eventually("it dies while it stops", async || {
                    doomed.revive();
                    (doomed.deaths > before).then_some(())
                })
                .await;
                doomed.status(&id, VFolderStatus::Ready).await;
            }
        }
        "sweep.mount" => {
            let mount = MountRequest {
                vfolder_id: id.clone(),
                session: "session".into(),
                mode: MountMode::ReadWrite.into(),
                ttl: Some(prost_types::Duration::try_from(Duration::from_secs(1)).unwrap()),
            };
            doomed
                .wait_for("it is mounted", async |user: &User| {
                    user.mounts.clone().mount(mount.clone()).await.ok()
                })
                .await;
        }
        "sweep.purge" => {
            let request = DeleteVFolderRequest {
                vfolder_id: id.clone(),
                retention: Some(prost_types::Duration::default()),
                ..DeleteVFolderRequest::default()
            };
            doomed
                .insist(
                    "it is gone",
                    async |user: &User| {
                        user.vfolders
                            .clone()
                            .delete_v_folder(request.clone())
                            .await
                            .map(drop)
                    },
                    async |user: &User| is(user, &id, VFolderStatus::Deleted).await,
                )
                .await;
        }
        // Both come by themselves at every start.
        "sweep.records" | "operation.retry_now" => {}
        _ => {
            let staged = format!(
                "UPDATE vfolders SET status = 'ERROR', status_reason = 'staged' WHERE id = '{id}'"
            );
            doomed.system.database.execute(&staged).await;
            let reset = ResetStatusRequest {
                vfolder_id: id.clone(),
                ..ResetStatusRequest::default()
            };
            let admin = doomed.system.admin();
            doomed
                .insist(
                    "the status is reset",
                    async |_: &User| {
                        admin
                            .vfolders
                            .clone()
                            .reset_status(reset.clone())
                            .await
                            .map(drop)
                    },
                    async |user: &User| is(user, &id, VFolderStatus::Ready).await,
                )
                .await;
        }
    }
}

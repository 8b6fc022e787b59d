//! A system whose manager dies at one point, and a caller who does not give up.

use std::os::unix::process::ExitStatusExt as _;

use tonic::Status;
use vfolder_proto::v1::{
    CloneVFolderRequest, CreateVFolderRequest, DeleteVFolderRequest, PauseVolumeRequest,
    ResumeVolumeRequest, VFolder, VFolderStatus,
};
use vfolder_tests::{Engine, System, User, eventually, operation_metadata};

/// A system whose manager dies at one point, and comes back.
pub struct Doomed {
    pub system: System,
    pub user: User,
    pub deaths: u32,
}

/// How often the manager dies before the point is disarmed.
pub const DEATHS: u32 = 2;

impl Doomed {
    pub async fn start(engine: Engine, point: &str) -> Self {
        let system = System::on(engine)
            .with(|s| {
                s.lease = "600ms".into();
                s.tick = "50ms".into();
                s.operations = "housekeeping = \"100ms\"\nmax_backoff = \"200ms\"".into();
            })
            .start()
            .await;
        let mut doomed = Self {
            user: system.user("alice"),
            system,
            deaths: 0,
        };
        doomed.system.manager.kill();
        doomed.system.manager.arm(&format!("{point}=kill@1"));
        doomed.system.manager.revive();
        doomed
    }

    /// Brings the manager back if it has died, which it may only of its fault point.
    pub fn revive(&mut self) {
        let Some(status) = self.system.manager.ended() else {
            return;
        };
        assert_eq!(
            status.signal(),
            Some(9),
            "it died of something else: {status}"
        );
        self.deaths += 1;
        if self.deaths == DEATHS {
            self.system.manager.arm("");
        }
        self.system.manager.revive();
    }

    /// Repeats `act` until `goal` is reached, whatever becomes of the manager meanwhile. A refusal that is not for want
    /// of an answer is handed to `goal` all the same: what was done may be refused the second time.
    pub async fn insist<T>(
        &mut self,
        what: &str,
        act: impl AsyncFn(&User) -> Result<(), Status>,
        goal: impl AsyncFn(&User) -> Option<T>,
    ) -> T {
        let user = self.user.clone();
        eventually(what, async || {
            self.revive();
            if let Some(reached) = goal(&user).await {
                return Some(reached);
            }
            if let Err(status) = act(&user).await {
                println!("{what}: {status}");
            }
            self.revive();
            goal(&user).await
        })
        .await
    }

    /// Waits for something that nobody has to ask for.
    pub async fn wait_for<T>(&mut self, what: &str, goal: impl AsyncFn(&User) -> Option<T>) -> T {
        self.insist(what, async |_: &User| Ok(()), goal).await
    }

    pub async fn create(&mut self, name: &str) -> String {
        let request = CreateVFolderRequest {
            vfolder: Some(VFolder {
                name: name.into(),
                ..VFolder::default()
            }),
            request_id: uuid::Uuid::now_v7().to_string(),
            ..CreateVFolderRequest::default()
        };
        let by_name = format!("the vfolder {name} is made");
        self.insist(
            &by_name,
            async |user: &User| {
                user.vfolders
                    .clone()
                    .create_v_folder(request.clone())
                    .await
                    .map(drop)
            },
            async |user: &User| {
                let answer = user.vfolders.clone().create_v_folder(request.clone()).await;
                Some(answer.ok()?.into_inner().id)
            },
        )
        .await
    }

    pub async fn clone_to(&mut self, source: &str, name: &str) -> (String, String) {
        let request = CloneVFolderRequest {
            source_id: source.into(),
            vfolder: Some(VFolder {
                name: name.into(),
                ..VFolder::default()
            }),
            request_id: uuid::Uuid::now_v7().to_string(),
            ..CloneVFolderRequest::default()
        };
        self.insist(
            "a clone is begun",
            async |_: &User| Ok(()),
            async |user: &User| {
                let answer = user.vfolders.clone().clone_v_folder(request.clone()).await;
                let op = answer.ok()?.into_inner();
                Some((op.name.clone(), operation_metadata(&op).vfolder_id))
            },
        )
        .await
    }

    pub async fn status(&mut self, id: &str, wanted: VFolderStatus) {
        let what = format!("the vfolder is {wanted:?}");
        self.wait_for(&what, async |user: &User| {
            (user.get(id).await.ok()?.status() == wanted).then_some(())
        })
        .await;
    }

    pub async fn trash(&mut self, id: &str) {
        let request = DeleteVFolderRequest {
            vfolder_id: id.into(),
            allow_missing: true,
            ..DeleteVFolderRequest::default()
        };
        self.insist(
            "the vfolder is trashed",
            async |user: &User| {
                user.vfolders
                    .clone()
                    .delete_v_folder(request.clone())
                    .await
                    .map(drop)
            },
            async |user: &User| is(user, id, VFolderStatus::Trashed).await,
        )
        .await;
    }

    pub async fn ended(&mut self, operation: &str) {
        self.wait_for("the operation ends", async |user: &User| {
            user.operation(operation).await.ok()?.done.then_some(())
        })
        .await;
    }

    pub async fn pause(&mut self) {
        let admin = self.system.admin();
        let request = PauseVolumeRequest {
            volume: "local".into(),
            ..PauseVolumeRequest::default()
        };
        self.wait_for("the volume is paused", async |_: &User| {
            admin
                .volumes
                .clone()
                .pause_volume(request.clone())
                .await
                .ok()
        })
        .await;
    }

    pub async fn resume(&mut self) {
        let admin = self.system.admin();
        let request = ResumeVolumeRequest {
            volume: "local".into(),
        };
        self.wait_for("the volume's queue goes on", async |_: &User| {
            admin
                .volumes
                .clone()
                .resume_volume(request.clone())
                .await
                .ok()
        })
        .await;
    }

    /// Until the manager has died at the point as often as it has to: what was not done is tried again, and so met twice;
    /// what was done need not be.
    pub async fn die(&mut self, point: &str) {
        let least = if point.ends_with(".before") {
            DEATHS
        } else {
            1
        };
        let what = format!("the manager has died {least} times at {point}");
        eventually(what, async || {
            self.revive();
            (self.deaths >= least).then_some(())
        })
        .await;
    }

    /// The point was reached as often as it should have been, and everything is in order.
    pub async fn finish(mut self, point: &str) {
        // What runs by itself may not have had its turn.
        self.die(point).await;
        self.wait_for("everything has ended", async |user: &User| {
            let request = vfolder_proto::google::longrunning::ListOperationsRequest {
                filter: "done = false".into(),
                ..Default::default()
            };
            let live = user
                .operations
                .clone()
                .list_operations(request)
                .await
                .ok()?;
            live.into_inner().operations.is_empty().then_some(())
        })
        .await;
        let volume = self.system.volume().to_owned();
        eventually("nothing is left on the volume", async || {
            ["staging", "trash", "journal"]
                .iter()
                .all(|area| {
                    let entries = std::fs::read_dir(volume.join(area)).unwrap();
                    entries
                        .filter(|e| e.as_ref().is_ok_and(|e| e.file_name() != "epochs"))
                        .count()
                        == 0
                })
                .then_some(())
        })
        .await;
        self.system.assert_sound().await;
    }
}

pub async fn is(user: &User, id: &str, wanted: VFolderStatus) -> Option<()> {
    (user.get(id).await.ok()?.status() == wanted).then_some(())
}

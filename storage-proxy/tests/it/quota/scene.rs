//! A vfolder with limits.

use tempfile::TempDir;
use tonic::{Request, Status};
use uuid::Uuid;
use vfolder_common::token::GrantMode;
use vfolder_proto::storage::{
    GetOwnerUsageRequest, GetOwnerUsageResponse, TaskOutcome, TreeLimits, TreeQuota,
    run_task_request::Task,
};

use super::{OWNER, found};
use crate::{proxy::Proxy, transfers::kit::Client};

/// A vfolder with limits, and what is told of it.
pub struct Scene {
    pub proxy: Proxy,
    pub vfolder: Uuid,
    revision: i64,
}

impl Scene {
    pub async fn start(dir: TempDir) -> Self {
        Self::of(Proxy::start_in(dir).await).await
    }

    pub async fn of(proxy: Proxy) -> Self {
        let vfolder = proxy.create().await;
        let mut scene = Self {
            proxy,
            vfolder,
            revision: 0,
        };
        scene.limit(0, 0).await;
        scene
    }

    /// As after a crash.
    pub async fn killed(self) -> Self {
        let Self {
            proxy,
            vfolder,
            revision,
        } = self;
        let proxy = Proxy::start_in(proxy.kill()).await;
        Self {
            proxy,
            vfolder,
            revision,
        }
    }

    /// The vfolder's limits are those from now on. The owner's are there, and far away.
    pub async fn limit(&mut self, bytes: u64, files: u64) {
        self.revision += 1;
        let quota = TreeQuota {
            owner: OWNER.into(),
            revision: self.revision,
            vfolder: Some(TreeLimits { bytes, files }),
            owner_revision: 1,
            all: Some(TreeLimits {
                bytes: 1 << 50,
                files: 0,
            }),
            ..TreeQuota::default()
        };
        self.proxy.set_quota(self.vfolder, quota).await;
    }

    pub fn client(&self) -> Client<'_> {
        Client::new(&self.proxy, self.vfolder)
    }

    pub fn granted<T>(&self, message: T) -> Request<T> {
        self.proxy
            .granted(self.vfolder, GrantMode::ReadWrite, message)
    }

    pub async fn told(&self) -> GetOwnerUsageResponse {
        let asked = GetOwnerUsageRequest {
            volume: "v".into(),
            owner: OWNER.into(),
        };
        let mut storage = self.proxy.storage();
        let told = storage.get_owner_usage(self.proxy.signed(asked));
        told.await.unwrap().into_inner()
    }

    /// What is told is what is there, found without any of the code that is tested.
    pub async fn is_right(&self, what: &str) -> (u64, u64) {
        let (told, there) = (self.told().await, found(&self.proxy.tree(self.vfolder)));
        assert_eq!(
            (told.bytes, told.files),
            (there.bytes, there.files),
            "{what}"
        );
        assert_eq!((told.reserved_bytes, told.reserved_files), (0, 0), "{what}");
        (there.bytes, there.files)
    }

    pub async fn run(&self, task: Task) -> Result<(), Status> {
        let ended = self.proxy.run(Uuid::now_v7(), task).await?;
        of_task(ended)
    }
}

/// A failed task as a refused request.
fn of_task(ended: TaskOutcome) -> Result<(), Status> {
    match ended.failure {
        None => Ok(()),
        Some(failure) if failure.reason == "QUOTA_EXCEEDED" => {
            Err(Status::resource_exhausted(failure.message))
        }
        Some(failure) => panic!("{failure:?}"),
    }
}

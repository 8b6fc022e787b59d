//! What a manager asks of a storage-proxy process that may fail at any moment, and what must be true in the end.

use std::{
    fs,
    os::unix::fs::symlink,
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use tokio::time::{sleep, timeout};
use tonic::Status;
use uuid::Uuid;
use vfolder_ioctl::btrfs::create_subvolume;
use vfolder_proto::storage::{
    CancelTaskRequest, CloneTree, CreateTree, ExtractArchive, FenceTreeRequest, ForgetTaskRequest,
    PurgeTree, RemoveTree, TaskOutcome, run_task_request::Task,
};
use vfolder_storage_proxy::{
    task::{Removal, TaskSpec, Work},
    tree::RelativePath,
    volume::tree_path,
};

use crate::{
    digest_reference, oracle,
    proxy::Proxy,
    support::{c, directory},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Create,
    Clone,
    Purge,
    /// A clone without a source.
    Failing,
    /// Of a clone that an earlier life has begun.
    Cancel,
    /// A clone without a source, and then the order to forget it.
    Forget,
    Fence,
    /// An archive in the tree is unpacked.
    Extract,
    /// Part of the tree is removed.
    Remove,
    /// Cancels a removal that an earlier life has begun.
    Stop,
    Open,
    /// Something lies in the trash.
    Reclaim,
}

/// One operation on a volume in `root`.
#[derive(Debug)]
pub struct Scenario {
    pub kind: Kind,
    pub operation: Uuid,
    pub source: Uuid,
    pub vfolder: Uuid,
    root: PathBuf,
    /// What is to be forgotten was answered.
    answered: AtomicBool,
}

impl Scenario {
    pub fn new(kind: Kind, root: PathBuf) -> Self {
        let [operation, source, vfolder] = [(); 3].map(|()| Uuid::now_v7());
        let this = Self {
            kind,
            operation,
            source,
            vfolder,
            root,
            answered: AtomicBool::new(false),
        };
        match kind {
            Kind::Clone | Kind::Cancel => this.fill(source),
            Kind::Purge | Kind::Remove | Kind::Stop => this.fill(vfolder),
            Kind::Extract => {
                this.fill(vfolder);
                this.pack();
            }
            _ => {}
        }
        if kind == Kind::Cancel {
            let spec = TaskSpec {
                volume: "v".into(),
                epoch: 1,
                work: Work::Clone {
                    source,
                    vfolder,
                    source_epoch: 1,
                    receipt: true,
                },
            };
            let record = serde_json::json!({ "spec": spec, "totals": null });
            let journal = this.root.join(format!("journal/{operation}"));
            fs::write(journal, record.to_string()).unwrap();
            this.litter("staging");
        }
        if kind == Kind::Stop {
            let work = Work::Remove(Removal {
                vfolder,
                paths: vec![RelativePath::parse(b"a").unwrap()],
                missing_ok: false,
            });
            let spec = TaskSpec {
                volume: "v".into(),
                epoch: 1,
                work,
            };
            let record =
                serde_json::json!({ "spec": spec, "totals": null, "progress": { "durable": 0 } });
            let journal = this.root.join(format!("journal/{operation}"));
            fs::write(journal, record.to_string()).unwrap();
        }
        this
    }

    /// All that is in the tree, and a symlink to nowhere, as an archive in the tree.
    fn pack(&self) {
        let tree = self.tree(self.vfolder);
        symlink("/nowhere", tree.join("symlink")).unwrap();
        let packed = Command::new("tar")
            .args(["czf", "packed.tar.gz", "a", "c", "link", "symlink"])
            .current_dir(&tree)
            .status();
        assert!(packed.unwrap().success());
    }

    fn fill(&self, vfolder: Uuid) {
        let tree = self.tree(vfolder);
        fs::create_dir_all(tree.parent().unwrap()).unwrap();
        // Where trees are subvolumes, this one is.
        let _ = create_subvolume(directory(tree.parent().unwrap()), &c(vfolder.to_string()));
        for directory in ["a/b", "c"] {
            fs::create_dir_all(tree.join(directory)).unwrap();
            fs::write(tree.join(directory).join("file"), directory).unwrap();
        }
        fs::hard_link(tree.join("c/file"), tree.join("link")).unwrap();
    }

    /// Where trees are subvolumes: puts another one into each.
    pub fn nest(&self) {
        for tree in [self.source, self.vfolder].map(|vfolder| self.tree(vfolder)) {
            if tree.exists() && create_subvolume(directory(&tree), c"nested").is_ok() {
                fs::write(tree.join("nested/file"), "nested").unwrap();
            }
        }
    }

    fn litter(&self, area: &str) {
        let left = self
            .root
            .join(format!("{area}/{}/tree/sub", self.operation));
        fs::create_dir_all(&left).unwrap();
        fs::write(left.join("file"), "half").unwrap();
    }

    pub fn tree(&self, vfolder: Uuid) -> PathBuf {
        self.root.join(tree_path(vfolder))
    }

    /// Before each life of the process.
    pub fn prepare(&self) {
        if self.kind == Kind::Reclaim {
            self.litter("trash");
        }
    }

    fn task(&self) -> Task {
        let vfolder_id = self.vfolder.to_string();
        match self.kind {
            Kind::Create | Kind::Open | Kind::Reclaim | Kind::Fence => {
                Task::CreateTree(CreateTree { vfolder_id })
            }
            Kind::Purge => Task::PurgeTree(PurgeTree { vfolder_id }),
            Kind::Extract => Task::ExtractArchive(ExtractArchive {
                vfolder_id,
                path: "packed.tar.gz".into(),
                destination: "out/deep".into(),
                max_bytes: 1 << 30,
                max_files: 100,
                ..ExtractArchive::default()
            }),
            Kind::Remove | Kind::Stop => Task::RemoveTree(RemoveTree {
                vfolder_id,
                paths: vec!["a".into(), "link".into()],
                missing_ok: false,
            }),
            Kind::Clone | Kind::Failing | Kind::Cancel | Kind::Forget => {
                Task::CloneTree(CloneTree {
                    source_id: self.source.to_string(),
                    vfolder_id,
                    source_epoch: 1,
                    receipt: true,
                })
            }
        }
    }

    pub async fn run(&self, proxy: &Proxy) -> Result<TaskOutcome, Status> {
        proxy.run(self.operation, self.task()).await
    }

    pub async fn forget(&self, proxy: &Proxy) -> Result<(), Status> {
        let request = proxy.signed(ForgetTaskRequest {
            operation_id: self.operation.to_string(),
            volume: "v".into(),
        });
        proxy.storage().forget_task(request).await.map(drop)
    }

    /// All that is asked for; an error is that of a process that died of it.
    pub async fn drive(&self, proxy: &Proxy) -> Result<(), Status> {
        match self.kind {
            Kind::Create
            | Kind::Clone
            | Kind::Purge
            | Kind::Failing
            | Kind::Extract
            | Kind::Remove => self.run(proxy).await.map(drop),
            Kind::Cancel | Kind::Stop => {
                let request = proxy.signed(CancelTaskRequest {
                    operation_id: self.operation.to_string(),
                    volume: "v".into(),
                    vfolder_id: self.vfolder.to_string(),
                    epoch: 1,
                    only_reads: false,
                    in_place: self.kind == Kind::Stop,
                });
                let answer = proxy.storage().cancel_task(request).await?;
                assert!(!answer.into_inner().published);
                Ok(())
            }
            Kind::Forget => {
                // Once, as a manager does: afterwards only the disk knows what it was.
                if !self.answered.load(Relaxed) {
                    self.run(proxy).await?;
                    self.answered.store(true, Relaxed);
                }
                self.forget(proxy).await
            }
            Kind::Fence => {
                let request = proxy.signed(FenceTreeRequest {
                    volume: "v".into(),
                    vfolder_id: self.vfolder.to_string(),
                    epoch: 2,
                    readers: true,
                });
                proxy.storage().fence_tree(request).await.map(drop)
            }
            Kind::Open | Kind::Reclaim => Ok(()),
        }
    }

    /// After the last `drive`, which was answered, and perhaps yet another restart.
    pub async fn check(&self, proxy: &Proxy, what: &str) {
        let TaskOutcome {
            failure, receipt, ..
        } = self.run(proxy).await.unwrap();
        let reason = failure.map(|failure| failure.reason);
        let reason = reason.as_deref();
        let there = self.tree(self.vfolder).exists();
        match self.kind {
            Kind::Create | Kind::Open | Kind::Reclaim => {
                assert_eq!((reason, there), (None, true), "{what}");
            }
            Kind::Clone => {
                assert_eq!((reason, there), (None, true), "{what}");
                oracle::assert_same(
                    &oracle::describe(&self.tree(self.source)),
                    &oracle::describe(&self.tree(self.vfolder)),
                );
                let copy = digest_reference::read(&self.tree(self.vfolder));
                let digest = digest_reference::digest(&copy);
                assert_eq!(receipt.map(|r| r.digest), Some(digest), "{what}");
            }
            Kind::Purge => assert_eq!((reason, there), (None, false), "{what}"),
            Kind::Failing => {
                assert!(
                    matches!(reason, Some("SOURCE_MISSING" | "GRANT_STALE")),
                    "{what}: {reason:?}"
                );
                assert!(!there, "{what}");
            }
            Kind::Cancel | Kind::Forget => {
                assert!(
                    matches!(reason, Some("CANCELLED" | "GRANT_STALE")),
                    "{what}: {reason:?}"
                );
                assert!(!there, "{what}");
            }
            Kind::Fence => {
                assert_eq!((reason, there), (Some("GRANT_STALE"), false), "{what}");
            }
            Kind::Extract => {
                assert_eq!((reason, there), (None, true), "{what}");
                let tree = self.tree(self.vfolder);
                let unpacked = self.root.join("unpacked");
                fs::rename(tree.join("out/deep"), &unpacked).unwrap();
                fs::remove_dir(tree.join("out")).unwrap();
                fs::remove_file(tree.join("packed.tar.gz")).unwrap();
                oracle::assert_same(&oracle::describe(&tree), &oracle::describe(&unpacked));
            }
            Kind::Remove => {
                assert_eq!((reason, there), (None, true), "{what}");
                let left = fs::read_dir(self.tree(self.vfolder)).unwrap();
                let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
                assert_eq!(left, ["c"], "{what}");
            }
            Kind::Stop => {
                assert!(
                    matches!(reason, Some("CANCELLED" | "GRANT_STALE")),
                    "{what}: {reason:?}"
                );
                assert!(self.tree(self.vfolder).join("a/b/file").exists(), "{what}");
            }
        }
        self.forget_and_find_nothing(proxy, what).await;
    }

    /// Forgets it; then nothing of it is left in the volume but its tree.
    pub async fn forget_and_find_nothing(&self, proxy: &Proxy, what: &str) {
        self.forget(proxy).await.unwrap();
        let emptied = async {
            while !self.is_clean() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let emptied = timeout(Duration::from_secs(20), emptied).await;
        assert!(emptied.is_ok(), "something is left: {what}");
    }

    fn is_clean(&self) -> bool {
        ["staging", "trash", "journal"].iter().all(|area| {
            let entries = fs::read_dir(self.root.join(area)).unwrap();
            entries
                .filter_map(Result::ok)
                .all(|entry| entry.file_name() == "epochs")
        })
    }
}

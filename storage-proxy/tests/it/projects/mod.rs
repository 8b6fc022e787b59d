//! On ext4 and XFS with project quotas: each tree is a project of its own, and who writes past us is stopped at its limits.
//! `make test-projquota` runs this, and what else there is about files and tasks, on both.

mod limits;
mod numbers;

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write as _},
    path::{Path, PathBuf},
    thread,
};

use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use uuid::Uuid;
use vfolder_common::token::{Limits, Quota};
use vfolder_ioctl::{
    project::{self, Project},
    quota::{self, Account},
};
use vfolder_storage_proxy::task::{Outcome, Work};

use crate::{oracle, support::Rig, tasks::outcome};

const MIB: u64 = 1 << 20;

/// One whose volume has project quotas.
fn rig() -> Rig {
    has_projects(Rig::new())
}

fn has_projects(rig: Rig) -> Rig {
    let backend = rig.volume.get().unwrap();
    let found = backend.backend();
    assert!(
        found.name() == "projects" && found.capabilities().quota,
        "{} has no project quotas: these tests run by make test-projquota",
        rig.dir.path().display()
    );
    drop(backend);
    rig
}

fn project_of(path: impl AsRef<Path>) -> Project {
    project::of(File::open(path).unwrap()).unwrap()
}

/// What the filesystem has of the project of `tree`.
fn account(tree: &Path) -> Account {
    let root = File::open(tree).unwrap();
    quota::account(&root, project_of(tree).id).unwrap()
}

/// As somebody whom quotas are for: on ext4 they are not for who has CAP_SYS_RESOURCE.
fn as_a_session<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let session = scope.spawn(|| {
            let mut fewer = capabilities(None).unwrap();
            fewer.effective.remove(CapabilitySet::SYS_RESOURCE);
            set_capabilities(None, fewer).unwrap();
            work()
        });
        session.join().unwrap()
    })
}

fn write(path: PathBuf, bytes: u64) -> io::Result<()> {
    let mut file = File::create(path)?;
    let part = vec![7; 64 << 10];
    for _ in 0..bytes / part.len() as u64 {
        file.write_all(&part)?;
    }
    file.sync_all()
}

#[track_caller]
fn is_refused(written: io::Result<()>) {
    let refused = written.unwrap_err();
    // As XFS says it, of projects.
    let full = [ErrorKind::QuotaExceeded, ErrorKind::StorageFull];
    assert!(full.contains(&refused.kind()), "{refused}");
}

fn limits(revision: i64, bytes: u64, files: u64) -> Quota {
    Quota {
        owner: "user:alice".into(),
        revision,
        vfolder: Limits { bytes, files },
        ..Quota::default()
    }
}

/// As the manager tells it.
fn limit(rig: &Rig, vfolder: Uuid, quota: &Quota) {
    let accounts = rig.tasks.accounts("v").unwrap();
    accounts.learn(vfolder, quota);
    accounts.keep(&rig.volume.get().unwrap(), vfolder).unwrap();
}

async fn run(rig: &Rig, work: Work) -> Outcome {
    outcome(rig.tasks.run(Uuid::now_v7(), rig.spec(work)).unwrap()).await
}

async fn done(rig: &Rig, work: Work) {
    assert_eq!(run(rig, work.clone()).await.failure, None, "{work:?}");
}

async fn create(rig: &Rig) -> (Uuid, PathBuf) {
    let vfolder = Uuid::now_v7();
    done(rig, Work::Create { vfolder }).await;
    (vfolder, rig.tree(vfolder))
}

fn clone_of(source: Uuid, vfolder: Uuid) -> Work {
    Work::Clone {
        source,
        vfolder,
        source_epoch: 1,
        receipt: false,
    }
}

/// All that can be opened below `tree` is in its project.
fn assert_all_in(tree: &Path) {
    let root = project_of(tree);
    assert!(root.inherit && root.id >= 0x4000_0000, "{root:?}");
    for entry in oracle::walk(tree) {
        let path = tree.join(entry);
        let meta = fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() || meta.is_file() {
            let found = project_of(&path);
            assert_eq!(
                (found.id, found.inherit),
                (root.id, meta.is_dir()),
                "{}",
                path.display()
            );
        }
    }
}

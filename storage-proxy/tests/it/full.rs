//! Volumes without space, and volumes that are read-only. Needs to mount; where it can't, it says so.

use std::{fs, path::Path, process::Command, sync::Arc};

use uuid::Uuid;
use vfolder_storage_proxy::{
    task::{FailureKind, Tasks, VolumeConfig, Work},
    tree::{Control, RelativePath},
    volume::{Health, Holder, Volume, init},
};

use crate::{support::Rig, tasks::outcome};

struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    fn tmpfs(at: &'a Path, size: &str) -> Option<Self> {
        fs::create_dir(at).unwrap();
        if mount(&["-t", "tmpfs", "-o", size, "none"], at) {
            return Some(Self(at));
        }
        eprintln!("can't mount here: not tested");
        None
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

fn mount(arguments: &[&str], at: &Path) -> bool {
    Command::new("mount")
        .args(arguments)
        .arg(at)
        .output()
        .is_ok_and(|done| done.status.success())
}

fn rig(dir: tempfile::TempDir) -> Rig {
    let volume = Arc::new(Volume::new(
        "v",
        dir.path().join("v"),
        Holder::this(Uuid::new_v4()),
    ));
    volume.open_at_start().unwrap();
    let tasks = Tasks::new(vec![VolumeConfig {
        volume: Arc::clone(&volume),
        max_tasks: 1,
    }]);
    Rig { dir, volume, tasks }
}

#[tokio::test]
async fn a_clone_that_does_not_fit_fails_clearly_and_gives_its_space_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("v");
    let Some(_mounted) = Mounted::tmpfs(&path, "size=4m") else {
        return;
    };
    init(&path, "v").unwrap();
    let rig = rig(dir);
    let (source, vfolder) = (Uuid::now_v7(), Uuid::now_v7());
    fs::create_dir_all(rig.tree(source)).unwrap();
    for number in 0..24 {
        fs::write(
            rig.tree(source).join(format!("{number}")),
            vec![b'x'; 100_000],
        )
        .unwrap();
    }
    let before = rig
        .volume
        .get()
        .unwrap()
        .capacity()
        .unwrap()
        .available_bytes;
    let task = rig
        .tasks
        .run(Uuid::now_v7(), rig.spec(Work::Clone { source, vfolder }))
        .unwrap();
    let failure = outcome(task).await.failure.unwrap();
    assert_eq!(
        (failure.kind, failure.retryable),
        (FailureKind::VolumeFull, false),
        "{failure:?}"
    );
    assert_eq!((rig.count("staging"), rig.count("trash")), (0, 0));
    assert!(!rig.tree(vfolder).exists());
    let after = rig
        .volume
        .get()
        .unwrap()
        .capacity()
        .unwrap()
        .available_bytes;
    // The journal's entry and the place for the tree remain.
    assert!(
        before - after < 65_536,
        "{before} bytes before, {after} after"
    );
}

#[tokio::test]
async fn a_read_only_volume_is_read_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("v");
    let Some(_mounted) = Mounted::tmpfs(&path, "size=4m") else {
        return;
    };
    init(&path, "v").unwrap();
    let vfolder = Uuid::now_v7();
    fs::create_dir_all(
        path.join(vfolder_storage_proxy::volume::tree_path(vfolder))
            .join("sub"),
    )
    .unwrap();
    assert!(mount(&["-o", "remount,ro"], &path));
    let rig = rig(dir);
    let volume = rig.volume.get().unwrap();
    assert_eq!(volume.capacity().unwrap().health, Health::ReadOnly);
    let tree = volume.tree(vfolder).unwrap().unwrap();
    let page = tree
        .list(&RelativePath::root(), None, 10, &Control::default())
        .unwrap();
    assert_eq!(page.entries.len(), 1);
    let create = || {
        rig.tasks
            .run(
                Uuid::now_v7(),
                rig.spec(Work::Create {
                    vfolder: Uuid::now_v7(),
                }),
            )
            .unwrap()
    };
    assert_eq!(
        outcome(create()).await.failure.unwrap().kind,
        FailureKind::VolumeReadOnly
    );
    drop((tree, volume));
    assert!(mount(&["-o", "remount,rw"], &path));
    // Reopened for writing as soon as nothing holds the old handles.
    loop {
        match outcome(create()).await.failure {
            None => break,
            Some(failure) => assert!(failure.retryable, "{failure:?}"),
        }
    }
}

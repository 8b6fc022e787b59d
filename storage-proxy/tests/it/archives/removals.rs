//! Removals: a file that still has its name has all its bytes, and what forbids a removal stands.

use std::{
    fs::{self, File},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
};

use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
use uuid::Uuid;
use vfolder_images::{is_root, not_checked};
use vfolder_proto::storage::{RemoveTree, run_task_request::Task};
use vfolder_storage_proxy::task::FailureKind;

use super::Scene;
use crate::{
    proxy::{Proxy, set_up},
    support::{HUGE, huge},
};

fn removal(vfolder: Uuid, path: &str) -> Task {
    Task::RemoveTree(RemoveTree {
        vfolder_id: vfolder.to_string(),
        paths: vec![path.into()],
        missing_ok: false,
    })
}

/// As after rm(1).
#[tokio::test]
async fn who_has_a_huge_file_open_reads_on_after_it_is_removed() {
    let scene = Scene::new();
    for path in ["huge", "d/huge"] {
        let file = scene.tree().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        if !huge(&file) {
            not_checked("no room for real blocks");
            return;
        }
        let open = File::open(&file).unwrap();
        let named = path.split('/').next().unwrap();
        assert_eq!(scene.remove(&[named], false).await.failure, None);
        assert!(!file.exists());
        assert!(open.metadata().unwrap().blocks() * 512 >= HUGE);
    }
}

#[tokio::test]
async fn what_is_immutable_or_append_only_stays_and_so_do_its_flags() {
    if !is_root() {
        return not_checked("flags of files need root");
    }
    let scene = Scene::new();
    let directory = scene.tree().join("d");
    fs::create_dir(&directory).unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o500)).unwrap();
    for (name, flag) in [("immutable", IFlags::IMMUTABLE), ("append", IFlags::APPEND)] {
        let path = directory.join(name);
        fs::write(&path, "kept").unwrap();
        let file = File::open(&path).unwrap();
        let Ok(own) = ioctl_getflags(&file) else {
            return not_checked("this filesystem has no such flags");
        };
        // With its own: without that of extents, ext4 would write the file in its older way.
        ioctl_setflags(&file, own | flag).unwrap();
        for paths in [format!("d/{name}"), "d".into()] {
            let failure = scene.remove(&[&paths], false).await.failure.unwrap();
            assert_eq!(
                failure.kind,
                FailureKind::FilePermission,
                "{}",
                failure.message
            );
            assert!(!failure.retryable);
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "kept");
        assert_eq!(fs::metadata(&directory).unwrap().mode() & 0o777, 0o500);
        ioctl_setflags(&file, own).unwrap();
        fs::remove_file(path).unwrap();
    }
}

/// It is what makes space: no note of it may be in its way. (The first note is the one of `create`.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_needs_no_space_for_its_notes() {
    for error in ["ENOSPC", "EDQUOT"] {
        for faults in [
            format!("journal.write={error}@1,fence.note={error}@1"),
            format!("journal.write={error}@2"),
        ] {
            let dir = Proxy::start_in(set_up()).await;
            let vfolder = dir.create().await;
            let dir = dir.kill();
            let proxy = Proxy::start_armed(dir, &faults).await.unwrap();
            for name in ["a", "b"] {
                fs::create_dir(proxy.tree(vfolder).join(name)).unwrap();
                fs::write(proxy.tree(vfolder).join(name).join("file"), "x").unwrap();
            }
            let operation = Uuid::now_v7();
            let ended = proxy.run(operation, removal(vfolder, "a")).await.unwrap();
            assert_eq!(ended.failure, None, "{faults}");
            assert!(!proxy.tree(vfolder).join("a").exists());
            assert!(proxy.tree(vfolder).join("b/file").exists());
        }
    }
}

/// The journal says that it has begun, and there was no space to note that it removes: what is missing may be its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_without_a_note_a_removal_does_not_miss_what_it_has_removed() {
    let proxy = Proxy::start_in(set_up()).await;
    let vfolder = proxy.create().await;
    let faults = "journal.write=ENOSPC@2,inside.worked=kill";
    let proxy = Proxy::start_armed(proxy.kill(), faults).await.unwrap();
    fs::write(proxy.tree(vfolder).join("a"), "x").unwrap();
    let operation = Uuid::now_v7();
    proxy
        .run(operation, removal(vfolder, "a"))
        .await
        .unwrap_err();
    let proxy = Proxy::start_armed(proxy.died("inside.worked").await, "")
        .await
        .unwrap();
    assert!(!proxy.tree(vfolder).join("a").exists());
    let ended = proxy.run(operation, removal(vfolder, "a")).await.unwrap();
    assert_eq!(ended.failure, None);
    // Of one that was never begun, it is missed.
    let ended = proxy
        .run(Uuid::now_v7(), removal(vfolder, "a"))
        .await
        .unwrap();
    assert_eq!(ended.failure.unwrap().reason, "FILE_NOT_FOUND");
}

//! Extractions that a passing fault or a kill has stopped go on, and end as if nothing had been.

use std::{fs, os::unix::fs::chown, path::Path, process::Command};

use uuid::Uuid;
use vfolder_common::token::GrantMode;
use vfolder_images::{is_root, not_checked};
use vfolder_proto::{
    storage::{
        CancelTaskRequest, ExtractArchive, GetOwnerUsageRequest, StorageExistingFiles, TaskOutcome,
        TreeLimits, TreeQuota, run_task_request::Task,
    },
    v1::CreateDirectoryRequest,
};

use super::{run, tars::tar};
use crate::{
    proxy::{Proxy, set_up},
    quota::found,
};

/// Of the archive "archive" in the tree, into "out".
fn extraction(vfolder: Uuid, existing: StorageExistingFiles) -> Task {
    Task::ExtractArchive(ExtractArchive {
        vfolder_id: vfolder.to_string(),
        path: "archive".into(),
        destination: "out".into(),
        existing: existing.into(),
        max_bytes: 1 << 30,
        max_files: 100,
        ..ExtractArchive::default()
    })
}

fn reason(outcome: &TaskOutcome) -> Option<(&str, bool)> {
    let failure = outcome.failure.as_ref();
    failure.map(|failure| (failure.reason.as_str(), failure.retryable))
}

/// Too many files are open for a moment: tried again, it still knows what was there before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_fault_that_passes_it_goes_on_by_what_it_has_noted() {
    let proxy = Proxy::start_armed(set_up(), "inside.entry=EMFILE@5")
        .await
        .unwrap();
    let vfolder = proxy.create().await;
    let tree = proxy.tree(vfolder);
    fs::create_dir(tree.join("out")).unwrap();
    fs::write(tree.join("out/a"), "mine").unwrap();
    let all = [&b"a"[..], b"b", b"c", b"d"].map(|name| (b'0', name, &b""[..], &b"theirs"[..]));
    fs::write(tree.join("archive"), tar(&all)).unwrap();
    let (operation, task) = (
        Uuid::now_v7(),
        extraction(vfolder, StorageExistingFiles::Skip),
    );
    let ended = proxy.run(operation, task.clone()).await.unwrap();
    assert_eq!(reason(&ended), Some(("IO_ERROR", true)));
    assert!(tree.join("out/b").exists() && !tree.join("out/d").exists());
    let ended = proxy.run(operation, task).await.unwrap();
    assert_eq!(reason(&ended), None, "{ended:?}");
    for (name, content) in [
        ("a", "mine"),
        ("b", "theirs"),
        ("c", "theirs"),
        ("d", "theirs"),
    ] {
        let found = fs::read_to_string(tree.join("out").join(name)).unwrap();
        assert_eq!(found, content, "{name}");
    }
}

/// The archive and what is in it just fit: what a killed life has unpacked is counted as there, and not asked for again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_under_a_limit_that_just_suffices_it_is_not_refused() {
    let proxy = Proxy::start_armed(set_up(), "inside.entry=kill@8")
        .await
        .unwrap();
    let vfolder = proxy.create().await;
    let tree = proxy.tree(vfolder);
    let content = vec![b'x'; 100 << 10];
    let all = [&b"a"[..], b"b", b"c", b"d"].map(|name| (b'0', name, &b""[..], &content[..]));
    fs::write(tree.join("archive"), tar(&all)).unwrap();
    let quota = TreeQuota {
        owner: "user:alice".into(),
        revision: 1,
        vfolder: Some(TreeLimits {
            bytes: 850 << 10,
            files: 6,
        }),
        ..TreeQuota::default()
    };
    proxy.set_quota(vfolder, quota).await;
    let (operation, task) = (
        Uuid::now_v7(),
        extraction(vfolder, StorageExistingFiles::Fail),
    );
    proxy.run(operation, task.clone()).await.unwrap_err();
    assert!(tree.join("out/c").exists() && !tree.join("out/d").exists());
    let proxy = Proxy::start_armed(proxy.died("inside.entry").await, "")
        .await
        .unwrap();
    let ended = proxy.run(operation, task.clone()).await.unwrap();
    assert_eq!(reason(&ended), None, "{ended:?}");
    // It is a limit: there is no room for it twice.
    fs::rename(tree.join("out"), tree.join("before")).unwrap();
    let ended = proxy.run(Uuid::now_v7(), task).await.unwrap();
    assert_eq!(reason(&ended), Some(("QUOTA_EXCEEDED", false)));
}

/// What is not whole yet has a name of its own where it replaces something: it goes, whether the operation goes on or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_it_replaces_something_it_leaves_nothing_hidden() {
    for (cancelled, content) in [(true, "mine"), (false, "theirs")] {
        let proxy = Proxy::start_armed(set_up(), "put.hidden=kill")
            .await
            .unwrap();
        let vfolder = proxy.create().await;
        let limits = TreeLimits {
            bytes: 1 << 40,
            files: 0,
        };
        let quota = TreeQuota {
            owner: "user:alice".into(),
            revision: 1,
            vfolder: Some(limits),
            owner_revision: 1,
            ..TreeQuota::default()
        };
        proxy.set_quota(vfolder, quota).await;
        let tree = proxy.tree(vfolder);
        let directory = tree.join("out/some/where");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("a"), "mine").unwrap();
        let all = tar(&[(b'0', b"some/where/a", b"", b"theirs")]);
        fs::write(tree.join("archive"), all).unwrap();
        let (operation, task) = (
            Uuid::now_v7(),
            extraction(vfolder, StorageExistingFiles::Replace),
        );
        proxy.run(operation, task.clone()).await.unwrap_err();
        let names = || {
            let names = fs::read_dir(&directory).unwrap();
            names
                .map(|entry| entry.unwrap().file_name())
                .collect::<Vec<_>>()
        };
        let proxy = Proxy::start_armed(proxy.died("put.hidden").await, "")
            .await
            .unwrap();
        assert_eq!(names().len(), 2);
        if cancelled {
            let request = proxy.signed(CancelTaskRequest {
                operation_id: operation.to_string(),
                volume: "v".into(),
                vfolder_id: vfolder.to_string(),
                epoch: 1,
                only_reads: false,
                in_place: true,
            });
            proxy.storage().cancel_task(request).await.unwrap();
        } else {
            assert_eq!(reason(&proxy.run(operation, task).await.unwrap()), None);
        }
        assert_eq!(names(), ["a"]);
        assert_eq!(fs::read_to_string(directory.join("a")).unwrap(), content);
        // Who comes in next has it counted: without what was hidden, which was there when the second life came in.
        let next = CreateDirectoryRequest {
            vfolder_id: vfolder.to_string(),
            path: "new".into(),
            ..CreateDirectoryRequest::default()
        };
        let epoch = if cancelled { 2 } else { 1 };
        let next = proxy.granted_at(epoch, vfolder, GrantMode::ReadWrite, next);
        proxy.files().create_directory(next).await.unwrap();
        let asked = proxy.signed(GetOwnerUsageRequest {
            volume: "v".into(),
            owner: "user:alice".into(),
        });
        let told = proxy.storage().get_owner_usage(asked).await.unwrap();
        let told = told.into_inner();
        let there = found(&tree);
        assert_eq!((told.bytes, told.files), (there.bytes, there.files));
    }
}

const NOBODY: u32 = 65_534;

fn give_away(dir: &Path) {
    run(Command::new("chown")
        .arg("-R")
        .arg(format!("{NOBODY}:{NOBODY}"))
        .arg(dir));
}

/// Like a Go module cache: directories that nobody but root may write to. It is killed at each of its steps, of which the
/// last ones give the directories their modes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_only_directories_are_unpacked_by_one_who_is_not_root_also_after_kills() {
    if !is_root() {
        return not_checked("it takes root to be somebody else");
    }
    let directory = |name: &'static [u8]| (b'5', name, &b""[..], &b""[..]);
    let file = |name: &'static [u8]| (b'0', name, &b""[..], &b"x"[..]);
    let all = [
        directory(b"m"),
        file(b"m/f"),
        directory(b"m/n"),
        file(b"m/n/f"),
        (b'2', b"m/n/l", b"f", b""),
    ];
    let mut survived = false;
    for passage in 1..40 {
        let dir = set_up();
        give_away(dir.path());
        let faults = format!("inside.entry=kill@{passage}");
        let proxy = Proxy::start_as(NOBODY, dir, &faults).await.unwrap();
        let vfolder = proxy.create().await;
        let archive = proxy.tree(vfolder).join("archive");
        fs::write(&archive, with_mode(&all, 0o555)).unwrap();
        chown(&archive, Some(NOBODY), Some(NOBODY)).unwrap();
        let (operation, task) = (
            Uuid::now_v7(),
            extraction(vfolder, StorageExistingFiles::Fail),
        );
        survived = proxy.run(operation, task.clone()).await.is_ok();
        let dir = match survived {
            true => proxy.kill(),
            false => proxy.died(&faults).await,
        };
        let proxy = Proxy::start_as(NOBODY, dir, "").await.unwrap();
        let ended = proxy.run(operation, task).await.unwrap();
        assert_eq!(reason(&ended), None, "{faults}: {ended:?}");
        let out = proxy.tree(vfolder).join("out");
        for name in ["m", "m/n"] {
            let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(out.join(name)).unwrap());
            assert_eq!(mode & 0o777, 0o555, "{faults}: {name}");
        }
        assert_eq!(fs::read_to_string(out.join("m/n/l")).unwrap(), "x");
        if survived {
            break;
        }
    }
    assert!(survived, "it has more steps than were tried");
}

/// All of this mode.
fn with_mode(entries: &[super::tars::Member<'_>], mode: u32) -> Vec<u8> {
    let mut all = tar(entries);
    for block in all.chunks_mut(512) {
        let mut header = tar::Header::new_gnu();
        header.as_mut_bytes().copy_from_slice(block);
        if header.as_gnu().is_some() {
            header.set_mode(mode);
            header.set_cksum();
            block.copy_from_slice(header.as_bytes());
        }
    }
    all
}

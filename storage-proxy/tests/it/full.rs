//! Volumes without space, and volumes that are read-only. Needs to mount; where it can't, it says so.

use std::{fs, io::Write as _, path::Path, sync::Arc};

use rustix::fs::{FallocateFlags, fallocate};
use uuid::Uuid;
use vfolder_images::{Disk, Filesystem, on_each_image};
use vfolder_storage_proxy::{
    backend::Method,
    task::{FailureKind, Refused, Tasks, VolumeConfig, Work},
    tree::{Control, Order, Reading, RelativePath, Shelf},
    volume::{Health, Holder, Volume, init},
};

use crate::{
    mounted::{Mounted, mount},
    support::{Rig, eventually, run},
    tasks::outcome,
};

on_each_image!(
    a_clone_that_does_not_fit_fails_clearly_and_gives_its_space_back,
    a_full_volume_can_be_opened,
);

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
        reclaim_duty: 20,
    }]);
    Rig {
        dir: dir.into(),
        volume,
        tasks,
    }
}

/// A volume in a new directory of the disk.
fn rig_on(disk: &Disk) -> Rig {
    let dir = tempfile::tempdir_in(disk.path()).unwrap();
    init(&dir.path().join("v"), "v").unwrap();
    rig(dir)
}

/// Clones `source`, for which there is no room, and answers once the space is free again.
async fn fails_for_want_of_space(rig: &Rig, source: Uuid) {
    // The journal's entry and the place for the tree remain; XFS frees inodes by chunks, btrfs what a transaction holds.
    const SLACK: u64 = 512 << 10;
    let capacity = || {
        rustix::fs::syncfs(fs::File::open(rig.root()).unwrap()).unwrap();
        rig.volume.get().unwrap().capacity().unwrap()
    };
    let (before, vfolder) = (capacity(), Uuid::now_v7());
    let clone = rig.spec(Work::Clone {
        source,
        vfolder,
        source_epoch: 1,
        receipt: false,
    });
    let task = rig.tasks.run(Uuid::now_v7(), clone).unwrap();
    let ended = outcome(task).await;
    assert!(ended.progress.entries_done > 50, "not in the middle");
    let failure = ended.failure.unwrap();
    assert_eq!(
        (failure.kind, failure.retryable),
        (FailureKind::VolumeFull, false),
        "{failure:?}"
    );
    assert!(!rig.tree(vfolder).exists());
    assert_eq!(rig.count("staging"), 0);
    rig.reclaimed().await;
    // Also by the filesystem, in the background.
    eventually("its space is free", || {
        let after = capacity();
        before.available_bytes <= after.available_bytes + SLACK
            && before.available_inodes <= after.available_inodes + 64
    })
    .await;
}

/// A tree of so many files of one block each.
fn small_files(rig: &Rig, count: usize) -> Uuid {
    let source = Uuid::now_v7();
    fs::create_dir_all(rig.tree(source)).unwrap();
    for number in 0..count {
        let file = rig.tree(source).join(number.to_string());
        fs::write(file, [b'x'; 3000]).unwrap();
    }
    source
}

#[test]
fn a_clone_on_xfs_takes_no_blocks_for_its_files_however_small() {
    const FILES: usize = 4000;
    let Some(disk) = Filesystem::Xfs.make(64 << 20) else {
        return;
    };
    let rig = rig_on(&disk);
    let source = small_files(&rig, FILES);
    let free = || {
        disk.sync();
        rig.volume
            .get()
            .unwrap()
            .capacity()
            .unwrap()
            .available_bytes
    };
    let before = free();
    let vfolder = Uuid::now_v7();
    let clone = rig.spec(Work::Clone {
        source,
        vfolder,
        source_epoch: 1,
        receipt: false,
    });
    let ended = run(async { outcome(rig.tasks.run(Uuid::now_v7(), clone).unwrap()).await });
    assert!(ended.failure.is_none(), "{ended:?}");
    assert_eq!(fs::read_dir(rig.tree(vfolder)).unwrap().count(), FILES);
    let taken = before.saturating_sub(free());
    // Their inodes, 2 MB, and not their blocks, 16 MB.
    assert!(taken < 8 << 20, "{taken}");
}

fn a_clone_that_does_not_fit_fails_clearly_and_gives_its_space_back(filesystem: Filesystem) {
    const MIB: u64 = 1 << 20;
    // There, a clone shares all its blocks and fits.
    if filesystem == Filesystem::Btrfs {
        return;
    }
    let Some(disk) = filesystem.make(64 * MIB) else {
        return;
    };
    let rig = rig_on(&disk);
    let source = small_files(&rig, 4000);
    // Half of what the copy needs is left.
    let left = match filesystem {
        // It shares its blocks, and needs inodes of 512 bytes.
        Filesystem::Xfs => MIB,
        _ => 8 * MIB,
    };
    let filler = fs::File::create(disk.path().join("filler")).unwrap();
    let mut filled = 0;
    loop {
        disk.sync();
        let free = rig.volume.get().unwrap().capacity().unwrap();
        let Some(too_much) = free.available_bytes.checked_sub(left) else {
            break;
        };
        let step = (too_much / 2).max(64 << 10);
        fallocate(&filler, FallocateFlags::empty(), filled, step).unwrap();
        filled += step;
    }
    run(fails_for_want_of_space(&rig, source));
}

#[test]
fn a_clone_without_inodes_fails_clearly_and_gives_them_back() {
    let Some(disk) = Filesystem::Ext4.make(16 << 20) else {
        return;
    };
    let rig = rig_on(&disk);
    let source = Uuid::now_v7();
    fs::create_dir_all(rig.tree(source)).unwrap();
    let inodes = rig
        .volume
        .get()
        .unwrap()
        .capacity()
        .unwrap()
        .available_inodes;
    for number in 0..inodes * 2 / 3 {
        fs::File::create(rig.tree(source).join(number.to_string())).unwrap();
    }
    run(fails_for_want_of_space(&rig, source));
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
    let reading = Reading {
        shelf: &Shelf::default(),
        since: 0,
        control: &Control::default(),
    };
    let page = tree.list(&RelativePath::root(), Order::default(), None, 10, reading);
    let page = page.unwrap();
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

/// Leaves neither a block nor an inode, by files in `directory`.
fn fill_up(directory: &Path) {
    let mut big = fs::File::create(directory.join("big")).unwrap();
    while big.write_all(&[b'x'; 4096]).is_ok() {}
    let _ = big.sync_all();
    let mut number = 0;
    let mut full = |make: &dyn Fn(std::path::PathBuf) -> bool| {
        while make(directory.join(number.to_string())) {
            number += 1;
        }
        number += 1;
    };
    full(&|path| fs::create_dir(path).is_ok());
    full(&|path| fs::write(path, "x").is_ok());
    rustix::fs::syncfs(fs::File::open(directory).unwrap()).unwrap();
    full(&|path| fs::create_dir(path).is_ok());
    full(&|path| fs::write(path, "x").is_ok());
}

async fn clears_and_purges_when_full(rig: Rig) {
    let (source, vfolder, filler) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    for tree in [source, filler] {
        fs::create_dir_all(rig.tree(tree)).unwrap();
    }
    for number in 0..40 {
        fs::write(
            rig.tree(source).join(number.to_string()),
            vec![b'x'; 50_000],
        )
        .unwrap();
    }
    // A clone whose process died in the middle.
    let (clone, operation) = (
        Work::Clone {
            source,
            vfolder,
            source_epoch: 1,
            receipt: false,
        },
        Uuid::now_v7(),
    );
    let record = serde_json::json!({ "spec": rig.spec(clone.clone()), "totals": null });
    let volume = rig.volume.get().unwrap();
    volume.write_journal(operation, &record).unwrap();
    let staged = rig.root().join(format!("staging/{operation}/tree"));
    fs::create_dir_all(&staged).unwrap();
    fs::write(staged.join("0"), "half").unwrap();
    fill_up(&rig.tree(filler));

    let kind = |ended: vfolder_storage_proxy::task::Outcome| ended.failure.unwrap().kind;
    let another = Uuid::now_v7();
    for operation in [another, operation] {
        let task = rig.tasks.run(operation, rig.spec(clone.clone())).unwrap();
        assert_eq!(kind(outcome(task).await), FailureKind::VolumeFull);
        assert!(!rig.root().join(format!("staging/{operation}")).exists());
    }
    assert_eq!(rig.count("staging"), 0);
    rig.reclaimed().await;
    // Where there is no space even to note that they must not be done any more, they are not forgotten yet.
    for operation in [another, operation] {
        match rig.tasks.forget(operation, "v").await {
            Err(Refused::Volume(error)) => assert!(error.is_for_want_of_space(), "{error}"),
            forgotten => forgotten.unwrap(),
        }
    }
    let _ = fs::File::create(rig.tree(filler).join("again"));
    fill_up(&rig.tree(filler));

    let free = || rig.volume.get().unwrap().capacity().unwrap();
    let before = free().available_inodes;
    let work = Work::Purge { vfolder: filler };
    let purge = Uuid::now_v7();
    let ended = outcome(rig.tasks.run(purge, rig.spec(work)).unwrap()).await;
    assert_eq!(ended.failure, None);
    assert!(!rig.tree(filler).exists());
    rig.reclaimed().await;
    assert!(free().available_inodes > before);
    // What there was no space for is noted once there is.
    let note = rig.root().join(format!("journal/epochs/{filler}"));
    eventually("the purge's fence is noted", || note.exists()).await;
    for operation in [another, operation, purge] {
        rig.tasks.forget(operation, "v").await.unwrap();
    }
    assert_eq!(rig.count("journal"), 0, "half-written entries, too");
    drop(volume);
}

// Not btrfs: so full, it refuses renames and whole transactions, and only unlinking is left.
#[test]
fn a_full_ext4_or_xfs_clears_itself_and_can_be_purged() {
    for filesystem in [Filesystem::Ext4, Filesystem::Xfs] {
        if let Some(disk) = filesystem.make(16 << 20) {
            run(clears_and_purges_when_full(rig_on(&disk)));
        }
    }
}

#[tokio::test]
async fn a_volume_without_inodes_clears_itself_and_can_be_purged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("v");
    if let Some(_mounted) = Mounted::tmpfs(&path, "size=16m,nr_inodes=200") {
        init(&path, "v").unwrap();
        clears_and_purges_when_full(rig(dir)).await;
    }
}

fn a_full_volume_can_be_opened(filesystem: Filesystem) {
    let Some(disk) = filesystem.make(8 << 20) else {
        return;
    };
    let path = disk.path().join("v");
    init(&path, "v").unwrap();
    let open = || {
        let volume = Volume::new("v", &path, Holder::this(Uuid::new_v4()));
        volume.get().map(drop).unwrap();
    };
    let holder = || fs::read_to_string(path.join("lock")).unwrap();
    fill_up(&path);
    open();
    // There, it takes space to write over what is there, and to empty a file.
    if filesystem == Filesystem::Btrfs {
        return;
    }
    assert!(holder().contains(&format!("\"pid\":{}", std::process::id())));
    // Made by an older version, or emptied by hand: no block to write into.
    fs::File::create(path.join("lock")).unwrap();
    fill_up(&path);
    open();
}

#[test]
fn whether_a_full_xfs_shares_blocks_is_known_without_trying() {
    for (option, method) in [("reflink=0", Method::Copy), ("reflink=1", Method::Reflink)] {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("disk");
        let Some(_disk) = Mounted::image_with("xfs", &["-m", option], &at, 300 << 20) else {
            return;
        };
        let path = at.join("v");
        init(&path, "v").unwrap();
        fill_up(&path);
        let volume = Volume::new("v", &path, Holder::this(Uuid::new_v4()));
        let open = volume.get().unwrap();
        assert_eq!(open.method_by_entries(), method, "{option}");
    }
}

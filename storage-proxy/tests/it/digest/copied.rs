//! The digest that is computed while a tree is copied: that of the copy, whatever happens to the source.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::Path,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
};

use uuid::Uuid;
use vfolder_images::{Filesystem, not_checked, on_each_filesystem};
use vfolder_proto::storage::{
    CloneEstimate, CloneTree, GetTreeUsageRequest, StorageCloneMethod, run_task_request::Task,
};
use vfolder_storage_proxy::tree::Control;

use super::{digest_of, everything};
use crate::{
    proxy::{Proxy, set_up},
    support::{Dice, clone_digested, remove, seed},
};

on_each_filesystem!(what_is_digested_while_it_is_copied_is_the_copy);

fn what_is_digested_while_it_is_copied_is_the_copy(filesystem: Filesystem) {
    let Some(disk) = filesystem.make(4 << 30) else {
        return;
    };
    let (source, copy) = (disk.path().join("source"), disk.path().join("copy"));
    everything(&source);
    // So that holes are where they stay.
    disk.sync();
    let control = Control::default();
    let found = clone_digested(&source, disk.path(), "copy", &control).unwrap();
    assert_eq!(found, digest_of(&copy));
    assert_eq!(found, digest_of(&source));
    let done = control.progress();
    assert_eq!(
        (done.entries_done, done.bytes_done),
        (found.entries, found.bytes)
    );
    for tree in [&source, &copy] {
        remove(tree, &Control::default()).unwrap();
    }
}

on_each_filesystem!(it_is_that_of_the_copy_also_while_somebody_writes_into_the_source);

const FILES: u64 = 60;

fn it_is_that_of_the_copy_also_while_somebody_writes_into_the_source(filesystem: Filesystem) {
    let Some(disk) = filesystem.make(1 << 30) else {
        return;
    };
    let (seed, source) = (seed(), disk.path().join("source"));
    let (mut dice, stop) = (Dice(seed), AtomicBool::new(false));
    for directory in ["a", "b/c"] {
        fs::create_dir_all(source.join(directory)).unwrap();
    }
    let path = |number: u64| match number % 2 {
        0 => source.join(format!("a/{number}")),
        _ => source.join(format!("b/c/{number}")),
    };
    for number in 0..FILES {
        let size = [0, 100, 5_000, 70_000, 900_000][dice.roll(5)];
        fs::write(path(number), vec![number as u8; size]).unwrap();
    }
    for round in 0..20 {
        let name = format!("copy{round}");
        stop.store(false, Relaxed);
        let copied = thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Relaxed) {
                    meddle(&path(dice.roll(FILES as usize) as u64), &mut dice);
                }
            });
            let copied = clone_digested(&source, disk.path(), &name, &Control::default());
            stop.store(true, Relaxed);
            copied
        });
        let copy = disk.path().join(name);
        // What is changed all the time may be given up.
        if let Ok(found) = copied {
            assert_eq!(found, digest_of(&copy), "round {round}, seed {seed}");
        }
        remove(&copy, &Control::default()).unwrap();
    }
}

/// Changes a file in one of the ways that a session has.
fn meddle(path: &Path, dice: &mut Dice) {
    let Ok(file) = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
    else {
        return;
    };
    let at = dice.roll(1_000_000) as u64;
    let _ = match dice.roll(5) {
        0 => file.write_all_at(&[dice.roll(256) as u8; 3_000], at),
        1 => file.set_len(at),
        2 => fs::hard_link(path, path.with_extension("link")),
        3 => fs::remove_file(path.with_extension("link")),
        _ => fs::rename(path, path.with_extension("moved"))
            .and_then(|()| fs::rename(path.with_extension("moved"), path)),
    };
}

/// Bytes that a process has read, by whatever call: proc(5), `rchar`.
fn has_read(process: u32) -> u64 {
    let io = fs::read_to_string(format!("/proc/{process}/io")).unwrap();
    let line = io.lines().find_map(|line| line.strip_prefix("rchar: "));
    line.unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_receipt_costs_no_second_reading() {
    const SIZE: u64 = 32 << 20;
    let proxy = Proxy::start().await;
    let (source, copy) = (proxy.create().await, Uuid::now_v7());
    let file = proxy.tree(source).join("large");
    fs::write(file, vec![7; SIZE as usize]).unwrap();
    let before = has_read(proxy.process.id());
    let task = Task::CloneTree(CloneTree {
        source_id: source.to_string(),
        vfolder_id: copy.to_string(),
        source_epoch: 1,
        receipt: true,
    });
    let ended = proxy.run(Uuid::now_v7(), task).await.unwrap();
    let read = has_read(proxy.process.id()) - before;
    assert_eq!(ended.failure, None);
    let found = digest_of(&proxy.tree(copy));
    assert_eq!(ended.receipt.unwrap().digest, found.to_string());
    assert!((SIZE..SIZE + SIZE / 4).contains(&read), "{read} of {SIZE}");
}

#[tokio::test]
async fn a_copy_that_is_digested_does_not_count_for_estimates_of_others() {
    // Each copy takes a second.
    let armed = Proxy::start_armed(set_up(), "clone.copying=pause").await;
    let proxy = armed.unwrap();
    let source = proxy.create().await;
    fs::write(proxy.tree(source).join("file"), "content").unwrap();
    let before = estimate(&proxy, source).await;
    if before.method() == StorageCloneMethod::Snapshot {
        return not_checked("copies are snapshots here");
    }
    clone(&proxy, source, true).await;
    assert_eq!(estimate(&proxy, source).await, before);
    clone(&proxy, source, false).await;
    assert_ne!(estimate(&proxy, source).await, before);
}

async fn clone(proxy: &Proxy, source: Uuid, receipt: bool) {
    let task = Task::CloneTree(CloneTree {
        source_id: source.to_string(),
        vfolder_id: Uuid::now_v7().to_string(),
        source_epoch: 1,
        receipt,
    });
    let ended = proxy.run(Uuid::now_v7(), task).await.unwrap();
    assert_eq!(ended.failure, None);
}

async fn estimate(proxy: &Proxy, source: Uuid) -> CloneEstimate {
    let request = proxy.signed(GetTreeUsageRequest {
        volume: "v".into(),
        vfolder_id: source.to_string(),
    });
    let usage = proxy.storage().get_tree_usage(request).await.unwrap();
    usage.into_inner().clone.unwrap()
}

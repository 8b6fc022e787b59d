//! What is unpacked and removed counts: against limits before anything is written, and exactly afterwards.

use std::{fs, os::unix::fs::symlink};

use uuid::Uuid;
use vfolder_storage_proxy::{
    account::Amount,
    task::{Existing, FailureKind, Work},
};

use super::{
    Scene,
    tars::{Member, tar},
};
use crate::quota::{OWNER, accounts, found, quota, used};

const KIB: u64 = 1 << 10;

impl Scene {
    fn limited(bytes: u64, files: u64) -> Self {
        let scene = Self::new();
        accounts(&scene.rig).learn(scene.vfolder, &quota(1, bytes, files, 0));
        scene
    }

    /// What is known is what is there, and nothing is set aside.
    fn assert_counted(&self) {
        let volume = self.rig.volume.get().unwrap();
        let known = accounts(&self.rig).owner_use(&volume, OWNER).unwrap();
        assert_eq!(known.used, found(&self.tree()));
        assert_eq!(known.reserved, Amount::default());
    }
}

/// Four files of 100 KiB, one of them in a directory that no entry names.
fn four() -> Vec<u8> {
    let content = vec![b'x'; 100 << 10];
    let entry = |name: &'static [u8]| -> Member<'_> { (b'0', name, b"", &content) };
    tar(&[entry(b"a"), entry(b"b"), entry(b"c"), entry(b"d/d")])
}

#[tokio::test]
async fn what_does_not_fit_is_refused_before_anything_is_written() {
    for (bytes, files) in [(700 * KIB, 0), (0, 5)] {
        let scene = Scene::limited(bytes, files);
        fs::write(scene.tree().join("archive"), four()).unwrap();
        fs::create_dir(scene.tree().join("out")).unwrap();
        let failure = scene.extract(scene.extraction("archive")).await.failure;
        assert_eq!(failure.unwrap().kind, FailureKind::QuotaExceeded);
        assert_eq!(fs::read_dir(scene.tree().join("out")).unwrap().count(), 0);
        scene.assert_counted();
    }
    // Directories that are only implied are found on the way.
    let scene = Scene::limited(0, 6);
    fs::write(scene.tree().join("archive"), four()).unwrap();
    let failure = scene.extract(scene.extraction("archive")).await.failure;
    assert_eq!(failure.unwrap().kind, FailureKind::QuotaExceeded);
    scene.assert_counted();
}

#[tokio::test]
async fn what_was_unpacked_and_removed_is_counted_to_the_byte_also_if_it_failed() {
    let scene = Scene::limited(1 << 40, 0);
    fs::write(scene.tree().join("archive"), four()).unwrap();
    let mut extraction = scene.extraction("archive");
    extraction.destination = super::path("some/way/down");
    assert_eq!(scene.extract(extraction.clone()).await.failure, None);
    scene.assert_counted();
    // Replaced: one with another name, and a symlink.
    let out = scene.tree().join("some/way/down");
    fs::hard_link(out.join("a"), out.join("also a")).unwrap();
    fs::remove_file(out.join("b")).unwrap();
    symlink("nowhere", out.join("b")).unwrap();
    fs::write(out.join("c"), "short").unwrap();
    let scene = Scene {
        rig: scene.rig.restarted().await,
        ..scene
    };
    accounts(&scene.rig).learn(scene.vfolder, &quota(2, 1 << 40, 0, 0));
    extraction.existing = Existing::Replace;
    assert_eq!(scene.extract(extraction).await.failure, None);
    scene.assert_counted();
    // In the middle of making directories on the way, there is something that is none.
    fs::write(scene.tree().join("archive"), four()).unwrap();
    let mut failing = scene.extraction("archive");
    (failing.destination, failing.max_files) = (super::path("x/y/z"), 4);
    let failure = scene.extract(failing).await.failure.unwrap();
    assert_eq!(
        failure.kind,
        FailureKind::ArchiveTooLarge,
        "{}",
        failure.message
    );
    scene.assert_counted();
    assert_eq!(
        scene
            .remove(&["some/way", "x", "archive"], false)
            .await
            .failure,
        None
    );
    scene.assert_counted();
    assert_eq!(used(&scene.rig), Amount { bytes: 0, files: 1 });
}

#[tokio::test]
async fn what_is_replaced_is_not_asked_for_once_more() {
    let scene = Scene::limited(900 * KIB, 8);
    fs::write(scene.tree().join("archive"), four()).unwrap();
    let mut extraction = scene.extraction("archive");
    assert_eq!(scene.extract(extraction.clone()).await.failure, None);
    extraction.existing = Existing::Replace;
    assert_eq!(scene.extract(extraction).await.failure, None);
    scene.assert_counted();
}

/// All of them go at once, by several threads: the last name is known as such, whoever unlinks it.
#[tokio::test]
async fn of_files_with_many_names_the_bytes_go_with_the_last() {
    let scene = Scene::limited(1 << 40, 0);
    let many = scene.tree().join("many");
    for directory in 0..8 {
        fs::create_dir_all(many.join(directory.to_string())).unwrap();
    }
    for file in 0..200 {
        let first = many.join(format!("0/{file}"));
        fs::write(&first, [b'x'; 100]).unwrap();
        for directory in 1..8 {
            fs::hard_link(&first, many.join(format!("{directory}/{file}"))).unwrap();
        }
    }
    let ended = scene.remove(&["many"], false).await;
    assert_eq!(ended.failure, None);
    let progress = ended.progress;
    assert_eq!(
        (progress.entries_done, progress.bytes_done),
        (1_609, 20_000)
    );
    scene.assert_counted();
}

/// An earlier life has unpacked half: that is counted as being there, and not asked for once more.
#[tokio::test]
async fn an_extraction_that_goes_on_asks_only_for_what_is_not_there_yet() {
    let scene = Scene::limited(900 * KIB, 8);
    fs::write(scene.tree().join("archive"), four()).unwrap();
    let out = scene.tree().join("out");
    fs::create_dir(&out).unwrap();
    for (name, size) in [("a", 100), ("b", 100), ("c", 100)] {
        fs::write(out.join(name), vec![b'x'; size << 10]).unwrap();
    }
    let (operation, work) = (
        Uuid::now_v7(),
        Work::Extract(Box::new(scene.extraction("archive"))),
    );
    let volume = scene.rig.volume.get().unwrap();
    volume.keep(operation, &[0]).unwrap();
    let record = serde_json::json!({
        "spec": scene.rig.spec(work.clone()), "totals": null, "progress": { "durable": 1 },
    });
    volume.write_journal(operation, &record).unwrap();
    assert_eq!(scene.run_as(operation, work).await.failure, None);
    assert_eq!(fs::read(out.join("d/d")).unwrap().len(), 100 << 10);
    scene.assert_counted();
}

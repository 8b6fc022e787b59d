//! Archives that are small and unpack to more than anybody has room for.

use std::{fs, io::Write as _, os::unix::fs::MetadataExt as _};

use flate2::{Compression, write::GzEncoder};
use vfolder_storage_proxy::task::FailureKind;

use super::{
    Scene,
    tars::tar,
    zips::{Entry, deflated, file, zip},
};

async fn ends_with(scene: &Scene, archive: &[u8], max_bytes: u64, max_files: u64) -> FailureKind {
    fs::write(scene.tree().join("archive"), archive).unwrap();
    let mut extraction = scene.extraction("archive");
    (extraction.max_bytes, extraction.max_files) = (max_bytes, max_files);
    let failure = scene.extract(extraction).await.failure.unwrap();
    assert!(!scene.tree().join("out/a").exists(), "{}", failure.message);
    failure.kind
}

#[tokio::test]
async fn more_bytes_or_entries_than_allowed_are_refused() {
    let scene = Scene::new();
    let content = [1; 600];
    let two = tar(&[(b'0', b"a", b"", &content), (b'0', b"b", b"", &content)]);
    let too_large = FailureKind::ArchiveTooLarge;
    assert_eq!(ends_with(&scene, &two, 1_199, 2).await, too_large);
    assert_eq!(ends_with(&scene, &two, 1_200, 1).await, too_large);
    let two = zip(&[deflated("a", &content), deflated("b", &content)]);
    assert_eq!(ends_with(&scene, &two, 1_199, 2).await, too_large);
    assert_eq!(ends_with(&scene, &two, 1_200, 1).await, too_large);
}

#[tokio::test]
async fn directories_that_are_only_implied_count() {
    let scene = Scene::new();
    let deep = format!("{}f", "d/".repeat(40));
    fs::write(
        scene.tree().join("archive"),
        tar(&[(b'0', deep.as_bytes(), b"", b"x")]),
    )
    .unwrap();
    let mut extraction = scene.extraction("archive");
    extraction.max_files = 40;
    let failure = scene.extract(extraction).await.failure.unwrap();
    assert_eq!(failure.kind, FailureKind::ArchiveTooLarge);
}

/// Two kilobytes that promise more than a gibibyte and a thousand times their size.
#[tokio::test]
async fn what_is_a_thousand_times_its_own_size_is_refused() {
    let scene = Scene::new();
    let bomb = Entry {
        size: (1 << 30) + (4 << 20),
        ..deflated("a", &[0; 100])
    };
    let limit = 1 << 40;
    let bomb = ends_with(&scene, &zip(&[bomb]), limit, 10).await;
    assert_eq!(bomb, FailureKind::ArchiveTooLarge);
}

/// Names and records are as long as their archive says: they are bounded before they are in memory.
#[tokio::test]
async fn a_name_of_a_hundred_mebibytes_is_refused() {
    let scene = Scene::new();
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::new(b'L'));
    header.set_size(100 << 20);
    header.set_cksum();
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(header.as_bytes()).unwrap();
    packed.write_all(&[b'a'; 2 << 20]).unwrap();
    let packed = packed.finish().unwrap();
    let kind = ends_with(&scene, &packed, 1 << 30, 10).await;
    assert_eq!(kind, FailureKind::ArchiveInvalid);
}

/// What is smaller or larger than it says is found when it is unpacked: the file never appears.
#[tokio::test]
async fn what_lies_about_its_size_or_content_does_not_appear() {
    let scene = Scene::new();
    let real = deflated("a", &[7; 5_000]);
    for lie in [
        Entry {
            size: 4_999,
            ..real.clone()
        },
        Entry {
            size: 5_001,
            ..real.clone()
        },
        Entry {
            crc: 1,
            ..real.clone()
        },
        Entry {
            data: vec![0xff; 40],
            ..real.clone()
        },
        Entry {
            crc: 1,
            ..file("a", b"stored")
        },
    ] {
        let kind = ends_with(&scene, &zip(&[lie]), 1 << 30, 10).await;
        assert_eq!(kind, FailureKind::ArchiveInvalid);
        assert_eq!(fs::read_dir(scene.tree().join("out")).unwrap().count(), 0);
        assert_eq!(scene.rig.count("staging"), 0);
    }
}

/// A tar.zst of one file "a" of that many bytes, all of them `byte`; it refers back at most so many bytes (a power of two).
fn monotonous(byte: u8, mebibytes: u64, window_log: u32) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path("a").unwrap();
    header.set_size(mebibytes << 20);
    header.set_mode(0o644);
    header.set_cksum();
    let mut packed = zstd::Encoder::new(Vec::new(), 1).unwrap();
    packed.window_log(window_log).unwrap();
    packed.write_all(header.as_bytes()).unwrap();
    let content = vec![byte; 1 << 20];
    for _ in 0..mebibytes {
        packed.write_all(&content).unwrap();
    }
    packed.write_all(&[0; 1024]).unwrap();
    packed.finish().unwrap()
}

/// A download writes holes as zeros, and Zstandard makes nearly nothing of those.
#[tokio::test]
async fn zeros_become_a_hole_again_however_small_they_were_and_nothing_else_does() {
    let scene = Scene::new();
    let (size, limit) = (1_200 << 20, 2 << 30);
    let bomb = monotonous(1, 1_200, 19);
    assert_eq!(
        ends_with(&scene, &bomb, limit, 10).await,
        FailureKind::ArchiveTooLarge
    );
    fs::write(scene.tree().join("archive"), monotonous(0, 1_200, 19)).unwrap();
    let mut extraction = scene.extraction("archive");
    extraction.max_bytes = limit;
    assert_eq!(scene.extract(extraction).await.failure, None);
    let meta = fs::metadata(scene.tree().join("out/a")).unwrap();
    assert_eq!((meta.len(), meta.blocks()), (size, 0));
}

/// Behind the tar's end nothing is announced, so nothing bounds it but what was wanted at all.
#[tokio::test]
async fn zeros_behind_the_end_are_not_read_for_ever() {
    let scene = Scene::new();
    let mut endless = zstd::Encoder::new(Vec::new(), 1).unwrap();
    endless.write_all(&tar(&[(b'0', b"a", b"", b"x")])).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..1_100 {
        endless.write_all(&zeros).unwrap();
    }
    let endless = endless.finish().unwrap();
    let kind = ends_with(&scene, &endless, 1 << 20, 10).await;
    assert_eq!(kind, FailureKind::ArchiveTooLarge);
}

#[tokio::test]
async fn what_makes_us_remember_more_than_32_mib_is_refused() {
    let scene = Scene::new();
    let kind = ends_with(&scene, &monotonous(1, 1, 26), 1 << 30, 10).await;
    assert_eq!(kind, FailureKind::ArchiveInvalid);
    fs::write(scene.tree().join("archive"), monotonous(1, 1, 25)).unwrap();
    assert_eq!(
        scene.extract(scene.extraction("archive")).await.failure,
        None
    );
}

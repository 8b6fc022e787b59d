//! Symlinks: of the archive, in the tree, and put there meanwhile. None leads anybody outside.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};

use uuid::Uuid;
use vfolder_storage_proxy::task::{Existing, FailureKind, Work};

use super::{
    Scene,
    tars::{GOOD, tar},
};

#[tokio::test]
async fn odd_names_are_names_and_what_comes_twice_is_there_once() {
    let scene = Scene::new();
    let archive = tar(&[
        (b'0', b"new\nline", b"", b"1"),
        (b'0', b"\xff\xfe", b"", b"2"),
        (b'0', b"a\\..\\..\\b", b"", b"3"),
        (b'0', b"twice", b"", b"first"),
        (b'0', b"twice", b"", b"second"),
        (b'2', b"s", b"/etc/passwd", b""),
        (b'6', b"fifo", b"", b""),
        (b'1', b"h", b"twice", b""),
    ]);
    fs::write(scene.tree().join("archive"), archive).unwrap();
    assert_eq!(
        scene.extract(scene.extraction("archive")).await.failure,
        None
    );
    let out = scene.tree().join("out");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 7);
    assert_eq!(fs::read_to_string(out.join("h")).unwrap(), "second");
    assert_eq!(
        fs::read_link(out.join("s")).unwrap(),
        Path::new("/etc/passwd")
    );
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(out.join("twice")).unwrap());
    assert_eq!(mode & 0o7777, 0o755, "setuid and setgid are dropped");
}

#[tokio::test]
async fn a_symlink_that_is_there_is_neither_followed_nor_replaced_by_a_directory() {
    let scene = Scene::new();
    let outside = scene.rig.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::create_dir(scene.tree().join("out")).unwrap();
    symlink(&outside, scene.tree().join("out/d")).unwrap();
    fs::write(
        scene.tree().join("archive"),
        tar(&[GOOD, (b'0', b"d/evil", b"", b"x")]),
    )
    .unwrap();
    for existing in [Existing::Fail, Existing::Skip, Existing::Replace] {
        let mut extraction = scene.extraction("archive");
        extraction.existing = existing;
        let failure = scene.extract(extraction).await.failure.unwrap();
        assert_eq!(
            failure.kind,
            FailureKind::SymlinkInPath,
            "{}",
            failure.message
        );
        assert!(!scene.tree().join("out/good").exists());
    }
    // A file takes its place, and not that of what it points at.
    fs::write(outside.join("target"), "outside").unwrap();
    symlink(outside.join("target"), scene.tree().join("out/good")).unwrap();
    fs::write(scene.tree().join("archive"), tar(&[GOOD])).unwrap();
    let mut extraction = scene.extraction("archive");
    extraction.existing = Existing::Replace;
    assert_eq!(scene.extract(extraction).await.failure, None);
    assert_eq!(
        fs::read_to_string(scene.tree().join("out/good")).unwrap(),
        "good"
    );
    assert_eq!(
        fs::read_to_string(outside.join("target")).unwrap(),
        "outside"
    );
}

#[tokio::test]
async fn what_is_no_file_is_no_archive_and_an_archive_does_not_replace_itself() {
    let scene = Scene::new();
    symlink("/etc/passwd", scene.tree().join("link")).unwrap();
    fs::create_dir(scene.tree().join("directory")).unwrap();
    for (name, kind) in [
        ("link", FailureKind::SymlinkInPath),
        ("directory", FailureKind::NotAFile),
        ("none", FailureKind::FileNotFound),
    ] {
        let failure = scene.extract(scene.extraction(name)).await.failure.unwrap();
        assert_eq!(failure.kind, kind, "{name}: {}", failure.message);
    }
    fs::write(
        scene.tree().join("self"),
        tar(&[(b'0', b"self", b"", b"x")]),
    )
    .unwrap();
    let mut extraction = scene.extraction("self");
    extraction.destination = super::path("");
    extraction.existing = Existing::Replace;
    let failure = scene.extract(extraction).await.failure.unwrap();
    assert_eq!(failure.kind, FailureKind::ArchiveInvalid);
}

/// Somebody swaps directories for symlinks while it is unpacked, and while it is removed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_who_swaps_directories_for_symlinks_leads_nobody_outside() {
    let scene = Scene::new();
    let outside = scene.rig.dir.path().join("outside");
    fs::create_dir_all(outside.join("d")).unwrap();
    fs::write(outside.join("d/f0"), "outside").unwrap();
    let names: Vec<String> = (0..200).map(|n| format!("d/f{n}")).collect();
    let entries: Vec<_> = names
        .iter()
        .map(|n| (b'0', n.as_bytes(), &b""[..], &b"inside"[..]))
        .collect();
    fs::write(scene.tree().join("archive"), tar(&entries)).unwrap();
    let (out, stop) = (scene.tree().join("out"), Arc::new(AtomicBool::new(false)));
    fs::create_dir_all(out.join("d")).unwrap();
    let swap = {
        let (outside, stop) = (outside.clone(), Arc::clone(&stop));
        move || {
            let (d, away, link) = (out.join("d"), out.join("away"), out.join("link"));
            while !stop.load(Relaxed) {
                let _ = fs::rename(&d, &away);
                let _ = symlink(outside.join("d"), &link);
                let _ = fs::rename(&link, &d);
                let _ = fs::remove_file(&d);
                let _ = fs::rename(&away, &d);
            }
        }
    };
    let swapping = thread::spawn(swap);
    let mut ends = Vec::new();
    for _ in 0..15 {
        let mut extraction = scene.extraction("archive");
        extraction.existing = Existing::Replace;
        let unpacked = scene.extract(extraction).await.failure;
        let removed = scene.remove(&["out/d"], true).await.failure;
        ends.push((unpacked.map(|f| f.kind), removed.map(|f| f.kind)));
    }
    stop.store(true, Relaxed);
    swapping.join().unwrap();
    let left: Vec<_> = fs::read_dir(outside.join("d")).unwrap().collect();
    assert_eq!(left.len(), 1, "{ends:?}");
    assert_eq!(
        fs::read_to_string(outside.join("d/f0")).unwrap(),
        "outside",
        "{ends:?}"
    );
}

/// Each of the links would make two thousand directories: none of them is one of the archive's entries.
#[tokio::test]
async fn directories_that_only_links_imply_count_against_the_bounds() {
    for kind in [b'2', b'1'] {
        let scene = Scene::new();
        let deep: Vec<_> = (0..10)
            .map(|n| format!("{n}/{}l", "d/".repeat(30)))
            .collect();
        let links = deep
            .iter()
            .map(|path| (kind, path.as_bytes(), &b"good"[..], &b""[..]));
        let all: Vec<_> = [GOOD].into_iter().chain(links).collect();
        fs::write(scene.tree().join("archive"), tar(&all)).unwrap();
        let mut extraction = scene.extraction("archive");
        extraction.max_files = 100;
        let failure = scene.extract(extraction).await.failure.unwrap();
        assert_eq!(
            failure.kind,
            FailureKind::ArchiveTooLarge,
            "{}",
            failure.message
        );
    }
}

/// The name under which a file is hidden until it is whole: nobody else's file may have it, and none is taken for it.
#[tokio::test]
async fn the_name_that_hides_what_is_not_whole_is_the_operations_own() {
    let scene = Scene::new();
    let operation = Uuid::now_v7();
    let hidden = format!("d/.vfolder-{operation}.part");
    let archive = tar(&[GOOD, (b'0', hidden.as_bytes(), b"", b"x")]);
    fs::write(scene.tree().join("archive"), archive).unwrap();
    let work = Work::Extract(Box::new(scene.extraction("archive")));
    let failure = scene.run_as(operation, work).await.failure.unwrap();
    assert_eq!(
        failure.kind,
        FailureKind::ArchiveInvalid,
        "{}",
        failure.message
    );
    assert!(!scene.tree().join("out").exists());
    // What looks alike and is a user's stays, whatever is replaced beside it.
    let theirs = format!("out/.vfolder-{}.part", scene.vfolder);
    fs::create_dir(scene.tree().join("out")).unwrap();
    for name in [&theirs, "out/good"] {
        fs::write(scene.tree().join(name), "theirs").unwrap();
    }
    fs::write(scene.tree().join("archive"), tar(&[GOOD])).unwrap();
    let mut extraction = scene.extraction("archive");
    extraction.existing = Existing::Replace;
    assert_eq!(scene.extract(extraction).await.failure, None);
    assert_eq!(
        fs::read_to_string(scene.tree().join("out/good")).unwrap(),
        "good"
    );
    assert_eq!(
        fs::read_to_string(scene.tree().join(theirs)).unwrap(),
        "theirs"
    );
}

//! Extractions and removals of what is harmless.

use std::{
    env, fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use tokio::time::sleep;
use uuid::Uuid;
use vfolder_storage_proxy::{
    archive::Format,
    task::{End, Existing, FailureKind, Work},
};

use super::{Scene, differences, download::fill, run};
use crate::support::eventually;

#[tokio::test]
async fn what_was_downloaded_unpacks_to_what_was_there() {
    let scene = Scene::new();
    fill(&scene.tree());
    // Setuid is dropped, on purpose.
    fs::set_permissions(scene.tree().join("some"), fs::Permissions::from_mode(0o751)).unwrap();
    fs::hard_link(scene.tree().join("some"), scene.tree().join("empty/same")).unwrap();
    let before = scene.rig.dir.path().join("before");
    run(Command::new("cp").arg("-a").arg(scene.tree()).arg(&before));
    for format in [Format::Tar, Format::TarGz, Format::TarZst, Format::Zip] {
        let archive = scene.download(&[], format).await;
        let other = Scene::new();
        fs::copy(archive, other.tree().join("archive")).unwrap();
        let ended = other.extract(other.extraction("archive")).await;
        assert_eq!(ended.failure, None, "{format:?}");
        assert_eq!(ended.progress.entries_done, ended.progress.entries_total);
        let mut found = differences(&before, &other.tree().join("out"));
        if format == Format::Zip {
            // Times to the second, and two files of what was one.
            let real = found.lines().filter(|line| !line.starts_with(".f..t"));
            let real = real.filter(|line| !line.contains(" => "));
            found = real.collect::<Vec<_>>().join("\n");
        }
        assert_eq!(found, "", "{format:?}");
        assert_eq!(other.rig.count("staging"), 0);
    }
}

#[tokio::test]
async fn what_other_programs_have_made_is_unpacked() {
    let scene = Scene::new();
    let source = scene.rig.dir.path().join("source");
    fill(&source);
    fs::set_permissions(source.join("some"), fs::Permissions::from_mode(0o751)).unwrap();
    let whole = |name: &str| scene.tree().join(name);
    let tar = |name: &str, options: &[&str]| {
        let mut command = Command::new("tar");
        command
            .args(options)
            .arg("-cf")
            .arg(whole(name))
            .arg("-C")
            .arg(&source);
        run(command.arg("."));
    };
    tar("gnu", &["--format=gnu"]);
    tar("pax.gz", &["--format=pax", "-z"]);
    tar("zst", &["--zstd"]);
    let mut zip = Command::new("zip");
    zip.args(["-qry", "-X"])
        .arg(whole("made.zip"))
        .arg(".")
        .current_dir(&source);
    run(&mut zip);
    for name in ["gnu", "pax.gz", "zst", "made.zip"] {
        let mut extraction = scene.extraction(name);
        extraction.destination = super::path(format!("from {name}"));
        assert_eq!(scene.extract(extraction).await.failure, None, "{name}");
        let found = differences(&source, &whole(&format!("from {name}")));
        let real = found
            .lines()
            .filter(|line| !line.starts_with(".f..t") && !line.starts_with(".L..t"));
        assert_eq!(real.collect::<Vec<_>>(), Vec::<&str>::new(), "{name}");
    }
}

/// An archive with `a`, `b` and `d/c`, whose contents are their names.
fn small(scene: &Scene) {
    let source = scene.rig.dir.path().join("small");
    fs::create_dir_all(source.join("d")).unwrap();
    for name in ["a", "b", "d/c"] {
        fs::write(source.join(name), name).unwrap();
    }
    let mut tar = Command::new("tar");
    run(tar
        .arg("-cf")
        .arg(scene.tree().join("small.tar"))
        .args(["a", "b", "d"])
        .current_dir(&source));
}

#[tokio::test]
async fn of_what_is_there_nothing_some_or_all_is_replaced() {
    for (existing, kept, failure) in [
        (Existing::Fail, "mine", Some(FailureKind::FileExists)),
        (Existing::Skip, "mine", None),
        (Existing::Replace, "b", None),
    ] {
        let scene = Scene::new();
        small(&scene);
        let out = scene.tree().join("out");
        fs::create_dir_all(out.join("d")).unwrap();
        fs::set_permissions(out.join("d"), fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(out.join("b"), "mine").unwrap();
        let mut extraction = scene.extraction("small.tar");
        extraction.existing = existing;
        let ended = scene.extract(extraction).await;
        assert_eq!(ended.failure.map(|f| f.kind), failure);
        assert_eq!(fs::read_to_string(out.join("b")).unwrap(), kept);
        assert_eq!(out.join("a").exists(), failure.is_none(), "{existing:?}");
        assert_eq!(out.join("d/c").exists(), failure.is_none());
        assert_eq!(fs::metadata(out.join("d")).unwrap().mode() & 0o777, 0o700);
    }
}

#[tokio::test]
async fn what_takes_a_directorys_place_is_refused_before_anything_is_written() {
    for (at, is_directory, kind) in [
        ("a", true, FailureKind::FileExists),
        ("d", false, FailureKind::NotADirectory),
    ] {
        let scene = Scene::new();
        small(&scene);
        let out = scene.tree().join("out");
        fs::create_dir_all(&out).unwrap();
        match is_directory {
            true => fs::create_dir(out.join(at)).unwrap(),
            false => fs::write(out.join(at), "mine").unwrap(),
        }
        let mut extraction = scene.extraction("small.tar");
        extraction.existing = Existing::Replace;
        let failure = scene.extract(extraction).await.failure.unwrap();
        assert_eq!(failure.kind, kind, "{}", failure.message);
        assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
    }
}

#[tokio::test]
async fn an_extraction_that_goes_on_knows_its_own_files_from_those_that_were_there() {
    let scene = Scene::new();
    small(&scene);
    let out = scene.tree().join("out");
    fs::create_dir_all(out.join("d")).unwrap();
    // An earlier life has unpacked "a", made it durable, and was about to write "b"; "d/c" was there before it.
    for (name, content) in [("a", "durable"), ("b", "half"), ("d/c", "mine")] {
        fs::write(out.join(name), content).unwrap();
    }
    let mut extraction = scene.extraction("small.tar");
    extraction.existing = Existing::Skip;
    let (operation, work) = (Uuid::now_v7(), Work::Extract(Box::new(extraction)));
    let volume = scene.rig.volume.get().unwrap();
    // Its entries: a, b, d, d/c.
    volume.keep(operation, &[0b1100]).unwrap();
    let record = serde_json::json!({
        "spec": scene.rig.spec(work.clone()), "totals": null, "progress": { "durable": 1 },
    });
    volume.write_journal(operation, &record).unwrap();
    assert_eq!(scene.run_as(operation, work).await.failure, None);
    for (name, content) in [("a", "durable"), ("b", "b"), ("d/c", "mine")] {
        assert_eq!(
            fs::read_to_string(out.join(name)).unwrap(),
            content,
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_removal_removes_what_is_named_and_nothing_if_something_is_missing() {
    let scene = Scene::new();
    let tree = scene.tree();
    for name in ["a/b/c", "a/d", "e", "f"] {
        fs::create_dir_all(tree.join(name).parent().unwrap()).unwrap();
        fs::write(tree.join(name), "12345").unwrap();
    }
    symlink(scene.rig.dir.path(), tree.join("out")).unwrap();
    for (paths, kind) in [
        (&["a", "none"][..], FailureKind::FileNotFound),
        (&["a", "out/v"], FailureKind::SymlinkInPath),
        (&["a", "e/x"], FailureKind::NotADirectory),
    ] {
        let failure = scene.remove(paths, false).await.failure.unwrap();
        assert_eq!(failure.kind, kind, "{paths:?}: {}", failure.message);
        assert!(tree.join("a/b/c").exists());
    }
    let ended = scene.remove(&["a/b", "a", "none", "e", "out"], true).await;
    assert_eq!(ended.failure, None);
    assert_eq!(
        (ended.progress.entries_done, ended.progress.bytes_done),
        (6, 15)
    );
    assert_eq!(fs::read_dir(&tree).unwrap().count(), 1);
    assert!(scene.rig.root().exists());
}

/// `1`, which is small, and `2`: zeros, of which gzip makes little, and which take a debug build long.
fn large(scene: &Scene) {
    let source = scene.rig.dir.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("1"), "whole").unwrap();
    let large = fs::File::create(source.join("2")).unwrap();
    large.set_len(256 << 20).unwrap();
    let mut tar = Command::new("tar");
    run(tar
        .arg("-czf")
        .arg(scene.tree().join("big.tgz"))
        .args(["1", "2"])
        .current_dir(&source));
}

/// Runs it until `when`, cancels it, and answers how long that took.
async fn cancelled(scene: &Scene, epoch: i64, when: impl AsyncFnOnce()) -> Duration {
    let (operation, work) = (Uuid::now_v7(), scene.extraction("big.tgz"));
    let spec = scene.rig.spec_at(epoch, Work::Extract(Box::new(work)));
    let mut task = scene.rig.tasks.run(operation, spec).unwrap();
    when().await;
    let begun = Instant::now();
    let tasks = &scene.rig.tasks;
    let cancelled = tasks
        .cancel_in_place(operation, "v", scene.vfolder, epoch)
        .await;
    let took = begun.elapsed();
    assert_eq!(cancelled, Ok(false));
    let End::Outcome(outcome) = task.end().await else {
        panic!("it has no outcome");
    };
    assert_eq!(outcome.failure.unwrap().kind, FailureKind::Cancelled);
    took
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_is_heard_in_the_middle_of_an_entry_and_what_is_whole_stays() {
    let scene = Scene::new();
    large(&scene);
    let out = scene.tree().join("out");
    cancelled(&scene, 1, async || {
        eventually("the first file is there", || out.join("1").exists()).await;
    })
    .await;
    assert_eq!(fs::read_to_string(out.join("1")).unwrap(), "whole");
    assert_eq!(
        fs::read_dir(&out).unwrap().count(),
        1,
        "half a file is left"
    );
}

/// Whatever it is at: each time it is let run a little longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_is_heard_within_a_tenth_of_a_second_whatever_it_is_at() {
    // Not on a disk that is busy with other tests: the note of the cancel is synced.
    let memory = Path::new("/dev/shm");
    let dir = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    let scene = Scene::within(dir.unwrap());
    large(&scene);
    let mut took = Vec::new();
    for (epoch, millis) in (1..=100).zip((0..).step_by(2)) {
        let run_for = Duration::from_millis(millis);
        took.push(cancelled(&scene, epoch, async || sleep(run_for).await).await);
    }
    took.sort();
    println!("p50 {:?}, p99 {:?}, max {:?}", took[49], took[98], took[99]);
    // What other tests on the machine cost shows in the slowest: there it is counted only where nothing else runs.
    let counts = match env::var_os("VFOLDER_TEST_LONG") {
        Some(_) => 98,
        None => 49,
    };
    assert!(took[counts] < Duration::from_millis(100), "{took:?}");
}

//! DownloadArchive.

use std::{
    ffi::OsStr,
    fs::{self, File},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{PermissionsExt as _, symlink},
    },
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

use futures_util::StreamExt as _;
use uuid::Uuid;
use vfolder_common::{error::Reason, token::Grant};
use vfolder_storage_proxy::{archive::Format, task::ARCHIVES, volume::Fence};

use super::{Scene, differences, path, python, run, whole};
use crate::support::eventually;

/// One of everything that an archive keeps.
pub fn fill(tree: &Path) {
    let deep = format!("{}/{}", "long".repeat(50), "x".repeat(200));
    fs::create_dir_all(tree.join(&deep)).unwrap();
    fs::create_dir_all(tree.join("empty")).unwrap();
    fs::write(tree.join(&deep).join("file"), "deep").unwrap();
    fs::write(tree.join("some"), vec![7; 700_000]).unwrap();
    fs::write(tree.join("nothing"), "").unwrap();
    fs::write(tree.join("\u{e9}t\u{e9}"), "UTF-8").unwrap();
    fs::write(tree.join("new\nline \\ \"quoted\""), "odd").unwrap();
    symlink("/nowhere/at/all", tree.join("dangling")).unwrap();
    symlink("t".repeat(300), tree.join("long symlink")).unwrap();
    let exactly = SystemTime::UNIX_EPOCH + Duration::new(1_234_567_890, 123_456_789);
    for (name, mode) in [("some", 0o4751), ("nothing", 0o000)] {
        let file = File::open(tree.join(name)).unwrap();
        file.set_modified(exactly).unwrap();
        file.set_permissions(fs::Permissions::from_mode(mode))
            .unwrap();
    }
}

/// What zip has no room for, too.
fn fill_more(tree: &Path) {
    fill(tree);
    fs::write(tree.join(OsStr::from_bytes(b"latin \xe9")), "bytes").unwrap();
    let long = [b"\xff".as_slice(), &[b'y'; 200]].concat();
    fs::write(tree.join(OsStr::from_bytes(&long)), "more bytes").unwrap();
    fs::hard_link(tree.join("some"), tree.join("empty/same")).unwrap();
    run(Command::new("mkfifo").arg(tree.join("pipe")));
    let before = SystemTime::UNIX_EPOCH - Duration::from_millis(1_500);
    File::open(tree.join("\u{e9}t\u{e9}"))
        .unwrap()
        .set_modified(before)
        .unwrap();
}

#[tokio::test]
async fn tar_unpacks_every_tar_to_what_was_there() {
    let scene = Scene::new();
    fill_more(&scene.tree());
    for format in [Format::Tar, Format::TarGz, Format::TarZst] {
        let archive = scene.download(&[], format).await;
        let out = scene
            .rig
            .dir
            .path()
            .join(format!("out-{}", format.extension()));
        fs::create_dir(&out).unwrap();
        // It can't be bothered to know which encoding names are in, and says so.
        run(Command::new("tar")
            .args(["--warning=no-unknown-keyword", "-xpf"])
            .arg(&archive)
            .arg("-C")
            .arg(&out));
        assert_eq!(differences(&scene.tree(), &out), "", "{format:?}");
    }
}

#[tokio::test]
async fn python_reads_a_tar_and_its_nanoseconds() {
    let scene = Scene::new();
    fill_more(&scene.tree());
    let archive = scene.download(&[], Format::Tar).await;
    let told = python(
        "import sys, tarfile\n\
         all = {m.name.encode('utf-8', 'surrogateescape'): m for m in tarfile.open(sys.argv[1])}\n\
         some, same = all[b'some'], all[b'empty/same']\n\
         print(max(some.islnk(), same.islnk()), some.pax_headers.get('mtime') or same.pax_headers['mtime'])\n\
         print(all[b'latin \\xe9'].size, all[b'\\xff' + b'y' * 200].size, all[b'pipe'].isfifo())\n",
        &[&archive],
    );
    assert_eq!(told, "True 1234567890.123456789\n5 10 True\n");
}

#[tokio::test]
async fn unzip_and_python_read_a_zip() {
    let scene = Scene::new();
    fill(&scene.tree());
    // unzip drops what is not printable from names.
    fs::remove_file(scene.tree().join("new\nline \\ \"quoted\"")).unwrap();
    let archive = scene.download(&[], Format::Zip).await;
    let told = python(
        "import sys, zipfile\n\
         z = zipfile.ZipFile(sys.argv[1])\n\
         print(z.testzip(), z.getinfo('some').file_size, z.getinfo('\u{e9}t\u{e9}').flag_bits >> 11 & 1)\n",
        &[&archive],
    );
    assert_eq!(told, "None 700000 1\n");
    let out = scene.rig.dir.path().join("out");
    run(Command::new("unzip")
        .args(["-qq", "-X"])
        .arg(&archive)
        .arg("-d")
        .arg(&out)
        .env("LC_ALL", "C.UTF-8"));
    // To the second, and without setuid, which it drops.
    let setuid = fs::Permissions::from_mode(0o751);
    fs::set_permissions(scene.tree().join("some"), setuid).unwrap();
    let found = differences(&scene.tree(), &out);
    let real = found
        .lines()
        .filter(|line| !line.starts_with(".f..t......") && !line.starts_with(".L..t"));
    assert_eq!(real.collect::<Vec<_>>(), Vec::<&str>::new());
}

#[tokio::test]
async fn a_zip_of_more_entries_than_16_bits_count_is_read_by_others() {
    let scene = Scene::new();
    let many = scene.tree().join("many");
    fs::create_dir(&many).unwrap();
    for number in 0..66_000 {
        File::create(many.join(format!("{number}"))).unwrap();
    }
    let archive = scene.download(&["many"], Format::Zip).await;
    let told = python(
        "import sys, zipfile\nprint(len(zipfile.ZipFile(sys.argv[1]).namelist()))",
        &[&archive],
    );
    assert_eq!(told, "66001\n");
}

/// Minutes in a debug build: with `VFOLDER_TEST_LONG`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zip_of_a_file_of_5_gib_is_read_by_others() {
    if std::env::var_os("VFOLDER_TEST_LONG").is_none() {
        return;
    }
    let scene = Scene::new();
    let file = File::create(scene.tree().join("huge")).unwrap();
    file.set_len(5 << 30).unwrap();
    fs::write(scene.tree().join("z"), "after it").unwrap();
    let archive = scene.download(&[], Format::Zip).await;
    let told = python(
        "import sys, zipfile\nz = zipfile.ZipFile(sys.argv[1])\n\
         print(z.testzip(), z.getinfo('huge').file_size, z.read('z'))",
        &[&archive],
    );
    assert_eq!(told, format!("None {} b'after it'\n", 5_u64 << 30));
    run(Command::new("unzip").arg("-tqq").arg(&archive));
}

/// A minute in a debug build: with `VFOLDER_TEST_LONG`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tar_of_a_file_of_9_gib_is_made_without_any_disk_and_read_by_tar() {
    if std::env::var_os("VFOLDER_TEST_LONG").is_none() {
        return;
    }
    let scene = Scene::new();
    let file = File::create(scene.tree().join("huge")).unwrap();
    file.set_len(9 << 30).unwrap();
    let mut stream = scene.open(&[], Format::Tar).await.unwrap();
    let mut tar = Command::new("tar")
        .args(["-tvf", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = tar.stdin.take().unwrap();
    while let Some(chunk) = stream.next().await {
        std::io::Write::write_all(&mut input, &chunk.unwrap()).unwrap();
    }
    drop(input);
    let told = tar.wait_with_output().unwrap();
    assert!(told.status.success());
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains(&format!(" {} ", 9_u64 << 30)), "{told}");
}

#[tokio::test]
async fn only_what_is_chosen_is_in_it_and_only_what_the_grant_is_for() {
    let scene = Scene::new();
    for file in ["a/x/1", "a/y/2", "b/3"] {
        fs::create_dir_all(scene.tree().join(file).parent().unwrap()).unwrap();
        fs::write(scene.tree().join(file), file).unwrap();
    }
    let archive = scene.download(&["a/x", "b/3", "a/x/1"], Format::Tar).await;
    let told = run(Command::new("tar").arg("-tf").arg(&archive));
    assert_eq!(
        String::from_utf8(told.stdout).unwrap(),
        "a/x/\na/x/1\nb/3\n"
    );

    let mut grant = scene.grant();
    grant.path = b"a/y".to_vec();
    let files = scene.files();
    let all = files
        .archive(&grant, Vec::new(), Format::Tar)
        .await
        .unwrap();
    let all = String::from_utf8_lossy(&whole(all).await.unwrap()).into_owned();
    assert!(all.contains("a/y/2") && !all.contains("a/x"));
    for (wanted, reason) in [
        ("a/x", Reason::GrantTooSmall),
        ("a/y/none", Reason::FileNotFound),
        ("a/y/2/none", Reason::NotADirectory),
    ] {
        let refused = files.archive(&grant, vec![path(wanted)], Format::Tar).await;
        assert_eq!(refused.unwrap_err().reason(), reason, "{wanted}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_changes_while_it_is_read_ends_the_archive_with_an_error() {
    for change in ["shrinks", "is written"] {
        let scene = Scene::new();
        let file = scene.tree().join("file");
        fs::write(&file, vec![1; 16 << 20]).unwrap();
        let mut stream = scene.open(&[], Format::Tar).await.unwrap();
        // More than this is not made ahead.
        stream.next().await.unwrap().unwrap();
        let opened = File::options().write(true).open(&file).unwrap();
        match change {
            "shrinks" => opened.set_len(4 << 20).unwrap(),
            _ => std::io::Write::write_all(&mut &opened, b"another").unwrap(),
        }
        let refusal = whole(stream).await.unwrap_err();
        assert_eq!(refusal.reason(), Reason::FileChanged, "{change}");
        assert!(refusal.text().contains("\"file\""));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_who_stands_still_does_not_keep_the_tree_and_hears_of_it() {
    let scene = Scene::new();
    fs::write(scene.tree().join("file"), vec![1; 16 << 20]).unwrap();
    let mut stream = scene.open(&[], Format::Tar).await.unwrap();
    stream.next().await.unwrap().unwrap();
    let begun = Instant::now();
    let fence = scene.rig.tasks.fence("v", scene.vfolder, Fence::for_all(2));
    fence.await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(20));
    let refusal = whole(stream).await.unwrap_err();
    assert_eq!(refusal.reason(), Reason::GrantStale);
    let late = scene.open(&[], Format::Tar).await;
    assert_eq!(late.unwrap_err().reason(), Reason::GrantStale);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_who_stand_still_hold_no_thread_of_the_volume_and_leave_nothing_when_they_go() {
    let scene = Scene::new();
    fs::write(scene.tree().join("file"), vec![1; 16 << 20]).unwrap();
    let mut streams = Vec::new();
    for _ in 0..ARCHIVES {
        streams.push(scene.open(&[], Format::Tar).await.unwrap());
    }
    let one_more = scene.open(&[], Format::Tar).await;
    assert_eq!(one_more.unwrap_err().reason(), Reason::TooManyRequests);
    // All others are served.
    let looks = (0..64).map(|_| scene.rig.tasks.look("v", |volume| volume.get().is_ok()));
    for look in looks {
        assert!(look.await.unwrap());
    }
    drop(streams);
    let slots = scene.rig.tasks.archives("v").unwrap();
    eventually("all have left", || slots.available_permits() == ARCHIVES).await;
}

#[tokio::test]
async fn a_symlink_that_takes_a_directorys_place_is_not_followed() {
    let scene = Scene::new();
    fs::create_dir_all(scene.tree().join("a")).unwrap();
    symlink(scene.rig.dir.path(), scene.tree().join("out")).unwrap();
    let refused = scene.open(&["out/secret"], Format::Zip).await;
    assert_eq!(refused.unwrap_err().reason(), Reason::SymlinkInPath);
    let archive = scene.download(&["out"], Format::Tar).await;
    let told = run(Command::new("tar").arg("-tvf").arg(&archive));
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.starts_with('l') && told.lines().count() == 1, "{told}");
}

#[tokio::test]
async fn one_vfolders_archives_leave_places_for_those_of_others() {
    let scene = Scene::new();
    // More than is made ahead of a reader.
    fs::write(scene.tree().join("f"), vec![7; 8 << 20]).unwrap();
    let files = scene.files();
    let other = Uuid::now_v7();
    fs::create_dir_all(scene.rig.tree(other)).unwrap();
    let open = |vfolder| {
        let grant = Grant {
            vfolder,
            ..scene.grant()
        };
        let files = files.clone();
        async move { files.archive(&grant, Vec::new(), Format::Tar).await }
    };
    let mut held = Vec::new();
    let refusal = loop {
        match open(scene.vfolder).await {
            Ok(archive) => held.push(archive),
            Err(refusal) => break refusal,
        }
    };
    assert_eq!((held.len(), refusal.reason()), (4, Reason::TooManyRequests));
    whole(open(other).await.unwrap()).await.unwrap();
    drop(held);
    let slots = scene.rig.tasks.archives("v").unwrap();
    eventually("all have left", || slots.available_permits() == ARCHIVES).await;
    open(scene.vfolder).await.unwrap();
}

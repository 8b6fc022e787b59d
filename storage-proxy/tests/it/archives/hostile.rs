//! Archives that are made to do harm. None of them writes anything at all: what makes each refused is found before.

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

use tar::{EntryType, Header};
use vfolder_storage_proxy::task::{Existing, FailureKind};

use super::{
    Scene,
    zips::{Entry, deflated, file, zip},
};
use crate::oracle;

/// Type, name, target, content.
type Member<'a> = (u8, &'a [u8], &'a [u8], &'a [u8]);

pub fn tar(entries: &[Member<'_>]) -> Vec<u8> {
    let mut all = Vec::new();
    for (kind, name, target, content) in entries {
        member(&mut all, *kind, name, target, content, content.len() as u64);
    }
    all.extend([0; 1024]);
    all
}

fn member(all: &mut Vec<u8>, kind: u8, name: &[u8], target: &[u8], content: &[u8], size: u64) {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.as_old_mut().linkname[..target.len()].copy_from_slice(target);
    header.set_entry_type(EntryType::new(kind));
    header.set_mode(0o6755);
    header.set_mtime(1);
    header.set_size(size);
    header.set_cksum();
    all.extend(header.as_bytes());
    all.extend(content);
    all.resize(all.len().next_multiple_of(512), 0);
}

/// One whose name is told by a pax header.
fn named(name: &[u8]) -> Vec<u8> {
    let mut length = name.len() + 7;
    while length != name.len() + 7 + length.to_string().len() {
        length = name.len() + 7 + length.to_string().len();
    }
    let record = [format!("{length} path=").as_bytes(), name, b"\n"].concat();
    tar(&[(b'x', b"pax", b"", &record), (b'0', b"short", b"", b"x")])
}

fn sized(size: u64) -> Vec<u8> {
    let mut all = Vec::new();
    member(&mut all, b'0', b"absurd", b"", b"x", size);
    all.extend([0; 1024]);
    all
}

fn with_pax(record: &[u8]) -> Vec<u8> {
    tar(&[(b'x', b"pax", b"", record), (b'0', b"a", b"", b"x")])
}

fn special(name: &str, mode: u32, content: &[u8]) -> Entry {
    Entry {
        mode,
        ..file(name, content)
    }
}

const GOOD: Member<'_> = (b'0', b"good", b"", b"good");

fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    let deep = b"a/".repeat(10_000);
    let whole = tar(&[GOOD]);
    let zipped = zip(&[file("good", b"good")]);
    let mut checksum = whole.clone();
    checksum[0] ^= 1;
    let mut gone = zipped.clone();
    gone.truncate(zipped.len() - 1);
    vec![
        ("parent", tar(&[GOOD, (b'0', b"../evil", b"", b"x")])),
        (
            "parent inside",
            tar(&[GOOD, (b'0', b"a/../../evil", b"", b"x")]),
        ),
        ("absolute", tar(&[GOOD, (b'0', b"/tmp/evil", b"", b"x")])),
        ("dot", tar(&[GOOD, (b'0', b"a/./b", b"", b"x")])),
        ("empty component", tar(&[GOOD, (b'0', b"a//b", b"", b"x")])),
        ("no name", tar(&[GOOD, (b'0', b"", b"", b"x")])),
        ("root as a file", tar(&[GOOD, (b'0', b"./.", b"", b"x")])),
        ("deep", named(&deep)),
        ("long component", named(&[b'a'; 256])),
        ("NUL in the name", named(b"a\0b")),
        ("parent by pax", named(b"../evil")),
        (
            "through a symlink",
            tar(&[
                GOOD,
                (b'2', b"s", b"/tmp", b""),
                (b'0', b"s/evil", b"", b"x"),
            ]),
        ),
        (
            "through a later symlink",
            tar(&[
                GOOD,
                (b'0', b"s/evil", b"", b"x"),
                (b'2', b"t", b"/", b""),
                (b'5', b"t/u", b"", b""),
            ]),
        ),
        (
            "over a symlink",
            tar(&[
                GOOD,
                (b'2', b"s", b"/tmp/evil", b""),
                (b'0', b"s", b"", b"x"),
            ]),
        ),
        (
            "link through a symlink",
            tar(&[
                GOOD,
                (b'2', b"s", b"/etc", b""),
                (b'1', b"h", b"s/passwd", b""),
            ]),
        ),
        (
            "hard link out",
            tar(&[GOOD, (b'1', b"h", b"../../../../etc/passwd", b"")]),
        ),
        (
            "absolute hard link",
            tar(&[GOOD, (b'1', b"h", b"/etc/passwd", b"")]),
        ),
        ("character device", tar(&[GOOD, (b'3', b"null", b"", b"")])),
        ("block device", tar(&[GOOD, (b'4', b"sda", b"", b"")])),
        ("unknown type", tar(&[GOOD, (b'Q', b"q", b"", b"")])),
        ("sparse", tar(&[GOOD, (b'S', b"s", b"", b"")])),
        ("symlink to nothing", tar(&[GOOD, (b'2', b"s", b"", b"")])),
        ("cut off in a header", whole[..100 + 512].to_vec()),
        (
            "cut off in data",
            tar(&[GOOD, (b'0', b"b", b"", &[1; 2000])])[..2048].to_vec(),
        ),
        ("cut off before the end", whole[..1024].to_vec()),
        ("wrong checksum", [&whole[..1024], &checksum[..]].concat()),
        ("largest size", sized(u64::MAX)),
        ("large size", sized(i64::MAX as u64)),
        ("padding overflows", sized(u64::MAX - 1)),
        (
            "pax size overflows",
            with_pax(b"29 size=18446744073709551615\n"),
        ),
        (
            "pax length overflows",
            with_pax(b"18446744073709551617 path=a\n"),
        ),
        ("pax without a value", with_pax(b"8 path=a")),
        ("endless pax", {
            let mut all = Vec::new();
            member(&mut all, b'x', b"pax", b"", b"", 1 << 40);
            all
        }),
        ("endless GNU name", {
            let mut all = Vec::new();
            member(&mut all, b'L', b"././@LongLink", b"", b"", 1 << 40);
            all
        }),
        ("garbage", b"this is no archive at all".repeat(100)),
        ("nothing", Vec::new()),
        (
            "zip: parent",
            zip(&[file("good", b"x"), file("../evil", b"x")]),
        ),
        (
            "zip: absolute",
            zip(&[file("good", b"x"), file("/tmp/evil", b"x")]),
        ),
        ("zip: NUL", zip(&[file("good", b"x"), file("a\0b", b"x")])),
        (
            "zip: through a symlink",
            zip(&[special("s", 0o120_777, b"/tmp"), file("s/evil", b"x")]),
        ),
        (
            "zip: device",
            zip(&[file("good", b"x"), special("null", 0o020_666, b"")]),
        ),
        (
            "zip: socket",
            zip(&[file("good", b"x"), special("socket", 0o140_666, b"")]),
        ),
        (
            "zip: encrypted",
            zip(&[
                file("good", b"x"),
                Entry {
                    flags: 1,
                    ..file("e", b"x")
                },
            ]),
        ),
        (
            "zip: unknown method",
            zip(&[
                file("good", b"x"),
                Entry {
                    method: 99,
                    ..file("e", b"x")
                },
            ]),
        ),
        (
            "zip: another name",
            zip(&[
                file("good", b"x"),
                Entry {
                    local: Some(b"../e".to_vec()),
                    ..file("four", b"x")
                },
            ]),
        ),
        (
            "zip: elsewhere",
            zip(&[
                file("good", b"x"),
                Entry {
                    offset: Some(9),
                    ..file("e", b"x")
                },
            ]),
        ),
        (
            "zip: beyond the end",
            zip(&[
                file("good", b"x"),
                Entry {
                    offset: Some(u32::MAX - 1),
                    ..file("e", b"x")
                },
            ]),
        ),
        (
            "zip: larger than the file",
            zip(&[
                file("good", b"x"),
                Entry {
                    compressed: Some(1 << 30),
                    size: 1 << 30,
                    ..file("e", b"x")
                },
            ]),
        ),
        (
            "zip: two sizes",
            zip(&[
                file("good", b"x"),
                Entry {
                    size: 2,
                    ..file("e", b"x")
                },
            ]),
        ),
        (
            "zip: sizes elsewhere",
            zip(&[
                file("good", b"x"),
                Entry {
                    size: u32::MAX,
                    ..file("e", b"x")
                },
            ]),
        ),
        (
            "zip: the same data twice",
            zip(&[
                deflated("a", &[0; 9000]),
                Entry {
                    offset: Some(0),
                    local: None,
                    ..deflated("a", &[0; 9000])
                },
            ]),
        ),
        ("zip: cut off", gone),
        (
            "zip: only an end",
            b"PK\x05\x06\0\0\0\0\x09\0\x09\0\xff\0\0\0\0\0\0\0\0\0".to_vec(),
        ),
    ]
}

#[tokio::test]
async fn a_hostile_archive_is_refused_before_anything_is_written() {
    let scene = Scene::new();
    let outside = scene.rig.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(scene.tree().join("mine"), "mine").unwrap();
    for (what, archive) in hostile() {
        fs::write(scene.tree().join("archive"), &archive).unwrap();
        let before = oracle::describe(&scene.tree());
        let mut extraction = scene.extraction("archive");
        extraction.max_bytes = u64::MAX;
        let ended = scene.extract(extraction).await;
        let failure = ended
            .failure
            .unwrap_or_else(|| panic!("{what} is unpacked"));
        assert_eq!(
            failure.kind,
            FailureKind::ArchiveInvalid,
            "{what}: {}",
            failure.message
        );
        assert!(
            !failure.retryable && failure.message.contains("the archive"),
            "{what}"
        );
        oracle::assert_same(&before, &oracle::describe(&scene.tree()));
        assert_eq!(scene.rig.count("staging"), 0, "{what}");
    }
    assert!(!Path::new("/tmp/evil").exists());
    assert_eq!(fs::read_dir(outside).unwrap().count(), 0);
}

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

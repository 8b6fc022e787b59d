//! Archives that are made to do harm. None of them writes anything at all: what makes each refused is found before.

use std::{fs, path::Path};

use vfolder_storage_proxy::task::FailureKind;

use super::{
    Scene,
    tars::{GOOD, Member, member, named, sized, tar, with_pax},
    zips::{Entry, deflated, file, zip, zip_of},
};
use crate::oracle;

/// Behind a good one.
fn also(entries: &[Member<'_>]) -> Vec<u8> {
    tar(&[&[GOOD], entries].concat())
}

/// Behind a good one.
fn also_zipped(entry: Entry) -> Vec<u8> {
    zip(&[file("good", b"x"), entry])
}

fn special(name: &str, mode: u32, content: &[u8]) -> Entry {
    Entry {
        mode,
        ..file(name, content)
    }
}

fn hostile_tars() -> Vec<(&'static str, Vec<u8>)> {
    let deep = b"a/".repeat(10_000);
    let whole = tar(&[GOOD]);
    let mut checksum = whole.clone();
    checksum[0] ^= 1;
    let link = (b'2', &b"s"[..], &b"/tmp"[..], &b""[..]);
    let member_of = |name: &'static [u8]| (b'0', name, &b""[..], &b"x"[..]);
    vec![
        ("parent", also(&[member_of(b"../evil")])),
        ("parent inside", also(&[member_of(b"a/../../evil")])),
        ("absolute", also(&[member_of(b"/tmp/evil")])),
        ("dot", also(&[member_of(b"a/./b")])),
        ("empty component", also(&[member_of(b"a//b")])),
        ("no name", also(&[member_of(b"")])),
        ("root as a file", also(&[member_of(b"./.")])),
        ("deep", named(&deep)),
        ("long component", named(&[b'a'; 256])),
        ("NUL in the name", named(b"a\0b")),
        ("parent by pax", named(b"../evil")),
        ("through a symlink", also(&[link, member_of(b"s/evil")])),
        (
            "a directory through a symlink",
            also(&[link, (b'5', b"s/d", b"", b"")]),
        ),
        (
            "a symlink comes last, below it",
            also(&[member_of(b"s/evil"), link]),
        ),
        (
            "a symlink comes last, in its place",
            also(&[member_of(b"s"), link]),
        ),
        ("over a symlink", also(&[link, member_of(b"s")])),
        (
            "a symlink in a directory's place",
            also(&[(b'5', b"s", b"", b""), link]),
        ),
        ("below a file", also(&[member_of(b"f"), member_of(b"f/x")])),
        (
            "over a directory",
            also(&[member_of(b"d/x"), member_of(b"d")]),
        ),
        (
            "a directory over a file",
            also(&[member_of(b"f"), (b'5', b"f", b"", b"")]),
        ),
        (
            "link through a symlink",
            also(&[link, (b'1', b"h", b"s/passwd", b"")]),
        ),
        (
            "link through a symlink that comes last",
            also(&[(b'1', b"h", b"s/x", b""), link]),
        ),
        (
            "hard link out",
            also(&[(b'1', b"h", b"../../../../etc/passwd", b"")]),
        ),
        (
            "absolute hard link",
            also(&[(b'1', b"h", b"/etc/passwd", b"")]),
        ),
        ("character device", also(&[(b'3', b"null", b"", b"")])),
        ("block device", also(&[(b'4', b"sda", b"", b"")])),
        ("unknown type", also(&[(b'Q', b"q", b"", b"")])),
        ("sparse", also(&[(b'S', b"s", b"", b"")])),
        ("symlink to nothing", also(&[(b'2', b"s", b"", b"")])),
        ("cut off in a header", whole[..100 + 512].to_vec()),
        (
            "cut off in data",
            also(&[(b'0', b"b", b"", &[1; 2000])])[..2048].to_vec(),
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
    ]
}

fn hostile_zips() -> Vec<(&'static str, Vec<u8>)> {
    let e = || file("e", b"x");
    let two = [file("good", b"x"), e()];
    let whole = zip(&two);
    let cut_off = whole[..whole.len() - 1].to_vec();
    vec![
        ("zip: parent", also_zipped(file("../evil", b"x"))),
        ("zip: absolute", also_zipped(file("/tmp/evil", b"x"))),
        ("zip: NUL", also_zipped(file("a\0b", b"x"))),
        (
            "zip: through a symlink",
            zip(&[special("s", 0o120_777, b"/tmp"), file("s/evil", b"x")]),
        ),
        (
            "zip: a symlink comes last",
            zip(&[file("s/evil", b"x"), special("s", 0o120_777, b"/tmp")]),
        ),
        ("zip: device", also_zipped(special("null", 0o020_666, b""))),
        (
            "zip: socket",
            also_zipped(special("socket", 0o140_666, b"")),
        ),
        ("zip: encrypted", also_zipped(Entry { flags: 1, ..e() })),
        (
            "zip: unknown method",
            also_zipped(Entry { method: 99, ..e() }),
        ),
        (
            "zip: another name",
            also_zipped(Entry {
                local: Some(b"../e".to_vec()),
                ..file("four", b"x")
            }),
        ),
        (
            "zip: elsewhere",
            also_zipped(Entry {
                offset: Some(9),
                ..e()
            }),
        ),
        (
            "zip: beyond the end",
            also_zipped(Entry {
                offset: Some(u32::MAX - 1),
                ..e()
            }),
        ),
        (
            "zip: larger than the file",
            also_zipped(Entry {
                compressed: Some(1 << 30),
                size: 1 << 30,
                ..e()
            }),
        ),
        ("zip: two sizes", also_zipped(Entry { size: 2, ..e() })),
        (
            "zip: sizes elsewhere",
            also_zipped(Entry {
                size: u32::MAX,
                ..e()
            }),
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
        ("zip: fewer entries than it has", zip_of(&two, 1)),
        ("zip: more entries than it has", zip_of(&two, 3)),
        ("zip: cut off", cut_off),
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
    for (what, archive) in [hostile_tars(), hostile_zips()].concat() {
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

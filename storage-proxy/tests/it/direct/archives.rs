//! Archives over plain HTTP, unpacked by the tools that people have.

use std::{fs, process::Command};

use vfolder_common::token::GrantMode;

use super::{Direct, as_bearer, noise};

#[tokio::test]
async fn an_archive_of_each_format_unpacks_to_what_was_asked_for() {
    let direct = Direct::start().await;
    let tree = direct.tree();
    for dir in ["a/b", "c", "left out"] {
        fs::create_dir_all(tree.join(dir)).unwrap();
        fs::write(tree.join(dir).join("f"), noise(100_000)).unwrap();
    }
    for (format, kind, tool) in [
        ("tar", "application/x-tar", &["tar", "-xf"][..]),
        ("tar.gz", "application/gzip", &["tar", "-xzf"]),
        (
            "zip",
            "application/zip",
            &["python3", "-m", "zipfile", "-e"],
        ),
    ] {
        let url = format!(
            "{}/archive?format={format}&path=a&path=c%2ff",
            direct.base()
        );
        let got = direct.read(&[&url]);
        assert_eq!((got.status, got.complete), (200, true), "{format}");
        assert_eq!(got.header("content-type"), kind);
        let name = format!("attachment; filename=\"archive.{format}\"");
        assert_eq!(got.header("content-disposition"), name);
        assert_eq!(got.header("x-content-type-options"), "nosniff");
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("archive");
        fs::write(&archive, &got.body).unwrap();
        let mut unpack = Command::new(tool[0]);
        unpack
            .args(&tool[1..])
            .arg(&archive)
            .current_dir(dir.path());
        if format == "zip" {
            unpack.arg(".");
        }
        let done = unpack.output().unwrap();
        assert!(done.status.success(), "{format}: {done:?}");
        for file in ["a/b/f", "c/f"] {
            assert!(fs::read(dir.path().join(file)).unwrap() == fs::read(tree.join(file)).unwrap());
        }
        assert!(!dir.path().join("left out").exists());
    }
}

#[tokio::test]
async fn an_archive_has_nothing_that_the_grant_is_not_for() {
    let direct = Direct::start().await;
    for dir in ["a", "ab"] {
        fs::create_dir(direct.tree().join(dir)).unwrap();
        fs::write(direct.tree().join(dir).join("secret"), dir).unwrap();
    }
    let grant = direct.grant(GrantMode::ReadOnly, b"a");
    let archive = |query: &str| {
        let url = format!("{}/archive?{query}", direct.base());
        as_bearer(&grant, &[&url])
    };
    // Nothing said: all that the grant is for.
    let got = archive("format=tar");
    assert_eq!(got.status, 200);
    let has = |name: &[u8]| got.body.windows(name.len()).any(|part| part == name);
    assert!(has(b"a/secret") && !has(b"ab/secret"));
    for beside in ["path=ab", "path=", "path=a&path=ab/secret"] {
        archive(beside).assert_refused(403, "GRANT_TOO_SMALL");
    }
    for wrong in ["path=../a", "path=a//b", "format=rar", "path=%zz"] {
        archive(wrong).assert_refused(400, "FIELD_INVALID");
    }
    archive("path=a/missing").assert_refused(404, "FILE_NOT_FOUND");
    let url = format!("{}/archive", direct.base());
    let head = as_bearer(&grant, &["-I", &url]);
    assert_eq!(
        (head.status, head.header("content-type")),
        (200, "application/zip")
    );
    assert_eq!(head.header("accept-ranges"), "none");
    // Nobody knows it before it is made.
    assert!(!head.headers.contains_key("content-length"), "{head:?}");
    let url = format!("{}/archive?path=a/missing", direct.base());
    let head = as_bearer(&grant, &["-I", &url]);
    // A refusal of HEAD has no body to say why.
    assert_eq!(
        (head.status, head.header("vfolder-reason")),
        (404, "FILE_NOT_FOUND")
    );
    assert_ne!(head.header("content-length"), "0");
}

#[tokio::test]
async fn an_archive_is_not_sent_where_its_end_can_not_be_told_from_a_broken_connection() {
    let direct = Direct::start().await;
    let url = format!("{}/archive?format=tar", direct.base());
    let old = direct.read(&["--http1.0", &url]);
    old.assert_refused(505, "FIELD_INVALID");
    assert_eq!(direct.read(&[&url]).status, 200);
    fs::write(direct.tree().join("f"), "data").unwrap();
    // A file has a length.
    assert_eq!(direct.read(&["--http1.0", &direct.file("f")]).body, b"data");
}

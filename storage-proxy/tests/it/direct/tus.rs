//! tus, message by message. tests/clients has the same with a client that others have written.

use std::{fs, io::Write as _, net::TcpStream};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha1::{Digest as _, Sha1};
use sha2::Sha256;
use vfolder_common::token::GrantMode;

use super::{Answer, Direct, noise};
use crate::support::eventually;

mod refused;
mod resumed;

const TUS: [&str; 2] = ["-H", "Tus-Resumable: 1.0.0"];
const BYTES: [&str; 2] = ["-H", "Content-Type: application/offset+octet-stream"];

fn metadata(pairs: &[(&str, &[u8])]) -> String {
    let pairs = pairs.iter();
    let pairs: Vec<_> = pairs
        .map(|(key, value)| format!("{key} {}", STANDARD.encode(value)))
        .collect();
    format!("Upload-Metadata: {}", pairs.join(","))
}

impl Direct {
    fn post(&self, arguments: &[&str]) -> Answer {
        let url = format!("{}/uploads", self.base());
        self.write(&[&["-X", "POST", &url][..], &TUS, arguments].concat())
    }

    /// Begins an upload, and its URL.
    fn begin(&self, length: &str, metadata: &str) -> String {
        let made = self.post(&["-H", length, "-H", metadata]);
        assert_eq!(made.status, 201, "{made:?}");
        assert_eq!(made.header("tus-resumable"), "1.0.0");
        format!("{}{}", self.url, made.header("location"))
    }

    fn patch(&self, url: &str, offset: usize, data: &[u8], more: &[&str]) -> Answer {
        let file = self.proxy.dir.path().join("chunk");
        fs::write(&file, data).unwrap();
        let (offset, data) = (
            format!("Upload-Offset: {offset}"),
            format!("@{}", file.display()),
        );
        let patch = ["-X", "PATCH", "-H", &offset, "--data-binary", &data, url];
        self.write(&[&patch[..], &TUS, &BYTES, more].concat())
    }

    fn head(&self, url: &str) -> Answer {
        self.write(&[&["-I", url][..], &TUS].concat())
    }
}

fn checksum(algorithm: &str, data: &[u8]) -> String {
    let digest = match algorithm {
        "sha1" => STANDARD.encode(Sha1::digest(data)),
        _ => STANDARD.encode(Sha256::digest(data)),
    };
    format!("Upload-Checksum: {algorithm} {digest}")
}

#[tokio::test]
async fn an_upload_arrives_in_pieces_and_appears_whole_with_its_last() {
    let direct = Direct::start().await;
    let data = noise(1_000_000);
    let says = metadata(&[
        ("filename", b"new/dir/f\xff.bin"),
        ("filetype", b"text/html"),
    ]);
    let url = direct.begin("Upload-Length: 1000000", &says);
    let file = direct.tree().join("new/dir");
    let mut at = 0;
    for end in [1, 400_000, 400_000, 999_999] {
        let sent = direct.patch(&url, at, &data[at..end], &[]);
        assert_eq!(
            (sent.status, sent.header("upload-offset")),
            (204, end.to_string().as_str()),
            "{sent:?}"
        );
        assert!(sent.header("upload-expires").ends_with(" GMT"));
        at = end;
        let is = direct.head(&url);
        assert_eq!(
            (is.status, is.header("upload-offset")),
            (200, end.to_string().as_str())
        );
        assert_eq!(
            (is.header("upload-length"), is.header("cache-control")),
            ("1000000", "no-store")
        );
        assert_eq!(
            format!("Upload-Metadata: {}", is.header("upload-metadata")),
            says
        );
        assert!(!file.exists());
    }
    // Nobody goes on from elsewhere.
    let elsewhere = direct.patch(&url, 5, b"x", &[]);
    elsewhere.assert_refused(409, "FIELD_INVALID");
    assert_eq!(elsewhere.header("upload-offset"), "999999");
    let last = direct.patch(&url, at, &data[at..], &[]);
    assert_eq!(
        (last.status, last.header("upload-offset")),
        (204, "1000000")
    );
    let landed: Vec<_> = fs::read_dir(&file)
        .unwrap()
        .map(|one| one.unwrap().path())
        .collect();
    assert_eq!(landed.len(), 1);
    assert!(fs::read(&landed[0]).unwrap() == data);
    assert_eq!(direct.head(&url).header("upload-offset"), "1000000");
    assert!(direct.read(&[&direct.file("new/dir/f%ff.bin")]).body == data);
}

#[tokio::test]
async fn all_of_it_may_come_with_the_first_request() {
    let direct = Direct::start().await;
    let says = |name: &[u8]| metadata(&[("filename", name)]);
    let whole = direct.post(
        &[
            &[
                "-H",
                "Upload-Length: 4",
                "-H",
                &says(b"whole"),
                "--data-binary",
                "data",
            ][..],
            &BYTES,
        ]
        .concat(),
    );
    assert_eq!(
        (whole.status, whole.header("upload-offset")),
        (201, "4"),
        "{whole:?}"
    );
    assert_eq!(fs::read(direct.tree().join("whole")).unwrap(), b"data");
    let empty = direct.post(&["-H", "Upload-Length: 0", "-H", &says(b"empty")]);
    assert_eq!(empty.status, 201);
    assert_eq!(fs::read(direct.tree().join("empty")).unwrap(), b"");
    let half = direct.post(
        &[
            &[
                "-H",
                "Upload-Length: 8",
                "-H",
                &says(b"half"),
                "--data-binary",
                "data",
            ][..],
            &BYTES,
        ]
        .concat(),
    );
    assert_eq!((half.status, half.header("upload-offset")), (201, "4"));
    let url = format!("{}{}", direct.url, half.header("location"));
    assert_eq!(direct.patch(&url, 4, b"more", &[]).status, 204);
    assert_eq!(fs::read(direct.tree().join("half")).unwrap(), b"datamore");
}

#[tokio::test]
async fn the_length_may_come_later_but_only_once() {
    let direct = Direct::start().await;
    let url = direct.begin("Upload-Defer-Length: 1", &metadata(&[("filename", b"f")]));
    assert_eq!(direct.patch(&url, 0, b"data", &[]).status, 204);
    let is = direct.head(&url);
    assert_eq!(
        (is.header("upload-defer-length"), is.header("upload-length")),
        ("1", "")
    );
    assert_eq!(
        direct
            .patch(&url, 4, b"", &["-H", "Upload-Length: 6"])
            .status,
        204
    );
    let other = direct.patch(&url, 4, b"", &["-H", "Upload-Length: 7"]);
    assert!((400..500).contains(&other.status), "{other:?}");
    // What comes beyond it is refused.
    let beyond = direct.patch(&url, 4, b"+more", &[]);
    assert!((400..500).contains(&beyond.status), "{beyond:?}");
    assert!(!direct.tree().join("f").exists());
    let at: usize = direct.head(&url).header("upload-offset").parse().unwrap();
    assert_eq!(direct.patch(&url, at, &b"data+m"[at..], &[]).status, 204);
    assert_eq!(fs::read(direct.tree().join("f")).unwrap(), b"data+m");
}

#[tokio::test]
async fn bytes_that_are_not_what_their_checksum_says_do_not_count() {
    let direct = Direct::start().await;
    // More than what is written at once.
    let (good, bad) = (noise(5_000_000), noise(5_000_001));
    for algorithm in ["sha1", "sha256"] {
        let url = direct.begin(
            "Upload-Length: 10000000",
            &metadata(&[("filename", algorithm.as_bytes())]),
        );
        let sum = checksum(algorithm, &good);
        let wrong = direct.patch(&url, 0, &bad[..5_000_000], &["-H", &sum]);
        wrong.assert_refused(460, "DIGEST_MISMATCH");
        assert_eq!(direct.head(&url).header("upload-offset"), "0");
        let right = direct.patch(&url, 0, &good, &["-H", &sum]);
        assert_eq!(
            (right.status, right.header("upload-offset")),
            (204, "5000000"),
            "{right:?}"
        );
        // The last piece, too: nothing appears in the tree.
        direct
            .patch(&url, 5_000_000, &bad[..5_000_000], &["-H", &sum])
            .assert_refused(460, "DIGEST_MISMATCH");
        assert!(!direct.tree().join(algorithm).exists());
        assert_eq!(
            direct.patch(&url, 5_000_000, &good, &["-H", &sum]).status,
            204
        );
        assert!(fs::read(direct.tree().join(algorithm)).unwrap() == [&good[..], &good].concat());
    }
    let url = direct.begin("Upload-Length: 1", &metadata(&[("filename", b"f")]));
    direct
        .patch(&url, 0, b"x", &["-H", "Upload-Checksum: md5 AAAA"])
        .assert_refused(400, "FIELD_INVALID");
}

#[tokio::test]
async fn what_can_not_appear_is_told_and_told_again_and_can_be_given_up() {
    let direct = Direct::start().await;
    fs::write(direct.tree().join("taken"), "old").unwrap();
    let taken = metadata(&[("filename", b"taken")]);
    let begun = direct.post(&["-H", "Upload-Length: 3", "-H", &taken]);
    if begun.status == 201 {
        let url = format!("{}{}", direct.url, begun.header("location"));
        direct
            .patch(&url, 0, b"new", &[])
            .assert_refused(409, "FILE_EXISTS");
    } else {
        begun.assert_refused(409, "FILE_EXISTS");
    }
    // Taken only after it was begun.
    let url = direct.begin("Upload-Length: 3", &metadata(&[("filename", b"late")]));
    fs::write(direct.tree().join("late"), "old").unwrap();
    direct
        .patch(&url, 0, b"new", &[])
        .assert_refused(409, "FILE_EXISTS");
    // A full offset would be taken for success.
    assert_eq!(direct.head(&url).status, 409);
    assert_eq!(fs::read(direct.tree().join("late")).unwrap(), b"old");
    fs::remove_file(direct.tree().join("late")).unwrap();
    assert_eq!(direct.head(&url).status, 200);
    assert_eq!(fs::read(direct.tree().join("late")).unwrap(), b"new");

    let replace = metadata(&[("filename", b"taken"), ("replace", b"true")]);
    let url = direct.begin("Upload-Length: 3", &replace);
    assert_eq!(direct.patch(&url, 0, b"new", &[]).status, 204);
    assert_eq!(fs::read(direct.tree().join("taken")).unwrap(), b"new");

    let url = direct.begin("Upload-Length: 3", &metadata(&[("filename", b"given up")]));
    assert_eq!(
        direct
            .write(&[&["-X", "DELETE", &url][..], &TUS].concat())
            .status,
        204
    );
    assert_eq!(direct.head(&url).status, 404);
    direct
        .patch(&url, 0, b"new", &[])
        .assert_refused(404, "UPLOAD_NOT_FOUND");
}

#[tokio::test]
async fn of_a_creation_whose_bytes_fail_nothing_is_left_or_it_is_said_where() {
    let direct = Direct::start_armed("upload.landing=ENOSPC@1").await;
    let uploads = direct.proxy.dir.path().join("v/uploads");
    let nothing_is_left = || fs::read_dir(&uploads).unwrap().count() == 0;
    let name = metadata(&[("filename", b"f")]);
    let wrong = checksum("sha256", b"other");
    let creation = [
        "-H",
        "Upload-Length: 4",
        "-H",
        &name,
        "--data-binary",
        "data",
    ];
    direct
        .post(&[&creation[..], &BYTES, &["-H", &wrong]].concat())
        .assert_refused(460, "DIGEST_MISMATCH");
    eventually("nothing is left", nothing_is_left).await;
    // A client that goes away before it is told where.
    let (grant, url) = (direct.grant(GrantMode::ReadWrite, b""), direct.base());
    let path = url.strip_prefix(&direct.url).unwrap();
    let request = format!(
        "POST {path}/uploads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {grant}\r\nTus-Resumable: 1.0.0\r\n\
         Content-Type: application/offset+octet-stream\r\nUpload-Length: 100\r\n{name}\r\nContent-Length: 100\r\n\r\nsome"
    );
    let mut connection = TcpStream::connect(direct.address()).unwrap();
    connection.write_all(request.as_bytes()).unwrap();
    eventually("it is begun", || !nothing_is_left()).await;
    drop(connection);
    eventually("nothing is left", nothing_is_left).await;
    // All of it has arrived, and can't land.
    let full = direct.post(&[&creation[..], &BYTES].concat());
    full.assert_refused(507, "VOLUME_FULL");
    assert_eq!(full.header("upload-offset"), "4");
    let url = format!("{}{}", direct.url, full.header("location"));
    assert_eq!(direct.head(&url).status, 200);
    assert_eq!(fs::read(direct.tree().join("f")).unwrap(), b"data");
}

#[tokio::test]
async fn a_length_that_could_not_be_noted_is_noted_when_it_comes_again() {
    let direct = Direct::start_armed("upload.announce=ENOSPC@1").await;
    let url = direct.begin("Upload-Defer-Length: 1", &metadata(&[("filename", b"f")]));
    let length = ["-H", "Upload-Length: 6"];
    direct
        .patch(&url, 0, b"data", &length)
        .assert_refused(507, "VOLUME_FULL");
    assert_eq!(direct.head(&url).header("upload-length"), "");
    assert_eq!(direct.patch(&url, 0, b"data", &length).status, 204);
    let again = direct.again().await;
    let host = url.split('/').nth(2).unwrap();
    let url = url.replace(host, again.address());
    let is = again.head(&url);
    let told = (is.header("upload-length"), is.header("upload-offset"));
    assert_eq!(told, ("6", "4"));
}

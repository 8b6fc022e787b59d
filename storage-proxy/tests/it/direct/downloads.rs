//! Files over plain HTTP: whole, in parts, and only if they have changed.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    process::Command,
    time::{Duration, SystemTime},
};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use vfolder_common::token::GrantMode;

use super::{Direct, noise};

#[tokio::test]
async fn a_file_comes_whole_with_all_that_a_cache_needs() {
    let direct = Direct::start().await;
    let data = noise((3 << 20) + 17);
    fs::create_dir(direct.tree().join("d")).unwrap();
    fs::write(direct.tree().join("d/f.html"), &data).unwrap();
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let got = direct.read(&[version, &direct.file("d/f.html")]);
        assert_eq!((got.status, got.complete), (200, true));
        assert!(got.body == data, "{version}");
        assert_eq!(got.header("content-length"), data.len().to_string());
        assert_eq!(got.header("accept-ranges"), "bytes");
        // Whoever has uploaded it does not decide what a browser makes of it.
        assert_eq!(got.header("content-type"), "application/octet-stream");
        assert_eq!(got.header("x-content-type-options"), "nosniff");
        assert_eq!(got.header("referrer-policy"), "no-referrer");
        assert!(got.header("content-security-policy").contains("sandbox"));
        assert_eq!(
            got.header("content-disposition"),
            "attachment; filename=\"f.html\""
        );
        assert_eq!(got.header("cache-control"), "private, no-cache");

        let head = direct.read(&[version, "-I", &direct.file("d/f.html")]);
        assert_eq!(
            (head.status, head.header("content-length")),
            (200, got.header("content-length"))
        );
        assert_eq!(head.header("etag"), got.header("etag"));
        assert!(got.header("etag").starts_with('"') && got.header("etag").len() > 16);
    }
    fs::write(direct.tree().join("empty"), "").unwrap();
    let got = direct.read(&[&direct.file("empty")]);
    assert_eq!(
        (got.status, got.header("content-length"), got.body.len()),
        (200, "0", 0)
    );
}

#[tokio::test]
async fn one_range_is_a_part_and_several_are_the_whole() {
    let direct = Direct::start().await;
    let data = noise(1_000_000);
    fs::write(direct.tree().join("f"), &data).unwrap();
    let url = direct.file("f");
    for (range, part) in [
        ("0-0", 0..1),
        ("100-199", 100..200),
        ("999990-", 999_990..1_000_000),
        ("-10", 999_990..1_000_000),
        ("5-99999999999999999999", 5..1_000_000),
    ] {
        let got = direct.read(&["-r", range, &url]);
        let shown = format!("bytes {}-{}/1000000", part.start, part.end - 1);
        assert_eq!(
            (got.status, got.header("content-range")),
            (206, shown.as_str())
        );
        assert!(got.body == data[part], "{range}");
    }
    for beyond in ["1000000-", "99999999999999999999-", "-0"] {
        let got = direct.read(&["-r", beyond, &url]);
        got.assert_refused(416, "FIELD_INVALID");
        assert_eq!(got.header("content-range"), "bytes */1000000");
    }
    for ignored in ["0-1,5-6", "5-2"] {
        let range = format!("Range: bytes={ignored}");
        let got = direct.read(&["-H", &range, &url]);
        assert_eq!((got.status, got.body.len()), (200, data.len()), "{ignored}");
    }
    let head = direct.read(&["-I", "-r", "0-9", &url]);
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, "1000000")
    );
}

#[tokio::test]
async fn curl_goes_on_with_a_download_that_broke_off() {
    let direct = Direct::start().await;
    let data = noise(2_000_000);
    fs::write(direct.tree().join("f"), &data).unwrap();
    let part = direct.proxy.dir.path().join("part");
    for have in [0, 1, 1_234_567, data.len()] {
        fs::write(&part, &data[..have]).unwrap();
        let grant = direct.grant(GrantMode::ReadOnly, b"");
        let bearer = format!("Authorization: Bearer {grant}");
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-C", "-", "-H", &bearer, &direct.file("f"), "-o"]);
        curl.arg(&part);
        // Who has all of it is told 416, which curl knows to be success, but not with this.
        if have < data.len() {
            curl.arg("-f");
        }
        let done = curl.output().unwrap();
        assert!(done.status.success(), "{done:?}");
        assert!(fs::read(&part).unwrap() == data, "from {have}");
    }
}

#[tokio::test]
async fn who_has_half_of_an_old_version_gets_all_of_the_new_one() {
    let direct = Direct::start().await;
    let (path, url) = (direct.tree().join("f"), direct.file("f"));
    fs::write(&path, noise(1_000)).unwrap();
    let first = direct.read(&[&url]);
    let if_range = |value: &str| format!("If-Range: {value}");
    let etag = if_range(first.header("etag"));
    let same = direct.read(&["-r", "500-", "-H", &etag, &url]);
    assert_eq!((same.status, same.body.len()), (206, 500));
    // As long as before, and of the same second.
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let new = vec![7; 1_000];
    let changed = fs::metadata(&path).unwrap().ctime_nsec();
    // Until the filesystem's clock has ticked.
    while fs::metadata(&path).unwrap().ctime_nsec() == changed {
        fs::write(&path, &new).unwrap();
    }
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(modified)
        .unwrap();
    for stale in [etag, if_range(first.header("last-modified"))] {
        let got = direct.read(&["-r", "500-", "-H", &stale, &url]);
        assert_eq!((got.status, got.body == new), (200, true), "{stale}");
        assert_eq!(got.header("content-range"), "");
    }
}

#[tokio::test]
async fn conditions_save_a_transfer_or_stop_it() {
    let direct = Direct::start().await;
    let (path, url) = (direct.tree().join("f"), direct.file("f"));
    fs::write(&path, "data").unwrap();
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(long_ago)
        .unwrap();
    let is = direct.read(&["-I", &url]);
    assert_eq!(is.header("last-modified"), "Sun, 09 Sep 2001 01:46:40 GMT");
    let etag = is.header("etag");
    for (header, expected) in [
        (format!("If-None-Match: {etag}"), 304),
        (format!("If-None-Match: W/{etag}"), 304),
        ("If-None-Match: \"x\"".into(), 200),
        (
            format!("If-Modified-Since: {}", is.header("last-modified")),
            304,
        ),
        (
            "If-Modified-Since: Sun, 09 Sep 2001 01:46:39 GMT".into(),
            200,
        ),
        (format!("If-Match: \"x\", {etag}"), 200),
        ("If-Match: \"x\"".into(), 412),
        (
            "If-Unmodified-Since: Sun, 09 Sep 2001 01:46:39 GMT".into(),
            412,
        ),
    ] {
        let got = direct.read(&["-H", &header, &url]);
        assert_eq!(got.status, expected, "{header}");
        match expected {
            200 => assert_eq!(got.body, b"data"),
            304 => assert_eq!((got.body.len(), got.header("etag")), (0, etag)),
            _ => got.assert_refused(412, "ETAG_MISMATCH"),
        }
    }
}

#[tokio::test]
async fn nothing_but_a_regular_file_is_sent() {
    let direct = Direct::start().await;
    let tree = direct.tree();
    let secret = direct.proxy.dir.path().join("secret");
    fs::create_dir(tree.join("d")).unwrap();
    std::os::unix::fs::symlink(&secret, tree.join("out")).unwrap();
    std::os::unix::fs::symlink("/", tree.join("root")).unwrap();
    std::os::unix::fs::symlink("self", tree.join("self")).unwrap();
    mknodat(CWD, tree.join("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    let secret_by_root = format!("root{}", secret.to_str().unwrap());
    for (path, status, reason) in [
        ("", 409, "NOT_A_FILE"),
        ("d", 409, "NOT_A_FILE"),
        ("fifo", 409, "NOT_A_FILE"),
        ("missing", 404, "FILE_NOT_FOUND"),
        ("d/missing", 404, "FILE_NOT_FOUND"),
        (&secret_by_root, 409, "SYMLINK_IN_PATH"),
    ] {
        direct
            .read(&[&direct.file(path)])
            .assert_refused(status, reason);
    }
    for path in ["out", "self", "root"] {
        let got = direct.read(&[&direct.file(path)]);
        assert_eq!(got.status, 409, "{path}: {got:?}");
    }
}

/// Whoever writes a file may set its date; a cache that believed it would never ask again (RFC 9110 §8.8.2.1).
#[tokio::test]
async fn no_file_was_changed_in_the_future() {
    let direct = Direct::start().await;
    let file = fs::File::create(direct.tree().join("f")).unwrap();
    let later = SystemTime::now() + Duration::from_secs(1_000_000);
    file.set_modified(later).unwrap();
    let got = direct.read(&[&direct.file("f")]);
    let date = |name: &str| httpdate::parse_http_date(got.header(name)).unwrap();
    assert!(date("last-modified") <= date("date"), "{got:?}");
}

//! Names of any bytes, from a URL to the name that a browser keeps a download under.

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt as _};

use super::Direct;

#[tokio::test]
async fn a_file_of_any_name_is_reached_and_keeps_it() {
    let direct = Direct::start().await;
    for (name, encoded, shown) in [
        (
            &b"plain.txt"[..],
            "plain.txt",
            "attachment; filename=\"plain.txt\"",
        ),
        (b"a b+c&d", "a%20b+c&d", "attachment; filename=\"a b+c&d\""),
        (
            "é€.txt".as_bytes(),
            "%C3%A9%E2%82%AC.txt",
            "attachment; filename=\"__.txt\"; filename*=UTF-8''%C3%A9%E2%82%AC.txt",
        ),
        (
            b"\xff\xfe",
            "%ff%FE",
            "attachment; filename=\"__\"; filename*=UTF-8''%EF%BF%BD%EF%BF%BD",
        ),
        (
            b"a\"; filename=\"evil.exe\r\nX: y",
            "a%22%3B%20filename=%22evil.exe%0d%0aX%3A%20y",
            "attachment; filename=\"a_; filename=_evil.exe__X: y\"; filename*=UTF-8''a%22%3B%20filename%3D%22evil.exe%0D%0AX%3A%20y",
        ),
        (
            b"100%",
            "100%25",
            "attachment; filename=\"100_\"; filename*=UTF-8''100%25",
        ),
        (
            b"%2e%2e",
            "%252e%252e",
            "attachment; filename=\"_2e_2e\"; filename*=UTF-8''%252e%252e",
        ),
        (b"?#", "%3f%23", "attachment; filename=\"?#\""),
    ] {
        fs::write(direct.tree().join(OsStr::from_bytes(name)), name).unwrap();
        let got = direct.read(&[&direct.file(encoded)]);
        assert_eq!((got.status, &got.body[..]), (200, name), "{encoded}");
        assert_eq!(got.header("content-disposition"), shown);
        assert!(!got.headers.contains_key("x"), "{encoded}");
    }
}

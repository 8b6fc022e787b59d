//! What is no proper tus.

use std::fs;

use super::{BYTES, TUS, metadata};
use crate::direct::{Direct, curl};

#[tokio::test]
async fn what_is_no_proper_tus_is_refused_and_says_how() {
    let direct = Direct::start().await;
    let uploads = format!("{}/uploads", direct.base());
    let able = curl(&["-X", "OPTIONS", &uploads]);
    assert_eq!((able.status, able.header("tus-version")), (204, "1.0.0"));
    for extension in [
        "creation",
        "creation-with-upload",
        "creation-defer-length",
        "checksum",
        "expiration",
        "termination",
    ] {
        assert!(
            able.header("tus-extension")
                .split(',')
                .any(|one| one == extension),
            "{extension}"
        );
    }
    assert_eq!(able.header("tus-checksum-algorithm"), "sha1,sha256");
    let says = metadata(&[("filename", b"f")]);
    let other = direct.write(&[
        "-X",
        "POST",
        "-H",
        "Tus-Resumable: 0.2.2",
        "-H",
        "Upload-Length: 1",
        "-H",
        &says,
        &uploads,
    ]);
    other.assert_refused(412, "FIELD_INVALID");
    assert_eq!(other.header("tus-version"), "1.0.0");
    for bad in [
        &["-H", &says][..],
        &["-H", "Upload-Length: 1"],
        &["-H", "Upload-Length: -1", "-H", &says],
        &[
            "-H",
            "Upload-Length: 1",
            "-H",
            "Upload-Defer-Length: 1",
            "-H",
            &says,
        ],
        &["-H", "Upload-Defer-Length: 2", "-H", &says],
        &[
            "-H",
            "Upload-Length: 1",
            "-H",
            "Upload-Metadata: filename ???",
        ],
        &[
            "-H",
            "Upload-Length: 1",
            "-H",
            &metadata(&[("filename", b"../f")]),
        ],
        &[
            "-H",
            "Upload-Length: 1",
            "-H",
            &metadata(&[("filename", b"/etc/f")]),
        ],
    ] {
        direct.post(bad).assert_refused(400, "FIELD_INVALID");
    }
    direct
        .post(&["-H", "Upload-Length: 99999999999999999999", "-H", &says])
        .assert_refused(413, "FIELD_INVALID");
    let url = direct.begin("Upload-Length: 4", &says);
    let plain = direct.write(
        &[
            &[
                "-X",
                "PATCH",
                "-H",
                "Upload-Offset: 0",
                "-H",
                "Content-Type: text/plain",
                "--data-binary",
                "data",
                &url,
            ][..],
            &TUS,
        ]
        .concat(),
    );
    plain.assert_refused(415, "FIELD_INVALID");
    let wrong = direct.write(&[&["-X", "PUT", &url][..], &TUS].concat());
    wrong.assert_refused(405, "METHOD_UNKNOWN");
    assert!(wrong.header("allow").contains("PATCH"));
    // Where only POST gets through.
    let over = direct.write(
        &[
            &[
                "-X",
                "POST",
                "-H",
                "X-HTTP-Method-Override: PATCH",
                "-H",
                "Upload-Offset: 0",
                "--data-binary",
                "data",
                &url,
            ][..],
            &TUS,
            &BYTES,
        ]
        .concat(),
    );
    assert_eq!(over.status, 204, "{over:?}");
    assert_eq!(fs::read(direct.tree().join("f")).unwrap(), b"data");
}

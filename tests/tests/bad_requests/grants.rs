//! Grants.

use bytes::Bytes;
use vfolder_proto::v1::CreateGrantRequest;

use super::{List, seconds};

pub(super) fn grants(list: &mut List, id: &str) {
    let create = "vfolder.v1.GrantService/CreateGrant";
    let good = || CreateGrantRequest {
        vfolder_id: id.into(),
        ..CreateGrantRequest::default()
    };
    list.add(
        create,
        "an unknown mode",
        CreateGrantRequest { mode: 99, ..good() },
        &["mode"],
    );
    for path in ["..", "../other", "a/../../b", "/etc", "a//b", "a/", "a\0b"] {
        let request = CreateGrantRequest {
            path: path.into(),
            ..good()
        };
        list.add(create, path, request, &["path"]);
        let request = CreateGrantRequest {
            path_bytes: Bytes::copy_from_slice(path.as_bytes()),
            ..good()
        };
        list.add(create, path, request, &["path_bytes"]);
    }
    let request = CreateGrantRequest {
        path: "a".into(),
        path_bytes: Bytes::from_static(b"a"),
        ..good()
    };
    list.add(create, "two paths", request, &["path_bytes"]);
    for (what, ttl) in [
        ("no time to live", seconds(0)),
        ("a negative time to live", seconds(-60)),
        ("25 hours to live", seconds(25 * 3600)),
    ] {
        list.add(create, what, CreateGrantRequest { ttl, ..good() }, &["ttl"]);
    }
    let all = CreateGrantRequest {
        mode: 99,
        path: "..".into(),
        ttl: seconds(0),
        ..good()
    };
    list.add(create, "everything", all, &["mode", "path", "ttl"]);
}

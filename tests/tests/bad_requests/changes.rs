//! Changes of a record.

use prost_types::FieldMask;
use vfolder_proto::v1::{
    DeleteVFolderRequest, ResetStatusRequest, UpdateVFolderRequest, VFolder, VerifyVFolderRequest,
};

use super::{List, seconds};

pub(super) fn changes(list: &mut List, id: &str) {
    let update = "vfolder.v1.VFolderService/UpdateVFolder";
    let masked = |paths: &[&str], vfolder: VFolder| UpdateVFolderRequest {
        vfolder: Some(VFolder {
            id: id.into(),
            ..vfolder
        }),
        update_mask: Some(FieldMask {
            paths: paths.iter().map(|&p| p.into()).collect(),
        }),
        validate_only: false,
    };
    let nothing = VFolder::default;
    let no_mask = UpdateVFolderRequest {
        update_mask: None,
        ..masked(&[], nothing())
    };
    list.add(update, "no mask", no_mask, &["update_mask"]);
    list.add(
        update,
        "an empty mask",
        masked(&[], nothing()),
        &["update_mask"],
    );
    list.add(
        update,
        "a mask with a fixed field",
        masked(&["volume"], nothing()),
        &["update_mask"],
    );
    list.add(
        update,
        "a mask with nonsense",
        masked(&["a.b.c"], nothing()),
        &["update_mask"],
    );
    list.add(
        update,
        "no name",
        masked(&["name"], nothing()),
        &["vfolder.name"],
    );
    list.add(
        update,
        "no owner",
        masked(&["owner"], nothing()),
        &["vfolder.owner"],
    );
    let long = VFolder {
        description: "x".repeat(1001),
        ..nothing()
    };
    list.add(
        update,
        "a long description",
        masked(&["description"], long),
        &["vfolder.description"],
    );
    let label = VFolder {
        labels: [("Key".to_owned(), String::new())].into(),
        ..nothing()
    };
    list.add(
        update,
        "an upper-case label",
        masked(&["labels"], label),
        &["vfolder.labels"],
    );
    let permission = VFolder {
        member_permission: 99,
        ..nothing()
    };
    let fields = &["vfolder.member_permission"];
    list.add(
        update,
        "an unknown permission",
        masked(&["member_permission"], permission),
        fields,
    );

    let limits = VFolder {
        max_bytes: Some(-1),
        max_files: Some(-1),
        ..nothing()
    };
    list.add(
        update,
        "negative limits",
        masked(&["max_bytes", "max_files"], limits),
        &["vfolder.max_bytes", "vfolder.max_files"],
    );

    let delete = "vfolder.v1.VFolderService/DeleteVFolder";
    for (what, retention) in [
        ("a negative retention", seconds(-1)),
        ("eleven years", seconds(11 * 366 * 86_400)),
    ] {
        let request = DeleteVFolderRequest {
            vfolder_id: id.into(),
            retention,
            ..DeleteVFolderRequest::default()
        };
        list.add(delete, what, request, &["retention"]);
    }
    for (what, expected_digest) in [
        ("a digest of another kind", "sha256:00"),
        ("a digest in capitals", DIGEST_IN_CAPITALS),
    ] {
        let request = VerifyVFolderRequest {
            vfolder_id: id.into(),
            expected_digest: expected_digest.into(),
        };
        let verify = "vfolder.v1.VFolderService/VerifyVFolder";
        list.add(verify, what, request, &["expected_digest"]);
    }
    let reset = ResetStatusRequest {
        vfolder_id: id.into(),
        reason: "x".repeat(1001),
        validate_only: false,
    };
    list.add(
        "vfolder.v1.VFolderService/ResetStatus",
        "a long reason",
        reset,
        &["reason"],
    );
}

const DIGEST_IN_CAPITALS: &str =
    "blake3-tree-v1:8FBDD16B85432B60B7C62847A5659161EF8DEF99F6FEB34105771F56190684F2";

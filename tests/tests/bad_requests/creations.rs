//! New vfolders and clones.

use vfolder_proto::v1::{CloneVFolderRequest, CreateVFolderRequest, Owner, VFolder};

use super::{List, UUID, user};

/// What is wrong with a description of a new vfolder, and which field that is.
pub(super) fn wrong_vfolders() -> Vec<(&'static str, VFolder, &'static [&'static str])> {
    let good = || VFolder {
        name: "good".into(),
        ..VFolder::default()
    };
    let named = |name: &str| VFolder {
        name: name.into(),
        ..VFolder::default()
    };
    let labelled = |key: &str, value: &str| VFolder {
        labels: [(key.to_owned(), value.to_owned())].into(),
        ..good()
    };
    let many = (0..33).map(|n| (format!("k{n}"), String::new())).collect();
    vec![
        ("no name", named(""), &["vfolder.name"]),
        (
            "a name of 65 characters",
            named(&"x".repeat(65)),
            &["vfolder.name"],
        ),
        (
            "a name that begins with a dot",
            named(".hidden"),
            &["vfolder.name"],
        ),
        (
            "a name that looks like an option",
            named("-rf"),
            &["vfolder.name"],
        ),
        ("a name with a slash", named("a/b"), &["vfolder.name"]),
        ("a name with NUL", named("a\0b"), &["vfolder.name"]),
        (
            "a name that ends with a space",
            named("a "),
            &["vfolder.name"],
        ),
        (
            "an id",
            VFolder {
                id: UUID.into(),
                ..good()
            },
            &["vfolder.id"],
        ),
        (
            "a long description",
            VFolder {
                description: "x".repeat(1001),
                ..good()
            },
            &["vfolder.description"],
        ),
        (
            "a description with NUL",
            VFolder {
                description: "\0".into(),
                ..good()
            },
            &["vfolder.description"],
        ),
        (
            "an upper-case label",
            labelled("Key", ""),
            &["vfolder.labels"],
        ),
        ("an empty label key", labelled("", "v"), &["vfolder.labels"]),
        (
            "a long label key",
            labelled(&"k".repeat(64), "v"),
            &["vfolder.labels"],
        ),
        (
            "a long label value",
            labelled("k", &"v".repeat(256)),
            &["vfolder.labels"],
        ),
        (
            "33 labels",
            VFolder {
                labels: many,
                ..good()
            },
            &["vfolder.labels"],
        ),
        (
            "nobody as owner",
            VFolder {
                owner: Some(Owner::default()),
                ..good()
            },
            &["vfolder.owner"],
        ),
        (
            "an empty owner",
            VFolder {
                owner: user(""),
                ..good()
            },
            &["vfolder.owner"],
        ),
        (
            "an unknown volume",
            VFolder {
                volume: "nowhere".into(),
                ..good()
            },
            &["vfolder.volume"],
        ),
        (
            "an unknown permission",
            VFolder {
                member_permission: 99,
                ..good()
            },
            &["vfolder.member_permission"],
        ),
        (
            "negative limits",
            VFolder {
                max_bytes: Some(-1),
                max_files: Some(i64::MIN),
                ..good()
            },
            &["vfolder.max_bytes", "vfolder.max_files"],
        ),
        (
            "everything",
            VFolder {
                id: UUID.into(),
                description: "x".repeat(1001),
                owner: user(""),
                volume: "nowhere".into(),
                member_permission: -1,
                ..labelled("Key", "")
            },
            &[
                "vfolder.description",
                "vfolder.id",
                "vfolder.labels",
                "vfolder.owner",
                "vfolder.member_permission",
                "vfolder.volume",
            ],
        ),
    ]
}

pub(super) fn creations(list: &mut List, id: &str) {
    let create = "vfolder.v1.VFolderService/CreateVFolder";
    let clone = "vfolder.v1.VFolderService/CloneVFolder";
    list.add(
        create,
        "nothing",
        CreateVFolderRequest::default(),
        &["vfolder"],
    );
    let source = CloneVFolderRequest {
        source_id: id.into(),
        ..CloneVFolderRequest::default()
    };
    list.add(clone, "nothing but a source", source, &["vfolder"]);
    for (what, vfolder, fields) in wrong_vfolders() {
        let request = CreateVFolderRequest {
            vfolder: Some(vfolder.clone()),
            ..CreateVFolderRequest::default()
        };
        list.add(create, what, request, fields);
        let request = CloneVFolderRequest {
            source_id: id.into(),
            vfolder: Some(vfolder),
            ..CloneVFolderRequest::default()
        };
        // Of a clone the volume is looked at first: it must be the source's.
        let fields = if what == "everything" {
            CLONE_EVERYTHING
        } else {
            fields
        };
        list.add(clone, what, request, fields);
    }
    let vfolder = Some(VFolder {
        name: "good".into(),
        ..VFolder::default()
    });
    for request_id in ["no uuid", "01890a5d"] {
        let request = CreateVFolderRequest {
            vfolder: vfolder.clone(),
            request_id: request_id.into(),
            validate_only: false,
        };
        list.add(
            create,
            "a request id that is no UUID",
            request,
            &["request_id"],
        );
        let request = CloneVFolderRequest {
            source_id: id.into(),
            vfolder: vfolder.clone(),
            request_id: request_id.into(),
            validate_only: false,
            receipt: false,
        };
        list.add(
            clone,
            "a request id that is no UUID",
            request,
            &["request_id"],
        );
    }
}

const CLONE_EVERYTHING: &[&str] = &[
    "vfolder.volume",
    "vfolder.description",
    "vfolder.id",
    "vfolder.labels",
    "vfolder.owner",
    "vfolder.member_permission",
];

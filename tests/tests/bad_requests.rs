//! The bad requests, by hand: what is wrong and which fields have to be named. The ids of their vfolders are good.

use prost::Message;
use prost_types::{Duration, FieldMask};
use vfolder_proto::{
    google::longrunning::{
        CancelOperationRequest, DeleteOperationRequest, GetOperationRequest, ListOperationsRequest,
        WaitOperationRequest,
    },
    v1::{
        CloneVFolderRequest, CreateDirectoryRequest, CreateVFolderRequest, DeleteVFolderRequest,
        GetVolumeRequest, ListEventsRequest, ListFilesRequest, ListMountsRequest,
        ListVFoldersRequest, ListVolumesRequest, MountRequest, OperationServiceWatchRequest, Owner,
        RenewMountRequest, ResetStatusRequest, UnmountRequest, UpdateVFolderRequest, VFolder,
        owner,
    },
};

/// One bad request.
pub struct Bad {
    /// "package.Service/Method".
    pub method: &'static str,
    /// What is wrong, for who reads of a failure.
    pub what: &'static str,
    /// The encoded message.
    pub request: Vec<u8>,
    /// What has to be named, in this order.
    pub fields: &'static [&'static str],
}

const UUID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
const GARBAGE: &str = "garbage";

/// All of them, about this vfolder.
pub fn bad_requests(id: &str) -> Vec<Bad> {
    let mut list = List(Vec::new());
    creations(&mut list, id);
    changes(&mut list, id);
    mounts(&mut list, id);
    files(&mut list, id);
    lists(&mut list, id);
    operations(&mut list);
    list.0
}

struct List(Vec<Bad>);

impl List {
    fn add(
        &mut self,
        method: &'static str,
        what: &'static str,
        request: impl Message,
        fields: &'static [&'static str],
    ) {
        self.0.push(Bad {
            method,
            what,
            request: request.encode_to_vec(),
            fields,
        });
    }
}

fn seconds(seconds: i64) -> Option<Duration> {
    Some(Duration { seconds, nanos: 0 })
}

fn user(id: &str) -> Option<Owner> {
    Some(Owner {
        owner: Some(owner::Owner::User(id.into())),
    })
}

/// What is wrong with a description of a new vfolder, and which field that is.
fn wrong_vfolders() -> Vec<(&'static str, VFolder, &'static [&'static str])> {
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

fn creations(list: &mut List, id: &str) {
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

fn changes(list: &mut List, id: &str) {
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

fn mounts(list: &mut List, id: &str) {
    let mount = "vfolder.v1.MountService/Mount";
    let good = || MountRequest {
        vfolder_id: id.into(),
        session: "s".into(),
        ..MountRequest::default()
    };
    for (what, session) in [
        ("no session", String::new()),
        ("a session of 129 characters", "s".repeat(129)),
        ("a session with a newline", "a\nb".into()),
    ] {
        list.add(
            mount,
            what,
            MountRequest { session, ..good() },
            &["session"],
        );
    }
    list.add(
        mount,
        "an unknown mode",
        MountRequest { mode: 99, ..good() },
        &["mode"],
    );
    for (what, ttl) in [
        ("no time to live", seconds(0)),
        ("a negative time to live", seconds(-60)),
        ("25 hours to live", seconds(25 * 3600)),
    ] {
        list.add(mount, what, MountRequest { ttl, ..good() }, &["ttl"]);
        let renew = RenewMountRequest {
            vfolder_id: id.into(),
            mount_id: UUID.into(),
            ttl,
        };
        list.add("vfolder.v1.MountService/RenewMount", what, renew, &["ttl"]);
    }
    let all = MountRequest {
        session: String::new(),
        mode: 99,
        ttl: seconds(0),
        ..good()
    };
    list.add(mount, "everything", all, &["session", "mode", "ttl"]);
    for mount_id in ["", GARBAGE] {
        let renew = RenewMountRequest {
            vfolder_id: id.into(),
            mount_id: mount_id.into(),
            ttl: None,
        };
        list.add(
            "vfolder.v1.MountService/RenewMount",
            "no mount",
            renew,
            &["mount_id"],
        );
        let unmount = UnmountRequest {
            vfolder_id: id.into(),
            mount_id: mount_id.into(),
            allow_missing: true,
        };
        list.add(
            "vfolder.v1.MountService/Unmount",
            "no mount",
            unmount,
            &["mount_id"],
        );
    }
}

fn files(list: &mut List, id: &str) {
    let (ls, mkdir) = (
        "vfolder.v1.FileService/ListFiles",
        "vfolder.v1.FileService/CreateDirectory",
    );
    let list_files = || ListFilesRequest {
        vfolder_id: id.into(),
        ..ListFilesRequest::default()
    };
    let make = || CreateDirectoryRequest {
        vfolder_id: id.into(),
        path: "d".into(),
        ..CreateDirectoryRequest::default()
    };
    for path in ["..", "../other", "a/../../b", "/etc", "a//b", "a/", "a\0b"] {
        list.add(
            ls,
            path,
            ListFilesRequest {
                path: path.into(),
                ..list_files()
            },
            &["path"],
        );
        list.add(
            mkdir,
            path,
            CreateDirectoryRequest {
                path: path.into(),
                ..make()
            },
            &["path"],
        );
        let bytes = bytes::Bytes::copy_from_slice(path.as_bytes());
        let request = ListFilesRequest {
            path_bytes: bytes.clone(),
            ..list_files()
        };
        list.add(ls, path, request, &["path_bytes"]);
        let request = CreateDirectoryRequest {
            path: String::new(),
            path_bytes: bytes,
            ..make()
        };
        list.add(mkdir, path, request, &["path_bytes"]);
    }
    let both = bytes::Bytes::from_static(b"d");
    let request = ListFilesRequest {
        path: "d".into(),
        path_bytes: both.clone(),
        ..list_files()
    };
    list.add(ls, "two paths", request, &["path_bytes"]);
    let request = CreateDirectoryRequest {
        path_bytes: both,
        ..make()
    };
    list.add(mkdir, "two paths", request, &["path_bytes"]);
    let request = ListFilesRequest {
        page_size: -1,
        page_token: GARBAGE.into(),
        ..list_files()
    };
    list.add(
        ls,
        "a page that is none",
        request,
        &["page_size", "page_token"],
    );
    let request = ListFilesRequest {
        path: "..".into(),
        page_size: -1,
        page_token: GARBAGE.into(),
        ..list_files()
    };
    list.add(
        ls,
        "everything",
        request,
        &["path", "page_size", "page_token"],
    );
    list.add(
        mkdir,
        "too many mode bits",
        CreateDirectoryRequest {
            mode: 0o10000,
            ..make()
        },
        &["mode"],
    );
    let request = CreateDirectoryRequest {
        path: "..".into(),
        mode: 0o10000,
        ..make()
    };
    list.add(mkdir, "everything", request, &["path", "mode"]);
}

fn lists(list: &mut List, id: &str) {
    const PAGE: &[&str] = &["page_size", "page_token"];
    let vfolders = "vfolder.v1.VFolderService/ListVFolders";
    let (page_size, page_token) = (-1, GARBAGE.to_owned());
    let request = ListVFoldersRequest {
        page_size,
        page_token: page_token.clone(),
        ..ListVFoldersRequest::default()
    };
    list.add(vfolders, "a page that is none", request, PAGE);
    for status in [0, 10, -1] {
        let request = ListVFoldersRequest {
            statuses: vec![2, status],
            ..ListVFoldersRequest::default()
        };
        list.add(vfolders, "an unknown status", request, &["statuses"]);
    }
    let request = ListVFoldersRequest {
        owner: Some(Owner::default()),
        ..ListVFoldersRequest::default()
    };
    list.add(vfolders, "nobody as owner", request, &["owner"]);
    let request = ListEventsRequest {
        vfolder_id: id.into(),
        page_size,
        page_token: page_token.clone(),
    };
    list.add(
        "vfolder.v1.VFolderService/ListEvents",
        "a page that is none",
        request,
        PAGE,
    );
    let request = ListMountsRequest {
        vfolder_id: id.into(),
        page_size,
        page_token: page_token.clone(),
    };
    list.add(
        "vfolder.v1.MountService/ListMounts",
        "a page that is none",
        request,
        PAGE,
    );
    let request = ListVolumesRequest {
        page_size,
        page_token,
    };
    list.add(
        "vfolder.v1.VolumeService/ListVolumes",
        "a page that is none",
        request,
        PAGE,
    );
    list.add(
        "vfolder.v1.VolumeService/GetVolume",
        "no name",
        GetVolumeRequest::default(),
        &["volume"],
    );
}

fn operations(list: &mut List) {
    const NAME: &[&str] = &["name"];
    for bad in [
        "",
        "operations/",
        "operations/no uuid",
        UUID,
        "vfolders/01890a5d-ac96-774b-bcce-b302099a8057",
    ] {
        let name = bad.to_owned();
        list.add(
            "vfolder.v1.OperationService/Watch",
            "a bad name",
            OperationServiceWatchRequest { name: name.clone() },
            NAME,
        );
        list.add(
            "google.longrunning.Operations/GetOperation",
            "a bad name",
            GetOperationRequest { name: name.clone() },
            NAME,
        );
        list.add(
            "google.longrunning.Operations/DeleteOperation",
            "a bad name",
            DeleteOperationRequest { name: name.clone() },
            NAME,
        );
        list.add(
            "google.longrunning.Operations/CancelOperation",
            "a bad name",
            CancelOperationRequest { name: name.clone() },
            NAME,
        );
        list.add(
            "google.longrunning.Operations/WaitOperation",
            "a bad name",
            WaitOperationRequest {
                name,
                timeout: None,
            },
            NAME,
        );
    }
    let wait = WaitOperationRequest {
        name: GARBAGE.into(),
        timeout: seconds(-1),
    };
    list.add(
        "google.longrunning.Operations/WaitOperation",
        "everything",
        wait,
        &["name", "timeout"],
    );
    let operations = "google.longrunning.Operations/ListOperations";
    for filter in [
        "nonsense",
        "done = perhaps",
        "kind = EAT",
        "vfolder_id = \"no uuid\"",
        "done = true OR done = false",
    ] {
        let request = ListOperationsRequest {
            filter: filter.into(),
            ..ListOperationsRequest::default()
        };
        list.add(operations, filter, request, &["filter"]);
    }
    let everything = ListOperationsRequest {
        name: GARBAGE.into(),
        filter: GARBAGE.into(),
        page_size: -1,
        page_token: GARBAGE.into(),
    };
    list.add(
        operations,
        "everything",
        everything,
        &["name", "filter", "page_size", "page_token"],
    );
}

//! Lists and operations.

use vfolder_proto::{
    google::longrunning::{
        CancelOperationRequest, DeleteOperationRequest, GetOperationRequest, ListOperationsRequest,
        WaitOperationRequest,
    },
    v1::{
        GetVolumeRequest, ListEventsRequest, ListMountsRequest, ListVFoldersRequest,
        ListVolumesRequest, OperationServiceWatchRequest, Owner, PauseVolumeRequest,
        ResumeVolumeRequest, VFolderServiceWatchRequest, WatchVFoldersRequest,
    },
};

use super::{GARBAGE, List, UUID, seconds};

pub(super) fn lists(list: &mut List, id: &str) {
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
    list.add(
        "vfolder.v1.VolumeService/PauseVolume",
        "no name",
        PauseVolumeRequest::default(),
        &["volume"],
    );
    let pause = PauseVolumeRequest {
        volume: "local".into(),
        reason: "x".repeat(5_000),
    };
    list.add(
        "vfolder.v1.VolumeService/PauseVolume",
        "a reason without an end",
        pause,
        &["reason"],
    );
    list.add(
        "vfolder.v1.VolumeService/ResumeVolume",
        "no name",
        ResumeVolumeRequest::default(),
        &["volume"],
    );
    let watch = VFolderServiceWatchRequest {
        vfolder_id: id.into(),
        after_sequence: -1,
    };
    list.add(
        "vfolder.v1.VFolderService/Watch",
        "a sequence that is none",
        watch,
        &["after_sequence"],
    );
    for token in [GARBAGE, "00000000", "deadbeef00"] {
        let resume_token = token.to_owned();
        list.add(
            "vfolder.v1.VFolderService/WatchVFolders",
            "a token that is none",
            WatchVFoldersRequest { resume_token },
            &["resume_token"],
        );
    }
}

pub(super) fn operations(list: &mut List) {
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

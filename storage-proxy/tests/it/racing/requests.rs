//! The same for whoever comes over the wire.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use tonic::Status;
use vfolder_images::{Filesystem, on_each_filesystem};
use vfolder_proto::v1::{
    CreateDirectoryRequest, FileEntry, GetUsageRequest, ListFilesRequest, MoveFileRequest,
    RemoveFilesRequest, SearchFilesRequest, StatFileRequest,
};

use super::{
    race,
    scene::{Scene, VAST},
};
use crate::{files::Desk, support::run};

on_each_filesystem!(requests_reach_nothing_outside_the_tree);

/// How often each RPC came through.
#[derive(Default)]
struct Came([AtomicU64; 7]);

impl Came {
    fn through<T>(&self, rpc: usize, answer: Result<tonic::Response<T>, Status>) -> Option<T> {
        match answer {
            Ok(answer) => {
                self.0[rpc].fetch_add(1, Relaxed);
                Some(answer.into_inner())
            }
            // What is swapped is refused in one way or another, and never a fault of ours.
            Err(status) => {
                let reason = vfolder_common::error::Reason::of(&status);
                let reason = reason.unwrap_or_else(|| panic!("{status:?}"));
                assert_ne!(
                    reason,
                    vfolder_common::error::Reason::Internal,
                    "{status:?}"
                );
                None
            }
        }
    }
}

fn requests_reach_nothing_outside_the_tree(filesystem: Filesystem) {
    let came = Came::default();
    race(filesystem, |scene, root| run(visit(scene, root, &came)));
    let came = came.0.map(AtomicU64::into_inner);
    eprintln!("stat, list, search, usage, create, move, remove came through {came:?} times");
    assert!(came.iter().all(|times| *times > 0), "{came:?}");
}

/// Every RPC at every place that somebody swaps.
async fn visit(scene: &Scene, root: &Path, came: &Came) {
    let desk = Desk::within(root.parent().unwrap()).await;
    // The writers have it open, wherever it is.
    fs::remove_dir(desk.tree()).unwrap();
    fs::rename(scene.tree(), desk.tree()).unwrap();
    let chain = format!("chain{}", "/x".repeat(40));
    let places = ["d0", "d1/sub", "d2", "chain/x/x", &chain];
    for round in 0..10 {
        for place in places {
            look(&desk, place, came).await;
            change(&desk, place, round, came).await;
        }
    }
}

fn check(entries: &[FileEntry]) {
    for entry in entries {
        let is_ours = entry.name != "vast" && entry.size < i64::try_from(VAST).unwrap();
        assert!(is_ours, "{entry:?}");
    }
}

async fn look(desk: &Desk, place: &str, came: &Came) {
    let (vfolder_id, mut files) = (desk.id(), desk.proxy.files());
    for path in [
        place.to_owned(),
        format!("{place}/file0"),
        format!("{place}/vast"),
    ] {
        let request = StatFileRequest {
            vfolder_id: vfolder_id.clone(),
            path,
            ..StatFileRequest::default()
        };
        let entry = came.through(0, files.stat_file(desk.ask(request)).await);
        check(entry.as_slice());
    }
    for recursive in [false, true] {
        let request = ListFilesRequest {
            vfolder_id: vfolder_id.clone(),
            path: place.into(),
            recursive,
            page_size: 20,
            ..ListFilesRequest::default()
        };
        if let Some(page) = came.through(1, files.list_files(desk.ask(request)).await) {
            check(&page.entries);
        }
    }
    let request = SearchFilesRequest {
        vfolder_id: vfolder_id.clone(),
        pattern: "{vast,file*}".into(),
        page_size: 1000,
        ..SearchFilesRequest::default()
    };
    if let Some(page) = came.through(2, files.search_files(desk.ask(request)).await) {
        check(&page.entries);
    }
    let request = GetUsageRequest {
        vfolder_id,
        path: place.into(),
        ..GetUsageRequest::default()
    };
    if let Some(usage) = came.through(3, files.get_usage(desk.ask(request)).await) {
        assert!(usage.bytes < i64::try_from(VAST).unwrap(), "{usage:?}");
    }
}

async fn change(desk: &Desk, place: &str, round: usize, came: &Came) {
    let (vfolder_id, mut files) = (desk.id(), desk.proxy.files());
    let request = CreateDirectoryRequest {
        vfolder_id: vfolder_id.clone(),
        path: format!("{place}/new{round}/below"),
        parents: true,
        ..CreateDirectoryRequest::default()
    };
    came.through(4, files.create_directory(desk.ask(request)).await);
    for (from, to) in [("file1", "file2"), ("file2", "moved"), ("moved", "file1")] {
        let request = MoveFileRequest {
            vfolder_id: vfolder_id.clone(),
            path: format!("{place}/{from}"),
            new_path: format!("{place}/{to}"),
            replace: true,
            ..MoveFileRequest::default()
        };
        let moved = came.through(5, files.move_file(desk.ask(request)).await);
        check(moved.as_slice());
    }
    let request = RemoveFilesRequest {
        vfolder_id,
        paths: vec![format!("{place}/new{round}"), format!("{place}/file3")],
        recursive: true,
        missing_ok: true,
        ..RemoveFilesRequest::default()
    };
    came.through(6, files.remove_files(desk.ask(request)).await);
}

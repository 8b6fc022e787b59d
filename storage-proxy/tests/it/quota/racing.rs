//! Those who change the same name at once.

use std::fs;

use vfolder_proto::{
    storage::{ExtractArchive, StorageExistingFiles, run_task_request::Task},
    v1::{FileCheck, UploadTarget},
};

use super::scene::Scene;
use crate::{
    archives::tars::tar,
    proxy::{Proxy, set_up},
    support::eventually,
    transfers::kit::{pieces, target},
};

/// One looks what is there, and before it takes its place, another has. Each must subtract what it has replaced itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_replace_a_file_at_once_one_waits_for_the_other() {
    // A second between the look and the rename.
    let armed = Proxy::start_armed(set_up(), "put.hidden=pause").await;
    let mut scene = Scene::of(armed.unwrap()).await;
    scene.limit(1 << 40, 0).await;
    let tree = scene.proxy.tree(scene.vfolder);
    let replaced = || UploadTarget {
        replace: true,
        ..target("f")
    };
    let client = scene.client();
    let write = |size: usize| {
        let content = vec![b'x'; size];
        async move {
            let whole = pieces(&content, 10_000);
            let written = client.write(replaced(), FileCheck::default(), whole);
            written.await.unwrap();
        }
    };
    write(5_000).await;
    let archive = tar(&[(b'0', b"f", b"", b"from the archive")]);
    let to = target("archive");
    let sent = client.write(to, FileCheck::default(), pieces(&archive, 10_000));
    sent.await.unwrap();
    let extraction = Task::ExtractArchive(ExtractArchive {
        vfolder_id: scene.vfolder.to_string(),
        path: "archive".into(),
        destination: Vec::new(),
        existing: StorageExistingFiles::Replace.into(),
        max_bytes: 1 << 30,
        max_files: 100,
        ..ExtractArchive::default()
    });
    let at_once = async {
        let hidden = || fs::read_dir(&tree).unwrap().count() == 3;
        eventually("it is there under another name", hidden).await;
        write(700).await;
    };
    let (extracted, ()) = tokio::join!(scene.run(extraction), at_once);
    extracted.unwrap();
    scene.is_right("after both").await;
}

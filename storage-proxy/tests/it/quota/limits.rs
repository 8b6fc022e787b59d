//! Each way to write, up to its limits: what fits exactly is let in, a byte or an entry more is not; and whichever way it
//! ends, what is told is what is there, and nothing stays set aside.

use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use tonic::{Code, Status};
use vfolder_proto::{
    storage::{ExtractArchive, RemoveTree, run_task_request::Task},
    v1::{
        CreateDirectoryRequest, FileCheck, MoveFileRequest, RemoveFilesRequest, UploadTarget,
        write_file_request::To,
    },
};

use super::scene::Scene;
use crate::{
    mounted::Mounted,
    proxy::{set_up, set_up_in},
    transfers::kit::{blake3_check, content, pieces, target},
};

const LARGE: usize = 3 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Whole,
    WholeWithParents,
    Replacing,
    Announced,
    Unannounced,
    Directories,
    Extraction,
}

impl Way {
    /// What it needs beyond what is there: bytes, entries.
    fn needs(self) -> (u64, u64) {
        match self {
            Self::Whole | Self::Replacing | Self::Announced | Self::Unannounced => {
                (LARGE as u64, 1)
            }
            Self::WholeWithParents => (LARGE as u64, 3),
            Self::Directories => (0, 3),
            Self::Extraction => (3_000, 3),
        }
    }

    async fn write(self, scene: &Scene) -> Result<(), Status> {
        let client = scene.client();
        let whole = content(1, LARGE);
        let send = || pieces(&whole, 1 << 20);
        let named = |path: &str| UploadTarget {
            parents: true,
            replace: true,
            ..target(path)
        };
        match self {
            Self::Whole => client
                .write(target("whole"), FileCheck::default(), send())
                .await
                .map(drop),
            Self::WholeWithParents => {
                let written = client.write(named("a/b/c"), FileCheck::default(), send());
                written.await.map(drop)
            }
            Self::Replacing => {
                let written = client.write(named("whole"), FileCheck::default(), send());
                written.await.map(drop)
            }
            Self::Announced | Self::Unannounced => {
                let announced = self == Self::Announced;
                let size = announced.then_some(i64::try_from(LARGE).unwrap());
                let name = format!("{self:?}");
                let id = client.create(target(&name), size).await?.id;
                let sent = async {
                    client.send(&id, Some(0), send()).await?;
                    client.commit(&id, FileCheck::default()).await.map(drop)
                };
                let sent = sent.await;
                if sent.is_err() {
                    client.abort(&id).await.unwrap();
                }
                sent
            }
            Self::Directories => {
                let message = CreateDirectoryRequest {
                    vfolder_id: scene.vfolder.to_string(),
                    path: "x/y/z".into(),
                    parents: true,
                    ..CreateDirectoryRequest::default()
                };
                let made = scene
                    .proxy
                    .files()
                    .create_directory(scene.granted(message))
                    .await;
                made.map(drop)
            }
            Self::Extraction => {
                let task = Task::ExtractArchive(ExtractArchive {
                    vfolder_id: scene.vfolder.to_string(),
                    path: b"archive.tar".to_vec(),
                    destination: b"x".to_vec(),
                    max_bytes: 1 << 30,
                    max_files: 1_000,
                    ..ExtractArchive::default()
                });
                scene.run(task).await
            }
        }
    }
}

/// A directory and two files of 1,000 and 2,000 bytes.
fn archive() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("in")).unwrap();
    for (name, size) in [("one", 1_000), ("two", 2_000)] {
        std::fs::write(dir.path().join("in").join(name), vec![7; size]).unwrap();
    }
    let done = std::process::Command::new("tar")
        .args(["-C", dir.path().to_str().unwrap(), "-cf", "-", "in"])
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    done.stdout
}

/// Answers with the directory, for whoever has something mounted in it.
async fn each_way_up_to_its_limits(dir: TempDir, ways: &[Way]) -> TempDir {
    let mut scene = Scene::start(dir).await;
    let archive = vec![Bytes::from(archive())];
    let client = scene.client();
    let written = client.write(target("archive.tar"), FileCheck::default(), archive);
    written.await.unwrap();
    for way in ways {
        let (bytes, files) = scene.is_right("before").await;
        let (more_bytes, more_files) = way.needs();
        let mut tight = vec![("an entry", (0, files + more_files - 1))];
        if more_bytes > 0 {
            tight.push(("a byte", (bytes + more_bytes - 1, 0)));
        }
        for (lacking, (bytes, files)) in tight {
            let what = format!("{way:?}, {lacking} too much");
            scene.limit(bytes, files).await;
            let refused = way.write(&scene).await.expect_err(&what);
            assert_eq!(refused.code(), Code::ResourceExhausted, "{what}: {refused}");
            scene.is_right(&what).await;
        }
        scene.limit(bytes + more_bytes, files + more_files).await;
        let done = way.write(&scene).await;
        done.unwrap_or_else(|refused| panic!("{way:?} fits exactly: {refused}"));
        scene.is_right(&format!("{way:?}, done")).await;
    }
    // And back again.
    let vfolder_id = scene.vfolder.to_string();
    scene.limit(1 << 40, 1 << 20).await;
    let moving = MoveFileRequest {
        vfolder_id: vfolder_id.clone(),
        path: "archive.tar".into(),
        new_path: "whole".into(),
        replace: true,
        ..MoveFileRequest::default()
    };
    let moved = scene.proxy.files().move_file(scene.granted(moving)).await;
    moved.unwrap();
    scene.is_right("a file that another was moved over").await;
    let removal = RemoveFilesRequest {
        vfolder_id: vfolder_id.clone(),
        paths: vec!["Announced".into(), "x/y".into()],
        recursive: true,
        ..RemoveFilesRequest::default()
    };
    let removed = scene
        .proxy
        .files()
        .remove_files(scene.granted(removal))
        .await;
    let removed = removed.unwrap().into_inner().results;
    assert!(removed.iter().all(|one| one.files > 0), "{removed:?}");
    scene.is_right("removed files").await;
    let removal = Task::RemoveTree(RemoveTree {
        vfolder_id,
        paths: vec![b"x".to_vec(), b"Unannounced".to_vec()],
        missing_ok: false,
    });
    scene.run(removal).await.unwrap();
    scene.is_right("removed by an operation").await;
    // What is told after a crash is counted, once somebody writes again.
    let scene = scene.killed().await;
    Way::Directories.write(&scene).await.unwrap();
    scene.is_right("after a crash").await;
    scene.proxy.kill()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_way_to_write_is_let_in_up_to_its_limits_and_no_further() {
    let ways = [
        Way::Whole,
        Way::WholeWithParents,
        Way::Replacing,
        Way::Announced,
        Way::Unannounced,
        Way::Directories,
        Way::Extraction,
    ];
    drop(each_way_up_to_its_limits(set_up(), &ways).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_it_is_where_what_is_uploaded_has_to_be_copied_into_the_tree() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("v");
    if let Some(mounted) = Mounted::image("btrfs", &path, 1 << 30) {
        let ways = [
            Way::Whole,
            Way::Replacing,
            Way::Announced,
            Way::Unannounced,
            Way::Directories,
            Way::Extraction,
        ];
        let dir = each_way_up_to_its_limits(set_up_in(dir), &ways).await;
        drop(mounted);
        drop(dir);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_refused_a_file_finds_the_room_again_that_it_took() {
    // Large, so that removing what has arrived takes longer than to ask.
    const ROOM: usize = 32 << 20;
    let mut scene = Scene::start(set_up()).await;
    scene.limit(ROOM as u64, 1).await;
    let data = content(1, ROOM + 1);
    let whole = async |data: &[u8], check| {
        let client = scene.client();
        let written = client.write(target("file"), check, pieces(data, 1 << 20));
        written.await.unwrap_err().code()
    };
    // The volume's directory of what is on its way into this vfolder; tree/<2>/<2>/<id> is its tree.
    let tree = scene.proxy.tree(scene.vfolder);
    let volume = tree.ancestors().nth(4).unwrap();
    let uploads = volume.join("uploads").join(scene.vfolder.to_string());
    for _ in 0..5 {
        let wrong = whole(&data[..ROOM], blake3_check(b"another")).await;
        assert_eq!(wrong, Code::FailedPrecondition);
        assert!(!uploads.exists());
        scene.is_right("another digest").await;
        let large = whole(&data, FileCheck::default()).await;
        assert_eq!(large, Code::ResourceExhausted);
        assert!(!uploads.exists());
        scene.is_right("too large").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_set_aside_is_given_back_once_whichever_way_it_ends() {
    let mut scene = Scene::start(set_up()).await;
    scene.limit(10 << 20, 10).await;
    let mib = |number| vec![Bytes::from(content(number, 1 << 20))];
    // Announced, it is set aside for as long as it is open: also by the next life.
    let announced = scene
        .client()
        .create(target("announced"), Some(4 << 20))
        .await;
    let announced = announced.unwrap().id;
    scene
        .client()
        .send(&announced, Some(0), mib(1))
        .await
        .unwrap();
    let open = scene.client().create(target("open"), None).await;
    let open = open.unwrap().id;
    scene.client().send(&open, Some(0), mib(2)).await.unwrap();
    let aside = async |scene: &Scene| {
        let told = scene.told().await;
        (told.reserved_bytes >> 20, told.reserved_files, told.bytes)
    };
    assert_eq!(aside(&scene).await, (5, 2, 0));
    let mut scene = scene.killed().await;
    // Below what was admitted: that stands, and does not grow.
    scene.limit(4 << 20, 10).await;
    scene
        .client()
        .send(&announced, Some(1 << 20), mib(3))
        .await
        .unwrap();
    assert_eq!(aside(&scene).await, (5, 2, 0));
    let refused = scene.client().send(&open, Some(1 << 20), mib(4)).await;
    assert_eq!(refused.unwrap_err().code(), Code::ResourceExhausted);
    scene.client().abort(&announced).await.unwrap();
    assert_eq!(aside(&scene).await, (1, 1, 0));
    scene
        .client()
        .send(&open, Some(1 << 20), mib(4))
        .await
        .unwrap();
    scene
        .client()
        .commit(&open, FileCheck::default())
        .await
        .unwrap();
    scene.is_right("committed after a kill").await;
    // A client that goes away takes back what was only its request's.
    {
        let client = scene.client();
        let (sender, answer) = client.open_stream(To::File(target("never")));
        let answer = tokio::spawn(answer);
        sender.send(Bytes::from(content(5, 1 << 20))).await.unwrap();
        until("it is set aside", async || aside(&scene).await.0 > 0).await;
        answer.abort();
        until("it is given back", async || aside(&scene).await.1 == 0).await;
    }
    scene.is_right("the client has gone").await;
}

async fn until(what: &str, is: impl AsyncFn() -> bool) {
    let waiting = async {
        while !is().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = timeout(Duration::from_secs(20), waiting).await;
    assert!(waited.is_ok(), "not in time: {what}");
}

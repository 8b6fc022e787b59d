//! Those who change the same names at once.

use futures_util::future::join_all;
use vfolder_proto::v1::{FileCheck, MoveFileRequest, RemoveFilesRequest, UploadTarget};

use super::scene::Scene;
use crate::{
    proxy::set_up,
    support::Dice,
    transfers::kit::{pieces, target},
};

const NAMES: [&str; 2] = ["a", "b"];
const AT_ONCE: u64 = 8;
const ROUNDS: usize = 300;

/// Two that replace one file must not both subtract it; and who removes it must not subtract what was there before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_stay_right_however_many_fight_over_the_same_names() {
    let mut scene = Scene::start(set_up()).await;
    scene.limit(1 << 40, 0).await;
    let scene = &scene;
    join_all((0..AT_ONCE).map(|seed| async move {
        let mut dice = Dice(seed + 1);
        for _ in 0..ROUNDS {
            let name = NAMES[dice.roll(2)];
            // Whoever comes too late is refused.
            match dice.roll(4) {
                0 => {
                    let content = vec![b'x'; 1 + dice.roll(5_000)];
                    let to = UploadTarget {
                        replace: true,
                        ..target(name)
                    };
                    let client = scene.client();
                    let _ = client
                        .write(to, FileCheck::default(), pieces(&content, 9_000))
                        .await;
                }
                1 | 2 => {
                    let other = NAMES[usize::from(name == NAMES[0])];
                    let request = MoveFileRequest {
                        vfolder_id: scene.vfolder.to_string(),
                        path: name.into(),
                        new_path: other.into(),
                        replace: true,
                        ..MoveFileRequest::default()
                    };
                    let _ = scene.proxy.files().move_file(scene.granted(request)).await;
                }
                _ => {
                    let request = RemoveFilesRequest {
                        vfolder_id: scene.vfolder.to_string(),
                        paths: vec![name.into()],
                        missing_ok: true,
                        ..RemoveFilesRequest::default()
                    };
                    let _ = scene
                        .proxy
                        .files()
                        .remove_files(scene.granted(request))
                        .await;
                }
            }
        }
    }))
    .await;
    scene.is_right("after the fight").await;
}

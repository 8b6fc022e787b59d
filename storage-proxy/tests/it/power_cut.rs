//! The power fails at each point of what makes and moves trees, and right after it was answered: the disk is taken as it is at
//! that moment, without what was only in memory. What is there then is whole or absent, and all goes on from there.

use std::{fs, path::Path};

use tempfile::TempDir;
use vfolder_storage_proxy::faults::POINTS;

use crate::{
    kill::stories,
    mounted::Mounted,
    oracle,
    proxy::{Proxy, set_up_in},
    scenario::{Kind, Scenario},
};

/// Files in the source, each of some blocks: what is not synced can't be on disk by chance.
const FILES: usize = 20;
const BYTES: usize = 20_000;

/// At `point`, or when all is answered. Answers false where images can't be mounted.
async fn is_cut(filesystem: &str, kind: Kind, point: Option<&str>) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    let Some(mounted) = Mounted::image(filesystem, &path, 512 << 20) else {
        return false;
    };
    let what = format!("{point:?} in {kind:?} on {filesystem}");
    let set_up = set_up_in(TempDir::new_in(&path).unwrap());
    let scenario = Scenario::new(kind, set_up.path().join("v"));
    if kind == Kind::Clone {
        // Not a snapshot, which btrfs makes durable by itself.
        scenario.nest();
        fill(&scenario.tree(scenario.source));
    }
    scenario.prepare();
    rustix::fs::syncfs(fs::File::open(&path).unwrap()).unwrap();
    let wanted = (kind == Kind::Clone).then(|| oracle::describe(&scenario.tree(scenario.source)));

    let faults = point.map_or_else(String::new, |point| format!("{point}=kill"));
    let set_up = match (Proxy::start_armed(set_up, &faults).await, point) {
        (Ok(proxy), None) => {
            scenario.drive(&proxy).await.unwrap();
            proxy.kill()
        }
        (Ok(proxy), Some(_)) => {
            // What goes on in the background is met after the answer.
            let _ = scenario.drive(&proxy).await;
            proxy.died(&what).await
        }
        (Err((set_up, _)), _) => set_up,
    };
    let cut = mounted.copy_image();
    mounted.end();
    let _back = Mounted::file(&cut, &path).unwrap();

    let tree = scenario.tree(scenario.vfolder);
    let leaves_one = kind != Kind::Purge;
    if point.is_none() {
        assert_eq!(tree.exists(), leaves_one, "{what}: it was answered");
    }
    if let Some(wanted) = wanted
        && tree.exists()
    {
        oracle::assert_same(&wanted, &oracle::describe(&tree));
    }
    let proxy = Proxy::start_armed(set_up, "").await.unwrap();
    scenario.drive(&proxy).await.unwrap();
    let proxy = Proxy::start_armed(proxy.kill(), "").await.unwrap();
    scenario.check(&proxy, &what).await;
    drop(proxy.kill());
    true
}

fn fill(tree: &Path) {
    for number in 0..FILES {
        let content = vec![u8::try_from(1 + number).unwrap(); BYTES];
        fs::write(tree.join(format!("a/b/{number}")), content).unwrap();
    }
}

async fn is_cut_everywhere(filesystem: &str, kinds: &[Kind]) {
    for kind in kinds {
        let met = POINTS.iter().filter(|point| stories(point).contains(kind));
        for point in met.copied().map(Some).chain([None]) {
            if !is_cut(filesystem, *kind, point).await {
                return;
            }
        }
    }
}

// The client must hear of the end while the test waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clone_survives_power_cuts_on_ext4() {
    is_cut_everywhere("ext4", &[Kind::Clone]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clone_survives_power_cuts_on_xfs() {
    is_cut_everywhere("xfs", &[Kind::Clone]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clone_survives_power_cuts_on_btrfs() {
    is_cut_everywhere("btrfs", &[Kind::Clone]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creation_and_a_purge_survive_power_cuts_on_ext4() {
    is_cut_everywhere("ext4", &[Kind::Create, Kind::Purge]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creation_and_a_purge_survive_power_cuts_on_xfs() {
    is_cut_everywhere("xfs", &[Kind::Create, Kind::Purge]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creation_and_a_purge_survive_power_cuts_on_btrfs() {
    is_cut_everywhere("btrfs", &[Kind::Create, Kind::Purge]).await;
}

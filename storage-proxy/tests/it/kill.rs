//! The process is killed at each of its fault points, twice in a row: asked for again, everything ends as it should, and
//! nothing is left.

use std::{env, os::unix::process::ExitStatusExt as _, path::Path};

use rustix::process::Signal;
use tempfile::TempDir;
use vfolder_storage_proxy::faults::POINTS;

use crate::{
    mounted::Mounted,
    proxy::{Proxy, set_up_in},
    scenario::{Kind, Scenario},
};

/// In which stories a point is met.
pub fn stories(point: &str) -> &'static [Kind] {
    match point.split_once('.').unwrap().0 {
        "create" => &[Kind::Create],
        // In `failed_sync`: a clone notes it after a quarter of a minute.
        "clone" if point == "clone.noting" => &[],
        "clone" => &[Kind::Clone],
        "publish" => &[Kind::Create, Kind::Clone],
        "purge" | "trash" => &[Kind::Purge],
        // In `reclaim`: it takes a huge file.
        "remove" if point == "remove.step" => &[],
        "remove" => &[Kind::Purge, Kind::Reclaim, Kind::Remove],
        "task" => &[
            Kind::Create,
            Kind::Clone,
            Kind::Purge,
            Kind::Failing,
            Kind::Extract,
            Kind::Remove,
        ],
        "inside" => &[Kind::Extract, Kind::Remove],
        // In `archives::resumed`: nothing is replaced here. In `files`: those are no tasks.
        "put" | "files" => &[],
        "verdict" => &[Kind::Failing],
        "cancel" => &[Kind::Cancel, Kind::Stop],
        "forget" => &[Kind::Forget],
        "fence" if point == "fence.answer" => &[Kind::Fence],
        "fence" => &[
            Kind::Fence,
            Kind::Clone,
            Kind::Purge,
            Kind::Cancel,
            Kind::Forget,
            Kind::Extract,
            Kind::Remove,
            Kind::Stop,
        ],
        "journal" if point.starts_with("journal.remove") => {
            &[Kind::Cancel, Kind::Forget, Kind::Stop]
        }
        "journal" => &[
            Kind::Create,
            Kind::Clone,
            Kind::Purge,
            Kind::Failing,
            Kind::Extract,
            Kind::Remove,
        ],
        "open" => &[Kind::Open],
        "reclaim" => &[Kind::Reclaim],
        // In `upload_kills`.
        "upload" => &[],
        _ => panic!("nobody tests what happens at {point}"),
    }
}

/// Not where a tree is cloned and destroyed whole.
const OF_A_WALK: &[&str] = &[
    "clone.syncing=kill",
    "clone.copying=kill@4",
    "remove.entry=kill@3",
];

/// Later passages that matter: of a clone, its totals in the journal; of a task that fails, its verdict; of work inside a
/// tree, the note that it has begun, each entry, and its totals.
const AGAIN: &[(&str, Kind)] = &[
    ("journal.write=kill@2", Kind::Clone),
    ("journal.written=kill@2", Kind::Clone),
    ("journal.write=kill@2", Kind::Failing),
    ("clone.copying=kill@4", Kind::Clone),
    ("remove.entry=kill@3", Kind::Purge),
    ("journal.written=kill@2", Kind::Extract),
    ("journal.write=kill@3", Kind::Extract),
    ("inside.entry=kill@3", Kind::Extract),
    ("inside.entry=kill@5", Kind::Extract),
    ("inside.entry=kill@8", Kind::Extract),
    ("journal.written=kill@2", Kind::Remove),
    ("inside.entry=kill@2", Kind::Remove),
    ("remove.entry=kill@2", Kind::Remove),
];

async fn dies(faults: &str, kind: Kind, within: &Path, whole: bool) {
    let mut dir = set_up_in(TempDir::new_in(within).unwrap());
    let scenario = Scenario::new(kind, dir.path().join("v"));
    if !whole {
        scenario.nest();
    }
    let what = format!("{faults} in {kind:?}");
    for life in 0..2 {
        scenario.prepare();
        dir = match Proxy::start_armed(dir, faults).await {
            Err((dir, ended)) => {
                assert_eq!(ended.signal(), Some(Signal::KILL.as_raw()), "{what}");
                dir
            }
            // In the second life, what lies before the point may be done already.
            Ok(proxy) => match scenario.drive(&proxy).await {
                Ok(()) if life > 0 => proxy.kill(),
                _ => proxy.died(&what).await,
            },
        };
    }
    let proxy = Proxy::start_armed(dir, "").await.unwrap();
    scenario.drive(&proxy).await.unwrap();
    // What was answered is durable.
    let proxy = Proxy::start_armed(proxy.kill(), "").await.unwrap();
    scenario.check(&proxy, &what).await;
}

async fn dies_everywhere_in(kinds: &[Kind]) {
    dies_everywhere_within(&env::temp_dir(), kinds, false).await;
}

async fn dies_everywhere_within(within: &Path, kinds: &[Kind], whole: bool) {
    let each = POINTS.iter().flat_map(|point| {
        let kinds = stories(point).iter();
        kinds.map(move |kind| (format!("{point}=kill"), *kind))
    });
    let again = AGAIN
        .iter()
        .map(|(faults, kind)| ((*faults).to_owned(), *kind));
    for (faults, kind) in each.chain(again) {
        if kinds.contains(&kind) && !(whole && OF_A_WALK.contains(&&*faults)) {
            dies(&faults, kind, within, whole).await;
        }
    }
}

// The client must hear of the end while the test waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creation_survives_a_kill_at_each_point() {
    dies_everywhere_in(&[Kind::Create]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clone_survives_a_kill_at_each_point() {
    dies_everywhere_in(&[Kind::Clone]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_survives_a_kill_at_each_point() {
    dies_everywhere_in(&[Kind::Purge]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_survives_a_kill_at_each_point() {
    dies_everywhere_in(&[Kind::Failing]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_and_a_fence_survive_a_kill_at_each_point() {
    dies_everywhere_in(&[Kind::Cancel, Kind::Fence]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_extraction_survives_a_kill_at_each_point() {
    dies_everywhere_in(&[Kind::Extract]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_and_a_cancel_of_work_in_a_tree_survive_a_kill_at_each_point() {
    dies_everywhere_in(&[Kind::Remove, Kind::Stop]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgetting_survives_a_kill_at_each_point() {
    dies_everywhere_in(&[Kind::Forget]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opening_and_reclaiming_survive_a_kill_at_each_point() {
    dies_everywhere_in(&[Kind::Open, Kind::Reclaim]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subvolumes_survive_a_kill_at_each_point() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("btrfs");
    if let Some(_mounted) = Mounted::image("btrfs", &path, 1 << 30) {
        let kinds = [Kind::Create, Kind::Clone, Kind::Purge, Kind::Cancel];
        dies_everywhere_within(&path, &kinds, true).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subvolumes_with_others_within_survive_a_kill_at_each_point() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("btrfs");
    if let Some(_mounted) = Mounted::image("btrfs", &path, 1 << 30) {
        dies_everywhere_within(&path, &[Kind::Clone, Kind::Purge], false).await;
    }
}

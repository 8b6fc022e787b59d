//! The manager dies at every fault point it has, twice in a row, and each time the work is finished after the next start:
//! nothing is lost, nothing is left, nothing is done twice.

mod doomed;
mod stories;
mod waits;

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream};
use vfolder_tests::{Engine, on_each_engine};

use self::doomed::Doomed;

on_each_engine!(
    a_manager_that_dies_while_it_makes_and_changes_a_vfolder_loses_nothing,
    a_manager_that_dies_while_it_clones_loses_nothing,
    a_manager_that_dies_while_it_purges_loses_nothing,
    a_manager_that_dies_while_it_has_work_done_in_a_tree_loses_nothing,
    a_manager_that_dies_while_it_cancels_leaves_nothing,
    a_manager_that_dies_while_it_waits_or_sweeps_goes_on,
);

/// What a story passes through, each on both sides.
const MAKES: &[&str] = &[
    "vfolder.create",
    "vfolder.update",
    "mount.take",
    "mount.renew",
    "mount.release",
    "vfolder.delete",
    "call.fence_tree",
    "vfolder.fenced",
    "vfolder.restore",
    "feed.place",
];
const CLONES: &[&str] = &[
    "vfolder.clone",
    "operation.claim",
    "call.run_task",
    "operation.renew",
    "operation.finish",
    "call.forget_task",
];
const PURGES: &[&str] = &["vfolder.purge", "operation.forget"];
const PERFORMS: &[&str] = &["vfolder.perform"];
const CANCELS: &[&str] = &[
    "operation.cancel",
    "call.cancel_task",
    "operation.end_unstarted",
    "volume.pause",
];
const WAITS: &[&str] = &[
    "operation.release",
    "operation.give_back",
    "operation.retry_now",
    "sweep.mount",
    "sweep.purge",
    "sweep.records",
    "vfolder.take_over",
    "vfolder.reset",
];

#[test]
fn every_fault_point_of_the_manager_is_tried() {
    let mut tried: Vec<String> = [MAKES, CLONES, PURGES, PERFORMS, CANCELS, WAITS]
        .concat()
        .iter()
        .flat_map(|what| [format!("{what}.before"), format!("{what}.after")])
        .collect();
    tried.sort_unstable();
    let mut points = vfolder_manager::faults::points();
    points.sort_unstable();
    assert_eq!(tried, points);
}

/// Tells the story at each point, a few at once.
async fn at_each(points: &[&str], story: impl AsyncFn(&str, &mut Doomed), engine: Engine) {
    let sides = points
        .iter()
        .flat_map(|what| [format!("{what}.before"), format!("{what}.after")]);
    let mut told = BTreeMap::new();
    let stories = stream::iter(sides).map(|point| {
        let story = &story;
        async move {
            let mut doomed = Doomed::start(engine, &point).await;
            story(&point, &mut doomed).await;
            let deaths = doomed.deaths;
            doomed.finish(&point).await;
            (point, deaths)
        }
    });
    let mut stories = std::pin::pin!(stories.buffer_unordered(4));
    while let Some((point, deaths)) = stories.next().await {
        told.insert(point, deaths);
    }
    println!("{told:?}");
}

async fn a_manager_that_dies_while_it_makes_and_changes_a_vfolder_loses_nothing(engine: Engine) {
    at_each(MAKES, stories::makes_and_changes, engine).await;
}

async fn a_manager_that_dies_while_it_clones_loses_nothing(engine: Engine) {
    at_each(CLONES, stories::clones, engine).await;
}

async fn a_manager_that_dies_while_it_purges_loses_nothing(engine: Engine) {
    at_each(PURGES, stories::purges, engine).await;
}

async fn a_manager_that_dies_while_it_has_work_done_in_a_tree_loses_nothing(engine: Engine) {
    at_each(PERFORMS, stories::performs, engine).await;
}

async fn a_manager_that_dies_while_it_cancels_leaves_nothing(engine: Engine) {
    at_each(CANCELS, stories::cancels, engine).await;
}

async fn a_manager_that_dies_while_it_waits_or_sweeps_goes_on(engine: Engine) {
    at_each(WAITS, waits::waits_and_sweeps, engine).await;
}

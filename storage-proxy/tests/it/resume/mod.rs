//! A clone that is killed again and again, at random moments, goes on from where it was: in the end it is equal, and
//! hardly anything was copied twice.

mod life;
mod snapshot;
mod source;

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use vfolder_images::{Disk, Filesystem};

use self::{snapshot::Snapshot, source::Source};
use crate::{
    oracle,
    proxy::{Proxy, set_up_in},
    rsync,
    scenario::{Kind, Scenario},
    support::{Dice, seed},
};

/// The most that may be copied twice, of all entries and of all bytes.
const MOST_PERCENT: u64 = 1;

/// What all the lives of a task have cost.
#[derive(Debug, Default)]
struct Cost {
    entries_again: u64,
    bytes_written: u64,
}

/// A clone that is to come, on a filesystem of its own.
fn set_up(disk: &Disk) -> (TempDir, Scenario, PathBuf) {
    let dir = set_up_in(TempDir::new_in(disk.path()).unwrap());
    let scenario = Scenario::new(Kind::Clone, dir.path().join("v"));
    let staged = format!("v/staging/{}/tree", scenario.operation);
    let staged = dir.path().join(staged);
    (dir, scenario, staged)
}

async fn killed_and_resumed(filesystem: Filesystem, files: usize, kills: u64) {
    let Some(disk) = filesystem.make(8 << 30) else {
        return;
    };
    let seed = seed();
    let mut dice = Dice(seed);
    let (mut dir, scenario, staged) = set_up(&disk);
    let source = Source::fill(&scenario.tree(scenario.source), files, &mut dice);
    // Written in all when it dies. The last moments are left out: the clone must not be faster than us.
    let mut moments: Vec<u64> = (0..kills)
        .map(|_| source.bytes / 1000 * dice.roll(950) as u64)
        .collect();
    moments.sort_unstable();

    let (mut cost, mut before) = (Cost::default(), Snapshot::default());
    for moment in moments {
        let proxy = Proxy::start_armed(dir, "").await.unwrap();
        let left = moment.saturating_sub(cost.bytes_written);
        let written;
        (dir, written) = life::until_written(proxy, &scenario, left).await;
        cost.bytes_written += written;
        let now = Snapshot::of(&staged);
        cost.entries_again += before.lost_in(&now);
        before = now;
    }
    let lives = Lives { dir, kills, seed };
    goes_on_to_the_end(lives, &scenario, &source, cost, &before).await;
}

/// Also where blocks are shared: since nothing is written there, entries tell how far it is.
async fn killed_at_entries_and_resumed(filesystem: Filesystem, files: usize, kills: u64) {
    let Some(disk) = filesystem.make(2 << 30) else {
        return;
    };
    let seed = seed();
    let mut dice = Dice(seed);
    let (mut dir, scenario, staged) = set_up(&disk);
    // On btrfs: else it would be a snapshot.
    scenario.nest();
    let source = Source::fill(&scenario.tree(scenario.source), files, &mut dice);
    let mut moments: Vec<usize> = (0..kills)
        .map(|_| 1 + dice.roll(source.entries as usize * 95 / 100))
        .collect();
    moments.sort_unstable();

    let (mut cost, mut before) = (Cost::default(), Snapshot::default());
    for moment in moments {
        let armed = Proxy::start_armed(dir, &format!("clone.copying=kill@{moment}")).await;
        let proxy = armed.unwrap_or_else(|_| panic!("it died before it was asked"));
        scenario.run(&proxy).await.unwrap_err();
        dir = proxy.died("entries").await;
        let now = Snapshot::of(&staged);
        cost.entries_again += before.lost_in(&now);
        before = now;
    }
    let lives = Lives { dir, kills, seed };
    goes_on_to_the_end(lives, &scenario, &source, cost, &before).await;
}

/// What was killed, and how often.
struct Lives {
    dir: TempDir,
    kills: u64,
    seed: u64,
}

async fn goes_on_to_the_end(
    Lives { dir, kills, seed }: Lives,
    scenario: &Scenario,
    source: &Source,
    mut cost: Cost,
    before: &Snapshot,
) {
    let files = source.entries as usize;
    let proxy = Proxy::start_armed(dir, "").await.unwrap();
    let failure = scenario.run(&proxy).await.unwrap().failure;
    assert_eq!(failure, None);
    cost.bytes_written += life::written_by(proxy.process.id());
    let log = fs::read_to_string(proxy.dir.path().join("log")).unwrap();
    let tree = scenario.tree(scenario.vfolder);
    cost.entries_again += before.lost_in(&Snapshot::of(&tree));

    report(source, &cost, kills, seed, &log);
    assert_equal(&scenario.tree(scenario.source), &tree, files);
    scenario.forget_and_find_nothing(&proxy, "resumed").await;
}

/// Says what was copied twice, and fails if it was too much.
fn report(source: &Source, cost: &Cost, kills: u64, seed: u64, log: &str) {
    let bytes_again = cost.bytes_written.saturating_sub(source.bytes);
    let percent = |part: u64, all: u64| part as f64 * 100.0 / all as f64;
    eprintln!(
        "VFOLDER_TEST_SEED={seed}\n{kills} kills in a clone of {} entries, {} bytes; copied again: {} entries ({:.2} %), \
         {bytes_again} bytes ({:.2} %)",
        source.entries,
        source.bytes,
        cost.entries_again,
        percent(cost.entries_again, source.entries),
        percent(bytes_again, source.bytes),
    );
    let told = log
        .lines()
        .find(|line| line.contains("clone resumed"))
        .expect("a clone that goes on says so");
    eprintln!("{told}");
    let field = |name: &str| life::field(told, name);
    assert_eq!(
        field("kept_entries") + field("copied_entries"),
        source.entries,
        "{told}"
    );
    // A linked file counts once.
    assert_eq!(
        field("kept_bytes") + field("copied_bytes"),
        source.bytes,
        "{told}"
    );
    assert!(
        cost.entries_again * 100 < source.entries * MOST_PERCENT,
        "{cost:?}"
    );
    assert!(bytes_again * 100 < source.bytes * MOST_PERCENT, "{cost:?}");
}

fn assert_equal(source: &Path, copy: &Path, files: usize) {
    rsync::assert_same(source, copy, None);
    // Ours holds both trees' contents in memory.
    if files <= 50_000 {
        oracle::assert_same(&oracle::describe(source), &oracle::describe(copy));
    }
}

// The client must hear of the end while the test waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clone_killed_at_random_moments_goes_on_and_ends_equal() {
    if env::var_os("VFOLDER_TEST_LONG").is_some() {
        killed_and_resumed(Filesystem::Ext4, 200_000, 50).await;
    } else {
        killed_and_resumed(Filesystem::Ext4, 20_000, 5).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clone_of_few_files_goes_on_in_a_plain_directory_as_well() {
    killed_and_resumed(Filesystem::Plain, 3_000, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clone_that_shares_blocks_goes_on_as_well() {
    killed_at_entries_and_resumed(Filesystem::Xfs, 3_000, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clone_into_a_subvolume_goes_on_as_well() {
    killed_at_entries_and_resumed(Filesystem::Btrfs, 3_000, 3).await;
}

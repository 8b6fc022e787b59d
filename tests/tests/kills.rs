//! `kill -9` of either service, or both, while a clone or a purge is at several points, and a new start: the operation
//! ends, its result is whole or absent, and the doctor finds nothing.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use vfolder_proto::{
    google::longrunning::{Operation, operation::Result as Outcome},
    v1::VFolderStatus,
};
use vfolder_tests::{
    Engine, Service, System, User, assert_same_tree, eventually, fill, on_each_engine, on_postgres,
    operation_metadata,
};

on_each_engine!(
    a_clone_survives_the_manager,
    a_clone_survives_the_storage_proxy,
    a_clone_survives_both,
    a_purge_survives_the_manager,
    a_purge_survives_the_storage_proxy,
    a_purge_survives_both,
    a_creation_survives_the_manager,
);
on_postgres!(another_manager_finishes_what_a_killed_one_began);

/// Enough that a kill comes while the work is going on.
const FILES: usize = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Manager,
    Storage,
    Both,
}

/// Where the work is when the victim is killed, as the volume shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    /// The operation's record is written.
    Begun,
    /// The storage-proxy has noted the task.
    Journalled,
    /// The first part of the copy, or of the remains, is there.
    Early,
    /// Half of it.
    Half,
    /// The copy is published, the remains are gone; the manager may not have heard.
    Done,
}

const POINTS: [Point; 5] = [
    Point::Begun,
    Point::Journalled,
    Point::Early,
    Point::Half,
    Point::Done,
];

async fn a_clone_survives_the_manager(engine: Engine) {
    clones_survive(engine, Victim::Manager).await;
}

async fn a_clone_survives_the_storage_proxy(engine: Engine) {
    clones_survive(engine, Victim::Storage).await;
}

async fn a_clone_survives_both(engine: Engine) {
    clones_survive(engine, Victim::Both).await;
}

async fn a_purge_survives_the_manager(engine: Engine) {
    purges_survive(engine, Victim::Manager).await;
}

async fn a_purge_survives_the_storage_proxy(engine: Engine) {
    purges_survive(engine, Victim::Storage).await;
}

async fn a_purge_survives_both(engine: Engine) {
    purges_survive(engine, Victim::Both).await;
}

async fn clones_survive(engine: Engine, victim: Victim) {
    let mut system = start(engine).await;
    let alice = system.user("alice");
    let source = alice.create("source").await.unwrap().id;
    fill(&system.tree(&source), FILES, 100);
    let mut met = 0;
    for point in POINTS {
        let operation = alice
            .clone_to(&source, &format!("copy-{point:?}"))
            .await
            .unwrap();
        let copy = operation_metadata(&operation).vfolder_id;
        let work = Work::of(&system, &operation);
        let all = count(&system.tree(&source));
        let met_it = reach(
            point,
            || match point {
                Point::Begun => true,
                Point::Journalled => work.journal.exists(),
                Point::Early => work.staging.exists(),
                Point::Half => count_in(&work.staging) * 2 > all,
                Point::Done => system.tree(&copy).exists(),
            },
            || system.tree(&copy).exists(),
        );
        met += usize::from(met_it);
        kill_and_start(&mut system, victim).await;
        let ended = alice.wait(&operation.name).await;
        assert!(
            matches!(ended.result, Some(Outcome::Response(_))),
            "at {point:?}: {ended:?}"
        );
        assert_eq!(alice.status(&copy).await, VFolderStatus::Ready);
        assert_eq!(alice.status(&source).await, VFolderStatus::Ready);
        assert_same_tree(&system.tree(&source), &system.tree(&copy));
        system.assert_sound().await;
    }
    assert!(
        met >= 3,
        "the work was over before the points came: {met} of 5 were met"
    );
}

async fn purges_survive(engine: Engine, victim: Victim) {
    let mut system = start(engine).await;
    let alice = system.user("alice");
    let mut met = 0;
    for point in POINTS {
        let id = alice.create(&format!("doomed-{point:?}")).await.unwrap().id;
        let tree = system.tree(&id);
        fill(&tree, FILES, 100);
        let all = count(&tree);
        alice.trash(&id).await.unwrap();
        let operation = alice.purge(&id).await.unwrap();
        let work = Work::of(&system, &operation);
        let over = || !tree.exists() && !work.trash.exists();
        let met_it = reach(
            point,
            || match point {
                Point::Begun => true,
                Point::Journalled => work.journal.exists(),
                Point::Early => work.trash.exists(),
                Point::Half => !tree.exists() && count_in(&work.trash) * 2 < all,
                Point::Done => over(),
            },
            over,
        );
        met += usize::from(met_it);
        kill_and_start(&mut system, victim).await;
        let ended = alice.wait(&operation.name).await;
        assert!(
            matches!(ended.result, Some(Outcome::Response(_))),
            "at {point:?}: {ended:?}"
        );
        assert_eq!(alice.status(&id).await, VFolderStatus::Deleted);
        assert!(!tree.exists());
        // Its space comes back without anybody's help.
        eventually("the remains are gone", async || {
            (!work.trash.exists()).then_some(())
        })
        .await;
        system.assert_sound().await;
    }
    assert!(
        met >= 3,
        "the work was over before the points came: {met} of 5 were met"
    );
}

async fn a_creation_survives_the_manager(engine: Engine) {
    let mut system = start(engine).await;
    let alice = system.user("alice");
    let creations: Vec<_> = (0..32)
        .map(|number| {
            let alice = alice.clone();
            tokio::spawn(async move { alice.create(&format!("v{number}")).await })
        })
        .collect();
    eventually("the first record is written", async || {
        let any = "SELECT CAST(id AS TEXT) AS value FROM vfolders LIMIT 1";
        system.database.values(any).await.pop()
    })
    .await;
    kill_and_start(&mut system, Victim::Manager).await;
    for creation in creations {
        let _ = creation.await.unwrap(); // Answered, or cut off: the caller can't know more.
    }
    eventually("nothing is CREATING", async || {
        let creating = "SELECT CAST(id AS TEXT) AS value FROM vfolders WHERE status = 'CREATING'";
        system
            .database
            .values(creating)
            .await
            .is_empty()
            .then_some(())
    })
    .await;
    system.assert_sound().await;
}

/// With the killed one's lease running out first.
async fn another_manager_finishes_what_a_killed_one_began(engine: Engine) {
    let mut system = start(engine).await;
    let alice = system.user("alice");
    let source = alice.create("source").await.unwrap().id;
    fill(&system.tree(&source), FILES, 100);
    let operation = alice.clone_to(&source, "copy").await.unwrap();
    let other: Service = system.another_manager("manager-2").await;
    system.manager.kill();
    let alice = User::new(other.channel(), &system.tokens.user("alice"));
    let ended = alice.wait(&operation.name).await;
    let copy = operation_metadata(&ended).vfolder_id;
    assert_same_tree(&system.tree(&source), &system.tree(&copy));
    system.assert_sound().await;
}

async fn start(engine: Engine) -> System {
    System::on(engine)
        .with(|s| s.lease = "1s".into())
        .start()
        .await
}

/// Where a volume shows an operation's work.
struct Work {
    journal: PathBuf,
    staging: PathBuf,
    trash: PathBuf,
}

impl Work {
    fn of(system: &System, operation: &Operation) -> Self {
        let id = operation.name.strip_prefix("operations/").unwrap();
        let area = |area: &str| system.volume().join(area).join(id);
        Self {
            journal: area("journal"),
            staging: area("staging"),
            trash: area("trash"),
        }
    }
}

/// Looks without a pause until the point is there, or the work is over. Whether the point was there.
fn reach(point: Point, is_there: impl Fn() -> bool, is_over: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if is_there() {
            return true;
        }
        if is_over() {
            return false;
        }
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "{point:?} did not come"
        );
    }
}

/// How many entries the root of a tree has.
fn count(tree: &Path) -> usize {
    fs::read_dir(tree).map_or(0, Iterator::count)
}

/// The same of the trees in a folder of staging or trash, which come and go meanwhile.
fn count_in(folder: &Path) -> usize {
    let trees = fs::read_dir(folder).into_iter().flatten().flatten();
    trees.map(|tree| count(&tree.path())).sum()
}

async fn kill_and_start(system: &mut System, victim: Victim) {
    if victim != Victim::Storage {
        system.manager.kill();
    }
    if victim != Victim::Manager {
        system.storage.kill();
        system.start_storage().await;
    }
    if victim != Victim::Storage {
        system.start_manager().await;
    }
}

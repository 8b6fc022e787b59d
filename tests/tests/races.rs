//! Sixty-four callers at once on one vfolder.

use std::{collections::BTreeMap, env};

use futures_util::future::join_all;
use tokio::sync::Barrier;
use vfolder_proto::{
    google::longrunning::ListOperationsRequest,
    v1::{MountMode, VFolderStatus},
};
use vfolder_tests::{Engine, System, User, eventually, on_each_engine};

use crate::{
    crowd::{Act, Dice, race},
    history::{actions, assert_one_after_the_other, history, steps},
};

on_each_engine!(
    whatever_is_asked_at_once_happens_one_after_the_other,
    of_sixty_four_who_trash_one_wins,
    of_sixty_four_who_purge_one_wins,
    either_it_is_trashed_or_it_is_mounted,
    either_it_is_purged_or_it_is_cloned,
    one_session_that_mounts_sixty_four_times_has_one_mount,
);

const CALLERS: usize = 64;

async fn whatever_is_asked_at_once_happens_one_after_the_other(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let mut dice = Dice::new();
    for round in 0..rounds(12) {
        let vfolder = alice.create(&format!("round-{round}")).await.unwrap().id;
        let acts = (0..CALLERS)
            .map(|_| Act::ALL[dice.below(Act::ALL.len())])
            .collect();
        let admitted = race(&alice, &vfolder, acts).await;
        settle(&alice).await;
        let events = history(&alice, &vfolder).await;
        assert_one_after_the_other(&events, alice.status(&vfolder).await);
        // Each success is in the history once, and nothing is there that nobody was told of.
        let mut expected = BTreeMap::new();
        for (act, count) in &admitted {
            *expected.entry(act.action()).or_insert(0) += count;
            if *act == Act::Unmount {
                *expected.entry("Mount").or_insert(0) += count;
            }
        }
        let mut found = actions(&events);
        for (action, count) in expected {
            assert_eq!(
                found.remove(action),
                Some(count),
                "{action} in round {round}:\n{}",
                steps(&events)
            );
        }
        for act in Act::ALL {
            // An Unmount that lost may have mounted before.
            assert!(
                act.action() == "Mount" || !found.contains_key(act.action()),
                "{act:?} in round {round}:\n{}",
                steps(&events)
            );
        }
        system.assert_sound().await;
    }
}

async fn of_sixty_four_who_trash_one_wins(engine: Engine) {
    one_wins(engine, Act::Trash, VFolderStatus::Trashed).await;
}

async fn of_sixty_four_who_purge_one_wins(engine: Engine) {
    one_wins(engine, Act::Purge, VFolderStatus::Deleted).await;
}

async fn one_wins(engine: Engine, act: Act, end: VFolderStatus) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    for round in 0..rounds(5) {
        let vfolder = alice.create(&format!("round-{round}")).await.unwrap().id;
        let admitted = race(&alice, &vfolder, vec![act; CALLERS]).await;
        assert_eq!(admitted, BTreeMap::from([(act, 1)]), "round {round}");
        settle(&alice).await;
        assert_eq!(alice.status(&vfolder).await, end);
        system.assert_sound().await;
    }
}

async fn either_it_is_trashed_or_it_is_mounted(engine: Engine) {
    either_or(engine, Act::Trash, Act::MountReadWrite).await;
}

async fn either_it_is_purged_or_it_is_cloned(engine: Engine) {
    either_or(engine, Act::Purge, Act::Clone).await;
}

/// One winner of the one kind and none of the other, or none of the one. A clone ends, so that a purge may follow it.
async fn either_or(engine: Engine, exclusive: Act, other: Act) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    for round in 0..rounds(8) {
        let vfolder = alice.create(&format!("round-{round}")).await.unwrap().id;
        let acts = [exclusive, other].repeat(CALLERS / 2);
        let admitted = race(&alice, &vfolder, acts).await;
        let won = |act| admitted.get(&act).copied().unwrap_or(0);
        assert!(won(exclusive) <= 1, "round {round}: {admitted:?}");
        settle(&alice).await;
        let events = history(&alice, &vfolder).await;
        assert_one_after_the_other(&events, alice.status(&vfolder).await);
        if other == Act::MountReadWrite {
            assert_eq!(
                won(exclusive) == 0,
                won(other) > 0,
                "round {round}: {admitted:?}"
            );
        }
        system.assert_sound().await;
    }
}

async fn one_session_that_mounts_sixty_four_times_has_one_mount(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let vfolder = alice.create("shared").await.unwrap().id;
    let barrier = Barrier::new(CALLERS);
    let mounts = join_all((0..CALLERS).map(|_| async {
        barrier.wait().await;
        alice
            .mount(&vfolder, "the-session", MountMode::ReadWrite)
            .await
            .unwrap()
            .id
    }))
    .await;
    assert!(
        mounts.windows(2).all(|pair| pair[0] == pair[1]),
        "{mounts:?}"
    );
    let rows = system
        .database
        .values("SELECT CAST(id AS TEXT) AS value FROM mounts")
        .await;
    assert_eq!(rows, [mounts[0].clone()]);
    system.assert_sound().await;
}

/// Waits until nothing is going on.
async fn settle(user: &User) {
    eventually("all operations have ended", async || {
        let request = ListOperationsRequest {
            filter: "done = false".into(),
            ..ListOperationsRequest::default()
        };
        let live = user
            .operations
            .clone()
            .list_operations(request)
            .await
            .unwrap()
            .into_inner();
        live.operations.is_empty().then_some(())
    })
    .await;
}

/// How many rounds: many more in `make test-long`.
fn rounds(usual: usize) -> usize {
    if env::var_os("VFOLDER_TEST_LONG").is_some() {
        usual * 20
    } else {
        usual
    }
}

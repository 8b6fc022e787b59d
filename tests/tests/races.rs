//! Sixty-four callers at once on one vfolder.

use std::{collections::BTreeMap, env, sync::Arc};

use futures_util::future::join_all;
use prost_types::FieldMask;
use tokio::sync::Barrier;
use tonic::{Code, Status};
use uuid::Uuid;
use vfolder_proto::{
    google::longrunning::ListOperationsRequest,
    v1::{MountMode, PurgeVFolderRequest, UpdateVFolderRequest, VFolder, VFolderStatus},
};
use vfolder_tests::{Engine, System, User, eventually, on_each_engine, reason_of};

use crate::history::{actions, assert_one_after_the_other, history, steps};

on_each_engine!(
    whatever_is_asked_at_once_happens_one_after_the_other,
    of_sixty_four_who_trash_one_wins,
    of_sixty_four_who_purge_one_wins,
    either_it_is_trashed_or_it_is_mounted,
    either_it_is_purged_or_it_is_cloned,
    one_session_that_mounts_sixty_four_times_has_one_mount,
);

const CALLERS: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Act {
    Clone,
    Trash,
    Restore,
    Purge,
    MountReadOnly,
    MountReadWrite,
    Unmount,
    Update,
}

impl Act {
    const ALL: [Self; 8] = [
        Self::Clone,
        Self::Trash,
        Self::Restore,
        Self::Purge,
        Self::MountReadOnly,
        Self::MountReadWrite,
        Self::Unmount,
        Self::Update,
    ];

    /// What the history calls it.
    fn action(self) -> &'static str {
        match self {
            Self::Clone => "CloneVFolder",
            Self::Trash => "DeleteVFolder",
            Self::Restore => "RestoreVFolder",
            Self::Purge => "PurgeVFolder",
            Self::MountReadOnly | Self::MountReadWrite => "Mount",
            Self::Unmount => "Unmount",
            Self::Update => "UpdateVFolder",
        }
    }

    async fn perform(self, user: &User, vfolder: &str, number: usize) -> Result<(), Status> {
        let session = format!("session-{number}");
        match self {
            Self::Clone => user
                .clone_to(vfolder, &format!("copy-{vfolder}-{number}"))
                .await
                .map(drop),
            Self::Trash => user.trash(vfolder).await.map(drop),
            Self::Restore => user.restore(vfolder).await.map(drop),
            Self::Purge => purge(user, vfolder).await,
            Self::MountReadOnly => user
                .mount(vfolder, &session, MountMode::ReadOnly)
                .await
                .map(drop),
            Self::MountReadWrite => user
                .mount(vfolder, &session, MountMode::ReadWrite)
                .await
                .map(drop),
            Self::Unmount => {
                let mount = user.mount(vfolder, &session, MountMode::ReadOnly).await?;
                user.unmount(&mount).await
            }
            Self::Update => {
                let request = UpdateVFolderRequest {
                    vfolder: Some(VFolder {
                        id: vfolder.into(),
                        description: session,
                        ..VFolder::default()
                    }),
                    update_mask: Some(FieldMask {
                        paths: vec!["description".into()],
                    }),
                    validate_only: false,
                };
                user.vfolders
                    .clone()
                    .update_v_folder(request)
                    .await
                    .map(drop)
            }
        }
    }
}

/// All callers let go at once; who asked for what, and whether it was admitted.
async fn race(user: &User, vfolder: &str, acts: Vec<Act>) -> BTreeMap<Act, usize> {
    let barrier = Arc::new(Barrier::new(acts.len()));
    let callers = acts.into_iter().enumerate().map(|(number, act)| {
        let (user, vfolder, barrier) = (user.clone(), vfolder.to_owned(), Arc::clone(&barrier));
        tokio::spawn(async move {
            barrier.wait().await;
            (act, act.perform(&user, &vfolder, number).await)
        })
    });
    let mut admitted = BTreeMap::new();
    for caller in join_all(callers).await {
        let (act, answer) = caller.unwrap();
        match answer {
            Ok(()) => *admitted.entry(act).or_default() += 1,
            Err(status) => assert_loser(act, &status),
        }
    }
    admitted
}

/// Who loses is told in which status the vfolder is, and nothing else goes wrong.
fn assert_loser(act: Act, status: &Status) {
    let told = (status.code(), reason_of(status));
    let fine = matches!(
        (told.0, told.1.as_str()),
        (Code::Aborted, "VFOLDER_BUSY") | (Code::FailedPrecondition, "VFOLDER_STATUS")
    );
    assert!(fine, "{act:?} lost with {told:?}: {}", status.message());
}

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

async fn purge(user: &User, vfolder: &str) -> Result<(), Status> {
    let request = PurgeVFolderRequest {
        vfolder_id: vfolder.into(),
        skip_trash: true,
        ..PurgeVFolderRequest::default()
    };
    user.vfolders
        .clone()
        .purge_v_folder(request)
        .await
        .map(drop)
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

/// Numbers that look random; what a failing run had is printed, and VFOLDER_TEST_SEED has them again.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let given = env::var("VFOLDER_TEST_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| Uuid::new_v4().as_u64_pair().0);
        println!("VFOLDER_TEST_SEED={seed}");
        Self(seed)
    }

    /// SplitMix64 (Steele, Lea, Flood 2014).
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let bound = u64::try_from(bound).unwrap();
        usize::try_from((z ^ (z >> 31)) % bound).unwrap()
    }
}

//! A volume's queue: turns, caps, pauses and limits.

use std::collections::BTreeSet;

use diesel_async::{AsyncConnection as _, AsyncPgConnection, SimpleAsyncConnection as _};
use futures_util::{StreamExt as _, stream};
use tonic::Code;
use vfolder_proto::v1::{
    ExplainRequest, GetVolumeRequest, PauseVolumeRequest, ResumeVolumeRequest, VFolderStatus,
    Volume,
};
use vfolder_tests::{
    Engine, System, User, assert_refused, eventually, on_each_engine, on_postgres,
    operation_metadata,
};

on_each_engine!(
    a_thousand_clones_of_one_owner_do_not_keep_anothers_one_waiting,
    a_paused_volume_begins_nothing_and_says_so,
    a_queued_operation_is_cancelled_without_its_turn,
    a_full_queue_refuses_and_says_when_to_come_back,
    only_administrators_pause_a_volume,
);
on_postgres!(
    a_volumes_cap_holds_among_managers,
    a_claim_waits_for_nobody_who_holds_a_vfolder,
);

const MANY: usize = 1_000;
const CAP: usize = 4;

fn cap(cap: usize) -> String {
    format!("max_running_per_volume = {cap}")
}

async fn pause(system: &System, reason: &str) -> Volume {
    let request = PauseVolumeRequest {
        volume: "local".into(),
        reason: reason.into(),
    };
    let admin = system.admin();
    let paused = admin.volumes.clone().pause_volume(request).await;
    paused.unwrap().into_inner()
}

async fn resume(system: &System) -> Volume {
    let request = ResumeVolumeRequest {
        volume: "local".into(),
    };
    let admin = system.admin();
    let resumed = admin.volumes.clone().resume_volume(request).await;
    resumed.unwrap().into_inner()
}

async fn place(user: &User, operation: &str) -> i64 {
    operation_metadata(&user.operation(operation).await.unwrap()).queue_place
}

async fn a_thousand_clones_of_one_owner_do_not_keep_anothers_one_waiting(engine: Engine) {
    let system = System::on(engine)
        .with(|s| s.operations = cap(CAP))
        .start()
        .await;
    let (alice, bob) = (system.user("alice"), system.user("bob"));
    let (hers, his) = (
        alice.create("data").await.unwrap().id,
        bob.create("data").await.unwrap().id,
    );
    pause(&system, "so that all of them queue").await;
    let queued: Vec<String> = stream::iter(0..MANY)
        .map(|n| {
            let (alice, hers) = (alice.clone(), hers.clone());
            async move {
                alice
                    .clone_to(&hers, &format!("copy-{n}"))
                    .await
                    .unwrap()
                    .name
            }
        })
        .buffer_unordered(16)
        .collect()
        .await;
    let one = bob.clone_to(&his, "copy").await.unwrap().name;
    assert_eq!(queued.len(), MANY);
    assert!(place(&bob, &one).await <= 2, "{}", place(&bob, &one).await);

    resume(&system).await;
    let ended = operation_metadata(&bob.wait(&one).await);
    let began = ended.start_time.unwrap();
    let query = format!(
        "SELECT CAST(count(*) AS TEXT) AS value FROM operations WHERE kind = 'CLONE' AND start_time IS NOT NULL \
         AND start_time < (SELECT start_time FROM operations WHERE id = '{}')",
        one.trim_start_matches("operations/")
    );
    let before: usize = system.database.values(&query).await[0].parse().unwrap();
    println!("{engine:?}: {before} of {MANY} began before the other owner's one, at {began:?}");
    assert!(before <= CAP, "{before} began before");
}

async fn a_paused_volume_begins_nothing_and_says_so(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    let paused = pause(&system, "new disks").await;
    assert!(paused.paused && paused.pause_time.is_some());
    let clone = alice.clone_to(&id, "copy").await.unwrap();
    assert_eq!(operation_metadata(&clone).queue_place, 1);
    let explain = ExplainRequest {
        vfolder_id: id.clone(),
    };
    let why = alice
        .vfolders
        .clone()
        .explain(explain)
        .await
        .unwrap()
        .into_inner();
    for word in ["paused", "new disks", "place 1"] {
        assert!(why.explanation.contains(word), "{}", why.explanation);
    }
    let request = GetVolumeRequest {
        volume: "local".into(),
    };
    let volume = alice
        .volumes
        .clone()
        .get_volume(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (
            volume.paused,
            volume.waiting_operations,
            volume.running_operations
        ),
        (true, 1, 0)
    );
    // Repeated, it is harmless, and the last reason counts.
    assert_eq!(pause(&system, "old disks").await.pause_reason, "old disks");
    let resumed = resume(&system).await;
    assert_eq!((resumed.paused, resumed.pause_reason.as_str()), (false, ""));
    assert!(alice.wait(&clone.name).await.done);
    system.assert_sound().await;
}

async fn a_queued_operation_is_cancelled_without_its_turn(engine: Engine) {
    let mut system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    pause(&system, "").await;
    let clone = alice.clone_to(&id, "copy").await.unwrap();
    let copy = operation_metadata(&clone).vfolder_id;
    // Nobody has begun it, so nobody need be asked.
    system.storage.kill();
    alice.cancel(&clone.name).await.unwrap();
    let ended = alice.operation(&clone.name).await.unwrap();
    assert!(ended.done, "{ended:?}");
    assert_eq!(alice.status(&id).await, VFolderStatus::Ready);
    assert_eq!(alice.status(&copy).await, VFolderStatus::Deleted);
    system.start_storage().await;
    resume(&system).await;
    system.assert_sound().await;
}

async fn a_full_queue_refuses_and_says_when_to_come_back(engine: Engine) {
    let limits = "max_queue_per_volume = 3\nmax_queue_per_owner = 2";
    let system = System::on(engine)
        .with(|s| s.operations = limits.into())
        .start()
        .await;
    let users = ["alice", "bob", "carol"].map(|name| system.user(name));
    let mut sources = Vec::new();
    for user in &users {
        sources.push(user.create("data").await.unwrap().id);
    }
    pause(&system, "").await;
    let queue = async |n: usize, name: &str| users[n].clone_to(&sources[n], name).await;
    queue(0, "first").await.unwrap();
    queue(0, "second").await.unwrap();
    let refused = assert_refused(
        queue(0, "third").await,
        Code::ResourceExhausted,
        "QUEUE_FULL",
    );
    assert!(
        refused.message().contains("this owner"),
        "{}",
        refused.message()
    );
    queue(1, "first").await.unwrap();
    // Full for everybody; nothing of what was refused is left.
    let refused = assert_refused(
        queue(2, "first").await,
        Code::ResourceExhausted,
        "QUEUE_FULL",
    );
    assert!(
        !refused.message().contains("this owner"),
        "{}",
        refused.message()
    );
    assert_eq!(users[2].status(&sources[2]).await, VFolderStatus::Ready);
    resume(&system).await;
    eventually("there is room again", async || queue(2, "first").await.ok()).await;
    system.assert_sound().await;
}

async fn only_administrators_pause_a_volume(engine: Engine) {
    let system = System::start(engine).await;
    let request = PauseVolumeRequest {
        volume: "local".into(),
        ..PauseVolumeRequest::default()
    };
    let alice = system.user("alice");
    let refused = alice.volumes.clone().pause_volume(request).await;
    assert_refused(refused, Code::PermissionDenied, "PERMISSION_TOO_SMALL");
    let request = ResumeVolumeRequest {
        volume: "elsewhere".into(),
    };
    let refused = system.admin().volumes.clone().resume_volume(request).await;
    assert_refused(refused, Code::NotFound, "VOLUME_NOT_FOUND");
}

async fn a_volumes_cap_holds_among_managers(engine: Engine) {
    const CLONES: usize = 60;
    let system = System::on(engine)
        .with(|s| s.operations = cap(2))
        .start()
        .await;
    let others = [
        system.another_manager("manager-2").await,
        system.another_manager("manager-3").await,
    ];
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    let mut names = Vec::new();
    for n in 0..CLONES {
        names.push(
            alice
                .clone_to(&id, &format!("copy-{n}"))
                .await
                .unwrap()
                .name,
        );
    }
    let owners = "SELECT lease_owner::text AS value FROM operations WHERE kind = 'CLONE' AND state = 'RUNNING'";
    let mut seen = BTreeSet::new();
    eventually("all have ended", async || {
        let running = system.database.values(owners).await;
        assert!(running.len() <= 2, "{running:?}");
        seen.extend(running);
        alice
            .operation(names.last().unwrap())
            .await
            .unwrap()
            .done
            .then_some(())
    })
    .await;
    println!("{} managers were seen at work", seen.len());
    drop(others);
    for name in &names {
        assert!(alice.wait(name).await.done);
    }
}

/// Who cancels holds the vfolders and waits for the operation's row: a claim that waited for them, with that row in its hands,
/// would be a deadlock.
async fn a_claim_waits_for_nobody_who_holds_a_vfolder(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let source = alice.create("source").await.unwrap().id;
    pause(&system, "so that it queues").await;
    let clone = alice.clone_to(&source, "copy").await.unwrap();
    let mut holder = AsyncPgConnection::establish(&system.database.url())
        .await
        .unwrap();
    let hold = "BEGIN; SELECT id FROM vfolders FOR UPDATE";
    holder.batch_execute(hold).await.unwrap();
    resume(&system).await;
    let attempts = "SELECT attempt::text AS value FROM operations WHERE kind = 'CLONE'";
    eventually("it is claimed", async || {
        (system.database.values(attempts).await == ["1"]).then_some(())
    })
    .await;
    holder.batch_execute("ROLLBACK").await.unwrap();
    alice.wait(&clone.name).await;
    assert_eq!(alice.status(&source).await, VFolderStatus::Ready);
}

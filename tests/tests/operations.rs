//! google.longrunning.Operations.

use std::time::{Duration, Instant};

use tonic::Code;
use vfolder_proto::{
    google::longrunning::{
        DeleteOperationRequest, ListOperationsRequest, WaitOperationRequest,
        operation::Result as Outcome,
    },
    v1::{OperationState, VFolderStatus},
};
use vfolder_tests::{
    Engine, System, assert_refused, eventually, on_each_engine, operation_metadata,
};

use crate::staged::{Staged, StagedClone, release};

on_each_engine!(
    a_wait_ends_with_its_timeout,
    many_may_wait_for_one_operation,
    a_live_operation_is_not_forgotten_and_an_ended_one_is,
    an_operation_is_visible_to_who_asked_and_who_sees_its_vfolder,
    a_purge_is_not_cancelled,
    a_wish_to_cancel_outlives_the_manager,
);

async fn a_wait_ends_with_its_timeout(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let clone = stage(&system, "source").await;
    let request = WaitOperationRequest {
        name: clone.name(),
        timeout: Some(prost_types::Duration {
            seconds: 1,
            nanos: 0,
        }),
    };
    let start = Instant::now();
    let waited = alice
        .operations
        .clone()
        .wait_operation(request)
        .await
        .unwrap()
        .into_inner();
    assert!(!waited.done);
    assert!(
        start.elapsed() >= Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(operation_metadata(&waited).state(), OperationState::Running);
}

async fn many_may_wait_for_one_operation(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let clone = stage(&system, "source").await;
    let waiting: Vec<_> = (0..32)
        .map(|_| {
            let (alice, name) = (alice.clone(), clone.name());
            tokio::spawn(async move { alice.wait(&name).await })
        })
        .collect();
    release(&system.database, &clone.operation).await;
    for waited in waiting {
        assert!(matches!(
            waited.await.unwrap().result,
            Some(Outcome::Response(_))
        ));
    }
}

async fn a_live_operation_is_not_forgotten_and_an_ended_one_is(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let clone = stage(&system, "source").await;
    let forget = || DeleteOperationRequest { name: clone.name() };
    let mut operations = alice.operations.clone();
    let live = operations.delete_operation(forget()).await;
    assert_refused(live, Code::FailedPrecondition, "OPERATION_LIVE");
    release(&system.database, &clone.operation).await;
    alice.wait(&clone.name()).await;
    operations.delete_operation(forget()).await.unwrap();
    assert_refused(
        alice.operation(&clone.name()).await,
        Code::NotFound,
        "OPERATION_NOT_FOUND",
    );
    assert_refused(
        operations.delete_operation(forget()).await,
        Code::NotFound,
        "OPERATION_NOT_FOUND",
    );
    assert_eq!(alice.status(&clone.destination).await, VFolderStatus::Ready);
    system.assert_sound().await;
}

async fn an_operation_is_visible_to_who_asked_and_who_sees_its_vfolder(engine: Engine) {
    let system = System::start(engine).await;
    let clone = stage(&system, "source").await;
    let name = clone.name();
    let bob = system.user("bob");
    assert_refused(
        bob.operation(&name).await,
        Code::NotFound,
        "OPERATION_NOT_FOUND",
    );
    assert_refused(
        bob.cancel(&name).await,
        Code::NotFound,
        "OPERATION_NOT_FOUND",
    );
    let filter = format!("vfolder_id = \"{}\"", clone.destination);
    for (user, sees) in [
        (system.user("alice"), true),
        (bob, false),
        (system.admin(), true),
    ] {
        let request = ListOperationsRequest {
            filter: filter.clone(),
            ..ListOperationsRequest::default()
        };
        let listed = user
            .operations
            .clone()
            .list_operations(request)
            .await
            .unwrap()
            .into_inner();
        assert_eq!(listed.operations.iter().any(|o| o.name == name), sees);
    }
    system.admin().operation(&name).await.unwrap();
}

async fn a_purge_is_not_cancelled(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("doomed").await.unwrap().id;
    Staged::on(&system.database, &id)
        .status(VFolderStatus::Deleting)
        .write()
        .await;
    let name = alice.get(&id).await.unwrap().operations.pop().unwrap();
    let answer = alice.cancel(&name).await;
    assert_refused(
        answer,
        Code::FailedPrecondition,
        "OPERATION_NOT_CANCELLABLE",
    );
    release(&system.database, name.strip_prefix("operations/").unwrap()).await;
    alice.wait(&name).await;
    assert_eq!(alice.status(&id).await, VFolderStatus::Deleted);
    system.assert_sound().await;
}

async fn a_wish_to_cancel_outlives_the_manager(engine: Engine) {
    let mut system = System::start(engine).await;
    let alice = system.user("alice");
    let clone = stage(&system, "source").await;
    alice.cancel(&clone.name()).await.unwrap();
    system.manager.kill();
    release(&system.database, &clone.operation).await;
    system.start_manager().await;
    let ended = alice.wait(&clone.name()).await;
    let Some(Outcome::Error(error)) = ended.result.clone() else {
        panic!("not cancelled: {ended:?}")
    };
    assert_eq!(error.code, Code::Cancelled as i32);
    assert_eq!(
        operation_metadata(&ended).state(),
        OperationState::Cancelled
    );
    eventually("the destination is gone", async || {
        (alice.status(&clone.destination).await == VFolderStatus::Deleted).then_some(())
    })
    .await;
    // Asking again changes nothing.
    alice.cancel(&clone.name()).await.unwrap();
    system.assert_sound().await;
}

/// A clone that nobody works on yet.
async fn stage(system: &System, name: &str) -> StagedClone {
    let source = system.user("alice").create(name).await.unwrap().id;
    let clone = StagedClone::new();
    Staged::on(&system.database, &source)
        .clone_to(&clone)
        .write()
        .await;
    clone
}

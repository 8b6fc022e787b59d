//! What requests have in common: request_id, etag, update_mask, validate_only.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use tonic::Code;
use uuid::Uuid;
use vfolder_proto::google::longrunning::operation::Result as OperationResult;
use vfolder_proto::v1::{
    CloneVFolderRequest, CreateVFolderRequest, DeleteVFolderRequest, UpdateVFolderRequest, VFolder,
    VFolderStatus,
};
use vfolder_tests::{Engine, System, assert_refused, on_each_engine};

on_each_engine!(
    a_repeated_creation_answers_with_the_same_vfolder,
    a_repeated_clone_answers_with_the_same_operation,
    a_request_id_is_its_users_own,
    a_request_that_comes_many_times_at_once_is_carried_out_once,
    a_repeated_clone_is_answered_whatever_the_source_is_by_then,
    a_repeated_clone_is_the_same_whatever_its_sources_limits_are_by_then,
    a_request_that_failed_may_be_repeated,
    of_many_who_trash_with_allow_missing_all_succeed,
);

fn named(name: &str) -> Option<VFolder> {
    Some(VFolder {
        name: name.into(),
        ..VFolder::default()
    })
}

async fn a_repeated_creation_answers_with_the_same_vfolder(engine: Engine) {
    let mut system = System::start(engine).await;
    let alice = system.user("alice");
    let request = CreateVFolderRequest {
        vfolder: named("once"),
        request_id: Uuid::new_v4().to_string(),
        validate_only: false,
    };
    let mut vfolders = alice.vfolders.clone();
    let first = vfolders
        .create_v_folder(request.clone())
        .await
        .unwrap()
        .into_inner();
    system.manager.kill();
    system.start_manager().await;
    let second = vfolders
        .create_v_folder(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(first.id, second.id);
    let other = CreateVFolderRequest {
        vfolder: named("other"),
        ..request
    };
    let reused = vfolders.create_v_folder(other).await;
    assert_refused(reused, Code::AlreadyExists, "REQUEST_ID_REUSED");
}

async fn a_repeated_clone_answers_with_the_same_operation(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let source = alice.create("source").await.unwrap().id;
    let request = CloneVFolderRequest {
        source_id: source.clone(),
        vfolder: named("copy"),
        request_id: Uuid::new_v4().to_string(),
        validate_only: false,
        receipt: false,
    };
    let mut vfolders = alice.vfolders.clone();
    let first = vfolders
        .clone_v_folder(request.clone())
        .await
        .unwrap()
        .into_inner();
    alice.wait(&first.name).await;
    let second = vfolders
        .clone_v_folder(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(first.name, second.name);
    assert!(second.done, "it has ended meanwhile");
    let other = CloneVFolderRequest {
        vfolder: named("other copy"),
        ..request.clone()
    };
    let reused = vfolders.clone_v_folder(other).await;
    assert_refused(reused, Code::AlreadyExists, "REQUEST_ID_REUSED");
    // It has made a clone; it can't make a creation now.
    let another_kind = CreateVFolderRequest {
        vfolder: named("copy"),
        request_id: request.request_id,
        validate_only: false,
    };
    let reused = vfolders.create_v_folder(another_kind).await;
    assert_refused(reused, Code::AlreadyExists, "REQUEST_ID_REUSED");
}

async fn a_request_id_is_its_users_own(engine: Engine) {
    let system = System::start(engine).await;
    let request = CreateVFolderRequest {
        vfolder: named("mine"),
        request_id: Uuid::new_v4().to_string(),
        validate_only: false,
    };
    let mut made = Vec::new();
    for user in ["alice", "bob"] {
        let mut vfolders = system.user(user).vfolders;
        made.push(
            vfolders
                .create_v_folder(request.clone())
                .await
                .unwrap()
                .into_inner(),
        );
    }
    assert_ne!(made[0].id, made[1].id);
    assert_eq!(
        (made[0].creator.as_str(), made[1].creator.as_str()),
        ("alice", "bob")
    );
}

const AT_ONCE: usize = 16;

async fn a_request_that_comes_many_times_at_once_is_carried_out_once(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let create = CreateVFolderRequest {
        vfolder: named("once"),
        request_id: Uuid::new_v4().to_string(),
        validate_only: false,
    };
    let made = join_all((0..AT_ONCE).map(|_| {
        let mut vfolders = alice.vfolders.clone();
        let create = create.clone();
        async move { vfolders.create_v_folder(create).await }
    }))
    .await;
    let ids: BTreeSet<String> = made
        .into_iter()
        .map(|v| v.unwrap().into_inner().id)
        .collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    let source = ids.into_iter().next().unwrap();
    let clone = CloneVFolderRequest {
        source_id: source,
        vfolder: named("copy"),
        request_id: Uuid::new_v4().to_string(),
        validate_only: false,
        receipt: false,
    };
    let begun = join_all((0..AT_ONCE).map(|_| {
        let mut vfolders = alice.vfolders.clone();
        let clone = clone.clone();
        async move { vfolders.clone_v_folder(clone).await }
    }))
    .await;
    let names: BTreeSet<String> = begun
        .into_iter()
        .map(|o| o.unwrap().into_inner().name)
        .collect();
    assert_eq!(names.len(), 1, "{names:?}");
    alice.wait(names.first().unwrap()).await;
    system.assert_sound().await;
}

async fn a_repeated_clone_is_answered_whatever_the_source_is_by_then(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let source = alice.create("source").await.unwrap().id;
    let request = CloneVFolderRequest {
        source_id: source.clone(),
        vfolder: named("copy"),
        request_id: Uuid::new_v4().to_string(),
        validate_only: false,
        receipt: false,
    };
    let mut vfolders = alice.vfolders.clone();
    let first = vfolders
        .clone_v_folder(request.clone())
        .await
        .unwrap()
        .into_inner();
    alice.wait(&first.name).await;
    alice.trash(&source).await.unwrap();
    let again = vfolders
        .clone_v_folder(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(again.name, first.name);
    // Under another id it is another request, and the trash refuses that.
    let other = CloneVFolderRequest {
        request_id: Uuid::new_v4().to_string(),
        ..request
    };
    let refused = vfolders.clone_v_folder(other).await;
    assert_refused(refused, Code::FailedPrecondition, "VFOLDER_STATUS");
}

async fn a_repeated_clone_is_the_same_whatever_its_sources_limits_are_by_then(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let source = alice.create("source").await.unwrap().id;
    let request = CloneVFolderRequest {
        source_id: source.clone(),
        vfolder: named("copy"),
        request_id: Uuid::new_v4().to_string(),
        ..CloneVFolderRequest::default()
    };
    let clone = async || {
        let begun = alice.vfolders.clone().clone_v_folder(request.clone()).await;
        begun.unwrap().into_inner().name
    };
    let first = clone().await;
    alice.wait(&first).await;
    let update = UpdateVFolderRequest {
        vfolder: Some(VFolder {
            id: source,
            max_bytes: Some(1 << 30),
            ..VFolder::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["max_bytes".into()],
        }),
        validate_only: false,
    };
    let updated = system
        .admin()
        .vfolders
        .clone()
        .update_v_folder(update)
        .await;
    updated.unwrap();
    assert_eq!(clone().await, first);
}

async fn a_request_that_failed_may_be_repeated(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let source = alice.create("source").await.unwrap().id;
    // Without its tree the clone fails.
    std::fs::remove_dir(system.tree(&source)).unwrap();
    let request = CloneVFolderRequest {
        source_id: source.clone(),
        vfolder: named("copy"),
        request_id: Uuid::new_v4().to_string(),
        validate_only: false,
        receipt: false,
    };
    let mut vfolders = alice.vfolders.clone();
    let first = vfolders
        .clone_v_folder(request.clone())
        .await
        .unwrap()
        .into_inner();
    let failed = alice.wait(&first.name).await;
    assert!(
        matches!(failed.result, Some(OperationResult::Error(_))),
        "{failed:?}"
    );
    std::fs::create_dir(system.tree(&source)).unwrap();
    let again = vfolders.clone_v_folder(request).await.unwrap().into_inner();
    assert_ne!(again.name, first.name);
    let done = alice.wait(&again.name).await;
    assert!(
        matches!(done.result, Some(OperationResult::Response(_))),
        "{done:?}"
    );
    system.assert_sound().await;
}

async fn of_many_who_trash_with_allow_missing_all_succeed(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    let answers = join_all((0..AT_ONCE).map(|_| {
        let mut vfolders = alice.vfolders.clone();
        let request = DeleteVFolderRequest {
            vfolder_id: id.clone(),
            allow_missing: true,
            ..DeleteVFolderRequest::default()
        };
        async move { vfolders.delete_v_folder(request).await }
    }))
    .await;
    for answer in answers {
        assert_eq!(
            answer.unwrap().into_inner().status(),
            VFolderStatus::Trashed
        );
    }
    system.assert_sound().await;
}

//! What requests have in common: request_id, etag, update_mask, validate_only.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use prost_types::FieldMask;
use tonic::Code;
use uuid::Uuid;
use vfolder_proto::google::longrunning::operation::Result as OperationResult;
use vfolder_proto::v1::{
    CloneVFolderRequest, CreateVFolderRequest, DeleteVFolderRequest, PurgeVFolderRequest,
    RestoreVFolderRequest, UpdateVFolderRequest, VFolder, VFolderPermission, VFolderStatus,
};
use vfolder_tests::{
    Engine, System, User, assert_field_refused, assert_refused, fill, on_each_engine,
    operation_metadata,
};

on_each_engine!(
    a_repeated_creation_answers_with_the_same_vfolder,
    a_repeated_clone_answers_with_the_same_operation,
    a_request_id_is_its_users_own,
    a_request_that_comes_many_times_at_once_is_carried_out_once,
    a_repeated_clone_is_answered_whatever_the_source_is_by_then,
    a_request_that_failed_may_be_repeated,
    of_many_who_trash_with_allow_missing_all_succeed,
    an_old_etag_is_refused_and_the_current_one_is_not,
    an_update_changes_what_its_mask_names,
    what_is_only_validated_changes_nothing,
    what_is_only_validated_is_refused_as_it_would_be,
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

async fn an_old_etag_is_refused_and_the_current_one_is_not(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let old = alice.create("data").await.unwrap();
    let now = update(
        &alice,
        &old,
        |v| v.description = "changed".into(),
        &["description"],
        &old.etag,
    )
    .await
    .unwrap();
    assert_ne!(old.etag, now.etag);
    let stale = update(&alice, &old, |_| (), &["description"], &old.etag).await;
    assert_refused(stale, Code::Aborted, "ETAG_MISMATCH");
    let delete = |etag: &str| DeleteVFolderRequest {
        vfolder_id: old.id.clone(),
        etag: etag.into(),
        ..DeleteVFolderRequest::default()
    };
    let mut vfolders = alice.vfolders.clone();
    let stale = vfolders.delete_v_folder(delete(&old.etag)).await;
    assert_refused(stale, Code::Aborted, "ETAG_MISMATCH");
    let trashed = vfolders
        .delete_v_folder(delete(&now.etag))
        .await
        .unwrap()
        .into_inner();
    let restore = |etag: &str| RestoreVFolderRequest {
        vfolder_id: old.id.clone(),
        etag: etag.into(),
        ..RestoreVFolderRequest::default()
    };
    let stale = vfolders.restore_v_folder(restore(&now.etag)).await;
    assert_refused(stale, Code::Aborted, "ETAG_MISMATCH");
    vfolders
        .restore_v_folder(restore(&trashed.etag))
        .await
        .unwrap();
    let purge = PurgeVFolderRequest {
        vfolder_id: old.id.clone(),
        etag: trashed.etag,
        skip_trash: true,
        ..PurgeVFolderRequest::default()
    };
    let stale = vfolders.purge_v_folder(purge).await;
    assert_refused(stale, Code::Aborted, "ETAG_MISMATCH");
    assert_eq!(alice.status(&old.id).await, VFolderStatus::Ready);
}

async fn an_update_changes_what_its_mask_names(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let made = alice.create("data").await.unwrap();
    let everything = |v: &mut VFolder| {
        v.name = "renamed".into();
        v.description = "described".into();
        v.labels = [("key".to_owned(), "value".to_owned())].into();
        v.member_permission = VFolderPermission::Read.into();
    };
    let one = update(&alice, &made, everything, &["labels"], "")
        .await
        .unwrap();
    assert_eq!((one.name.as_str(), one.description.as_str()), ("data", ""));
    assert_eq!(one.labels["key"], "value");
    let all = update(
        &alice,
        &made,
        everything,
        &["name", "description", "member_permission"],
        "",
    )
    .await
    .unwrap();
    assert_eq!(
        (all.name.as_str(), all.description.as_str()),
        ("renamed", "described")
    );
    assert_eq!(all.member_permission(), VFolderPermission::Read);
    let cleared = update(&alice, &made, |_| (), &["labels", "description"], "")
        .await
        .unwrap();
    assert!(cleared.labels.is_empty() && cleared.description.is_empty());
    assert_eq!(cleared.name, "renamed");
    for wrong in ["status", "id", "no_such_field", "labels.key"] {
        let answer = update(&alice, &made, everything, &[wrong], "").await;
        assert_field_refused(answer, &["update_mask"]);
    }
}

async fn update(
    user: &User,
    vfolder: &VFolder,
    change: impl FnOnce(&mut VFolder),
    mask: &[&str],
    etag: &str,
) -> Result<VFolder, tonic::Status> {
    let mut sent = VFolder {
        id: vfolder.id.clone(),
        etag: etag.into(),
        ..VFolder::default()
    };
    change(&mut sent);
    let request = UpdateVFolderRequest {
        vfolder: Some(sent),
        update_mask: Some(FieldMask {
            paths: mask.iter().map(|&p| p.into()).collect(),
        }),
        validate_only: false,
    };
    Ok(user
        .vfolders
        .clone()
        .update_v_folder(request)
        .await?
        .into_inner())
}

async fn what_is_only_validated_changes_nothing(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let ready = alice.create("ready").await.unwrap();
    fill(&system.tree(&ready.id), 10, 100);
    let trashed = alice.create("trashed").await.unwrap();
    let trashed = alice.trash(&trashed.id).await.unwrap();
    let rows = async || {
        let all = "SELECT CAST(id AS TEXT) || status || CAST(revision AS TEXT) AS value FROM vfolders ORDER BY id";
        let mut rows = system.database.values(all).await;
        rows.extend(
            system
                .database
                .values("SELECT CAST(id AS TEXT) AS value FROM operations ORDER BY id")
                .await,
        );
        rows.extend(
            system
                .database
                .values("SELECT request_id AS value FROM requests")
                .await,
        );
        rows
    };
    let before = rows().await;
    let mut vfolders = alice.vfolders.clone();

    let request = CreateVFolderRequest {
        vfolder: named("new"),
        validate_only: true,
        ..CreateVFolderRequest::default()
    };
    let would = vfolders
        .create_v_folder(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(would.name, "new");

    let request = UpdateVFolderRequest {
        vfolder: Some(VFolder {
            id: ready.id.clone(),
            name: "renamed".into(),
            ..VFolder::default()
        }),
        update_mask: Some(FieldMask {
            paths: vec!["name".into()],
        }),
        validate_only: true,
    };
    let would = vfolders
        .update_v_folder(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(would.name, "renamed");

    let request = CloneVFolderRequest {
        source_id: ready.id.clone(),
        vfolder: named("copy"),
        validate_only: true,
        ..CloneVFolderRequest::default()
    };
    let would = vfolders.clone_v_folder(request).await.unwrap().into_inner();
    let estimate = operation_metadata(&would).estimate.unwrap();
    // Ten files, their directory with its symlink, and the root.
    assert_eq!(
        (would.done, estimate.files, estimate.fits),
        (true, 13, true)
    );
    assert!(
        estimate.bytes >= 1000 && estimate.available_bytes > 0,
        "{estimate:?}"
    );

    let request = DeleteVFolderRequest {
        vfolder_id: ready.id.clone(),
        validate_only: true,
        ..DeleteVFolderRequest::default()
    };
    let would = vfolders
        .delete_v_folder(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(would.status(), VFolderStatus::Trashed);

    let request = RestoreVFolderRequest {
        vfolder_id: trashed.id.clone(),
        validate_only: true,
        ..RestoreVFolderRequest::default()
    };
    let would = vfolders
        .restore_v_folder(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(would.status(), VFolderStatus::Ready);

    let request = PurgeVFolderRequest {
        vfolder_id: ready.id.clone(),
        skip_trash: true,
        validate_only: true,
        ..PurgeVFolderRequest::default()
    };
    let would = vfolders.purge_v_folder(request).await.unwrap().into_inner();
    let estimate = operation_metadata(&would).estimate.unwrap();
    assert_eq!((would.done, estimate.files), (true, 13));

    assert_eq!(rows().await, before);
    assert!(system.tree(&ready.id).is_dir());
    system.assert_sound().await;
}

async fn what_is_only_validated_is_refused_as_it_would_be(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let made = alice.create("taken").await.unwrap();
    let mut vfolders = alice.vfolders.clone();
    let request = CreateVFolderRequest {
        vfolder: named("taken"),
        validate_only: true,
        ..CreateVFolderRequest::default()
    };
    let answer = vfolders.create_v_folder(request).await;
    assert_refused(answer, Code::AlreadyExists, "NAME_TAKEN");
    let request = PurgeVFolderRequest {
        vfolder_id: made.id,
        validate_only: true,
        ..PurgeVFolderRequest::default()
    };
    let answer = vfolders.purge_v_folder(request).await;
    assert_refused(answer, Code::FailedPrecondition, "VFOLDER_STATUS");
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

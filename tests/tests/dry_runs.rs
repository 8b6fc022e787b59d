//! validate_only: everything is checked, nothing is changed.

use prost_types::FieldMask;
use tonic::Code;
use vfolder_proto::v1::{
    CloneVFolderRequest, CreateVFolderRequest, DeleteVFolderRequest, PurgeVFolderRequest,
    RestoreVFolderRequest, UpdateVFolderRequest, VFolder, VFolderStatus,
};
use vfolder_tests::{Engine, System, assert_refused, fill, on_each_engine, operation_metadata};

on_each_engine!(
    what_is_only_validated_changes_nothing,
    what_is_only_validated_is_refused_as_it_would_be,
);

fn named(name: &str) -> Option<VFolder> {
    Some(VFolder {
        name: name.into(),
        ..VFolder::default()
    })
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

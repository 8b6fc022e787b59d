//! Changing a record: etag and update_mask.

use prost_types::FieldMask;
use tonic::Code;
use vfolder_proto::v1::{
    DeleteVFolderRequest, PurgeVFolderRequest, RestoreVFolderRequest, UpdateVFolderRequest,
    VFolder, VFolderPermission, VFolderStatus,
};
use vfolder_tests::{Engine, System, User, assert_field_refused, assert_refused, on_each_engine};

on_each_engine!(
    an_old_etag_is_refused_and_the_current_one_is_not,
    an_update_changes_what_its_mask_names,
);

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

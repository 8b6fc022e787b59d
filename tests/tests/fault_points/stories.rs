//! Stories that pass through the points of what callers ask for.

use tonic::Code;
use uuid::Uuid;
use vfolder_proto::{
    google::longrunning::DeleteOperationRequest,
    v1::{
        MountMode, MountRequest, PurgeVFolderRequest, RemoveTreeRequest, RenewMountRequest,
        UpdateVFolderRequest, VFolder, VFolderStatus,
    },
};
use vfolder_tests::{User, assert_same_tree, fill, operation_metadata};

use super::doomed::{Doomed, is};

pub async fn makes_and_changes(_: &str, doomed: &mut Doomed) {
    let id = doomed.create("data").await;
    let update = UpdateVFolderRequest {
        vfolder: Some(VFolder {
            id: id.clone(),
            description: "new".into(),
            ..VFolder::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["description".into()],
        }),
        ..UpdateVFolderRequest::default()
    };
    doomed
        .insist(
            "the description is new",
            async |user: &User| {
                user.vfolders
                    .clone()
                    .update_v_folder(update.clone())
                    .await
                    .map(drop)
            },
            async |user: &User| (user.get(&id).await.ok()?.description == "new").then_some(()),
        )
        .await;
    let mount = MountRequest {
        vfolder_id: id.clone(),
        session: "session".into(),
        mode: MountMode::ReadWrite.into(),
        ttl: None,
    };
    let mount = doomed
        .wait_for("it is mounted", async |user: &User| {
            let answer = user.mounts.clone().mount(mount.clone()).await;
            Some(answer.ok()?.into_inner())
        })
        .await;
    let renew = RenewMountRequest {
        vfolder_id: id.clone(),
        mount_id: mount.id.clone(),
        ttl: None,
    };
    doomed
        .wait_for("the mount is renewed", async |user: &User| {
            user.mounts.clone().renew_mount(renew.clone()).await.ok()
        })
        .await;
    doomed
        .insist(
            "the mount is released",
            async |user: &User| user.unmount(&mount).await,
            async |user: &User| is(user, &id, VFolderStatus::Ready).await,
        )
        .await;
    doomed.trash(&id).await;
    doomed
        .insist(
            "the vfolder is restored",
            async |user: &User| user.restore(&id).await.map(drop),
            async |user: &User| is(user, &id, VFolderStatus::Ready).await,
        )
        .await;
    doomed
        .wait_for("the description is still new", async |user: &User| {
            (user.get(&id).await.ok()?.description == "new").then_some(())
        })
        .await;
    assert!(doomed.system.tree(&id).is_dir());
}

pub async fn clones(point: &str, doomed: &mut Doomed) {
    let id = doomed.create("data").await;
    fill(&doomed.system.tree(&id), 200, 100);
    doomed.pause().await;
    let (operation, copy) = doomed.clone_to(&id, "copy").await;
    // So that a manager waits for it and has to renew its lease.
    doomed.system.storage.freeze();
    doomed.resume().await;
    if point.starts_with("operation.renew") {
        doomed.die(point).await;
    }
    doomed.system.storage.thaw();
    doomed.ended(&operation).await;
    doomed.status(&copy, VFolderStatus::Ready).await;
    doomed.status(&id, VFolderStatus::Ready).await;
    assert_same_tree(&doomed.system.tree(&id), &doomed.system.tree(&copy));
}

pub async fn performs(_: &str, doomed: &mut Doomed) {
    let id = doomed.create("data").await;
    let tree = doomed.system.tree(&id);
    fill(&tree, 50, 100);
    std::fs::write(tree.join("kept"), "kept").unwrap();
    let request = RemoveTreeRequest {
        vfolder_id: id.clone(),
        paths: std::fs::read_dir(&tree)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "kept")
            .collect(),
        request_id: Uuid::new_v4().to_string(),
        ..RemoveTreeRequest::default()
    };
    // Repeated, it is the same operation.
    let operation = doomed
        .wait_for("it is being removed", async |user: &User| {
            let answer = user.trees.clone().remove_tree(request.clone()).await;
            Some(answer.ok()?.into_inner())
        })
        .await;
    doomed.ended(&operation.name).await;
    doomed.status(&id, VFolderStatus::Ready).await;
    assert_eq!(std::fs::read_dir(&tree).unwrap().count(), 1);
}

pub async fn purges(_: &str, doomed: &mut Doomed) {
    let id = doomed.create("data").await;
    let kept = doomed.create("kept").await;
    doomed.trash(&id).await;
    let purge = PurgeVFolderRequest {
        vfolder_id: id.clone(),
        allow_missing: true,
        ..PurgeVFolderRequest::default()
    };
    doomed
        .insist(
            "the vfolder is purged",
            async |user: &User| {
                user.vfolders
                    .clone()
                    .purge_v_folder(purge.clone())
                    .await
                    .map(drop)
            },
            async |user: &User| is(user, &id, VFolderStatus::Deleted).await,
        )
        .await;
    let request = vfolder_proto::google::longrunning::ListOperationsRequest {
        filter: format!("vfolder_id = \"{id}\" AND kind = PURGE"),
        ..Default::default()
    };
    let operation = doomed
        .wait_for("its operation is known", async |user: &User| {
            let found = user
                .operations
                .clone()
                .list_operations(request.clone())
                .await
                .ok()?;
            let op = found.into_inner().operations.into_iter().next()?;
            op.done.then_some(op.name)
        })
        .await;
    doomed
        .insist(
            "the operation is forgotten",
            async |user: &User| {
                let name = operation.clone();
                let forget = DeleteOperationRequest { name };
                user.operations
                    .clone()
                    .delete_operation(forget)
                    .await
                    .map(drop)
            },
            async |user: &User| {
                let gone = user.operation(&operation).await.err()?;
                (gone.code() == Code::NotFound).then_some(())
            },
        )
        .await;
    assert!(!doomed.system.tree(&id).exists() && doomed.system.tree(&kept).is_dir());
}

pub async fn cancels(point: &str, doomed: &mut Doomed) {
    let id = doomed.create("data").await;
    // Enough for the wish to be heard before the copy is made.
    fill(&doomed.system.tree(&id), 3_000, 100);
    doomed.pause().await;
    let (operation, copy) = doomed.clone_to(&id, "copy").await;
    if !point.starts_with("operation.end_unstarted") {
        // Begun, and kept from ending by a storage-proxy that has stopped.
        doomed.system.storage.freeze();
        doomed.resume().await;
        doomed
            .wait_for("the operation is begun", async |user: &User| {
                let op = user.operation(&operation).await.ok()?;
                (operation_metadata(&op).attempt > 0).then_some(())
            })
            .await;
    }
    doomed
        .insist(
            "somebody wishes to cancel it",
            async |user: &User| user.cancel(&operation).await,
            async |user: &User| {
                let op = user.operation(&operation).await.ok()?;
                operation_metadata(&op).cancel_requested.then_some(())
            },
        )
        .await;
    if point == "call.cancel_task.before" {
        // As often as it has to, while nothing goes on without it.
        doomed.die(point).await;
    }
    doomed.system.storage.thaw();
    doomed.resume().await;
    doomed.ended(&operation).await;
    doomed.status(&id, VFolderStatus::Ready).await;
    // Cancelled, or published before anybody heard of the wish.
    let tree = doomed.system.tree(&copy).exists();
    let expected = if tree {
        VFolderStatus::Ready
    } else {
        VFolderStatus::Deleted
    };
    doomed.status(&copy, expected).await;
}

//! What happens because time passes: mounts expire, the trash is emptied.

use std::time::Duration;

use tonic::Code;
use vfolder_proto::v1::{
    DeleteVFolderRequest, ListMountsRequest, ListVFoldersRequest, MountMode, MountRequest,
    RenewMountRequest, ResetStatusRequest, VFolderStatus,
};
use vfolder_tests::{Engine, System, assert_refused, eventually, on_each_engine};

use crate::{
    history::{assert_one_after_the_other, history},
    staged::Staged,
};

on_each_engine!(
    a_mount_that_is_not_renewed_expires,
    an_expired_mount_counts_for_nothing_before_it_is_swept,
    a_renewed_mount_lives_on,
    the_trash_is_emptied_when_its_time_has_come,
    the_trash_of_a_volume_that_cannot_be_written_waits,
    a_list_goes_on_after_mounts_that_have_expired,
    a_restored_vfolder_is_not_purged,
    an_error_is_reset_to_what_is_on_disk,
);

fn mount_for(id: &str, ttl: Duration) -> MountRequest {
    MountRequest {
        vfolder_id: id.into(),
        session: "session".into(),
        mode: MountMode::ReadWrite.into(),
        ttl: Some(prost_types::Duration::try_from(ttl).unwrap()),
    }
}

async fn a_mount_that_is_not_renewed_expires(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    let request = mount_for(&id, Duration::from_secs(1));
    let mount = alice
        .mounts
        .clone()
        .mount(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(alice.status(&id).await, VFolderStatus::Mounted);
    eventually("the mount expires", async || {
        (alice.status(&id).await == VFolderStatus::Ready).then_some(())
    })
    .await;
    let renew = RenewMountRequest {
        vfolder_id: id.clone(),
        mount_id: mount.id.clone(),
        ttl: None,
    };
    let late = alice.mounts.clone().renew_mount(renew).await;
    assert_refused(late, Code::NotFound, "MOUNT_NOT_FOUND");
    assert_refused(
        alice.unmount(&mount).await,
        Code::NotFound,
        "MOUNT_NOT_FOUND",
    );
    let events = eventually("the expiry is in the history", async || {
        let events = history(&alice, &id).await;
        events
            .iter()
            .any(|e| e.mount_id == mount.id && e.actor == "system")
            .then_some(events)
    })
    .await;
    assert_one_after_the_other(&events, VFolderStatus::Ready);
    system.assert_sound().await;
}

async fn an_expired_mount_counts_for_nothing_before_it_is_swept(engine: Engine) {
    // No sweep comes in the time of this test.
    let mut system = System::start(engine).await;
    system.change(|s| s.tick = "1h".into());
    system.manager.kill();
    system.start_manager().await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    alice
        .mounts
        .clone()
        .mount(mount_for(&id, Duration::from_secs(60)))
        .await
        .unwrap();
    assert_refused(
        alice.trash(&id).await,
        Code::FailedPrecondition,
        "VFOLDER_STATUS",
    );
    let past = system.database.time(-1);
    system
        .database
        .execute(&format!("UPDATE mounts SET expire_time = {past}"))
        .await;
    assert_eq!(alice.status(&id).await, VFolderStatus::Ready);
    let request = ListMountsRequest {
        vfolder_id: id.clone(),
        ..ListMountsRequest::default()
    };
    let mounts = alice
        .mounts
        .clone()
        .list_mounts(request)
        .await
        .unwrap()
        .into_inner()
        .mounts;
    assert!(mounts.is_empty(), "{mounts:?}");
    assert_eq!(
        alice.trash(&id).await.unwrap().status(),
        VFolderStatus::Trashed
    );
    assert_one_after_the_other(&history(&alice, &id).await, VFolderStatus::Trashed);
    system.assert_sound().await;
}

async fn a_renewed_mount_lives_on(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    let mount = alice
        .mounts
        .clone()
        .mount(mount_for(&id, Duration::from_secs(2)))
        .await
        .unwrap()
        .into_inner();
    let renew = RenewMountRequest {
        vfolder_id: id.clone(),
        mount_id: mount.id.clone(),
        ttl: Some(prost_types::Duration {
            seconds: 3600,
            nanos: 0,
        }),
    };
    let renewed = alice
        .mounts
        .clone()
        .renew_mount(renew)
        .await
        .unwrap()
        .into_inner();
    let gained = renewed.expire_time.unwrap().seconds - mount.expire_time.unwrap().seconds;
    assert!(gained > 3500, "{gained}");
    // A mount that was not renewed and was taken later has expired: so would this one have.
    let other = alice.create("other").await.unwrap().id;
    alice
        .mounts
        .clone()
        .mount(mount_for(&other, Duration::from_secs(2)))
        .await
        .unwrap();
    eventually("the other mount expires", async || {
        (alice.status(&other).await == VFolderStatus::Ready).then_some(())
    })
    .await;
    assert_eq!(alice.status(&id).await, VFolderStatus::Mounted);
}

/// A purge that fails would leave ERROR, from where nothing can be restored.
async fn the_trash_of_a_volume_that_cannot_be_written_waits(engine: Engine) {
    let system = System::on(engine)
        .with(|s| s.operations = "give_up_after = \"1s\"\nmax_backoff = \"50ms\"".into())
        .start()
        .await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    alice.trash(&id).await.unwrap();
    let volume = system.volume().to_owned();
    let aside = volume.with_extension("aside");
    let other = alice.create("other").await.unwrap().id;
    std::fs::rename(&volume, &aside).unwrap();
    let past = system.database.time(-60);
    let due = format!("UPDATE vfolders SET purge_time = {past} WHERE id = '{id}'");
    system.database.execute(&due).await;
    // A sweep looks at the mounts, and then at the trash: after two, one has looked at it.
    for _ in 0..3 {
        let request = mount_for(&other, Duration::from_secs(60));
        alice.mounts.clone().mount(request).await.unwrap();
        let past = system.database.time(-1);
        let lapsed = format!("UPDATE mounts SET expire_time = {past}");
        system.database.execute(&lapsed).await;
        let left = "SELECT CAST(count(*) AS TEXT) AS value FROM mounts";
        eventually("the mounts are swept", async || {
            (system.database.values(left).await[0] == "0").then_some(())
        })
        .await;
    }
    assert_eq!(alice.status(&id).await, VFolderStatus::Trashed);
    std::fs::rename(&aside, &volume).unwrap();
    eventually("the trash is emptied", async || {
        (alice.status(&id).await == VFolderStatus::Deleted).then_some(())
    })
    .await;
    system.assert_sound().await;
}

/// They are no more what was asked for, and the next page still comes.
async fn a_list_goes_on_after_mounts_that_have_expired(engine: Engine) {
    let mut system = System::start(engine).await;
    system.change(|s| s.tick = "1h".into());
    system.manager.kill();
    system.start_manager().await;
    let alice = system.user("alice");
    let mut ids = Vec::new();
    for name in ["one", "two", "three", "four", "five"] {
        let id = alice.create(name).await.unwrap().id;
        let request = mount_for(&id, Duration::from_secs(60));
        alice.mounts.clone().mount(request).await.unwrap();
        ids.push(id);
    }
    let past = system.database.time(-1);
    for id in &ids[1..4] {
        let lapsed = format!("UPDATE mounts SET expire_time = {past} WHERE vfolder_id = '{id}'");
        system.database.execute(&lapsed).await;
    }
    let (mut found, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListVFoldersRequest {
            statuses: vec![VFolderStatus::Mounted.into()],
            page_size: 2,
            page_token,
            ..ListVFoldersRequest::default()
        };
        let page = alice.vfolders.clone().list_v_folders(request).await;
        let page = page.unwrap().into_inner();
        found.extend(page.vfolders.into_iter().map(|v| v.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    found.sort();
    let mut still = vec![ids[0].clone(), ids[4].clone()];
    still.sort();
    assert_eq!(found, still);
}

async fn the_trash_is_emptied_when_its_time_has_come(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let (soon, later) = (
        alice.create("soon").await.unwrap().id,
        alice.create("later").await.unwrap().id,
    );
    alice.trash(&later).await.unwrap();
    let request = DeleteVFolderRequest {
        vfolder_id: soon.clone(),
        retention: Some(prost_types::Duration {
            seconds: 1,
            nanos: 0,
        }),
        ..DeleteVFolderRequest::default()
    };
    alice
        .vfolders
        .clone()
        .delete_v_folder(request)
        .await
        .unwrap();
    eventually("the trash is emptied", async || {
        (alice.status(&soon).await == VFolderStatus::Deleted).then_some(())
    })
    .await;
    assert!(!system.tree(&soon).exists());
    assert_eq!(alice.status(&later).await, VFolderStatus::Trashed);
    let events = history(&alice, &soon).await;
    assert_one_after_the_other(&events, VFolderStatus::Deleted);
    assert!(
        events
            .iter()
            .any(|e| e.to_status() == VFolderStatus::Deleting && e.actor == "system")
    );
    system.assert_sound().await;
}

async fn a_restored_vfolder_is_not_purged(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    let retention = |seconds| DeleteVFolderRequest {
        vfolder_id: id.clone(),
        retention: Some(prost_types::Duration { seconds, nanos: 0 }),
        ..DeleteVFolderRequest::default()
    };
    alice
        .vfolders
        .clone()
        .delete_v_folder(retention(2))
        .await
        .unwrap();
    let restored = alice.restore(&id).await.unwrap();
    assert_eq!((restored.purge_time, restored.delete_time), (None, None));
    let other = alice.create("other").await.unwrap().id;
    let request = DeleteVFolderRequest {
        vfolder_id: other.clone(),
        ..retention(2)
    };
    alice
        .vfolders
        .clone()
        .delete_v_folder(request)
        .await
        .unwrap();
    eventually("the other one is purged", async || {
        (alice.status(&other).await == VFolderStatus::Deleted).then_some(())
    })
    .await;
    assert_eq!(alice.status(&id).await, VFolderStatus::Ready);
    assert!(system.tree(&id).is_dir());
}

async fn an_error_is_reset_to_what_is_on_disk(engine: Engine) {
    let system = System::start(engine).await;
    let (alice, admin) = (system.user("alice"), system.admin());
    let reset = |id: &str| ResetStatusRequest {
        vfolder_id: id.into(),
        ..ResetStatusRequest::default()
    };
    for (name, has_tree, expected) in [
        ("whole", true, VFolderStatus::Ready),
        ("gone", false, VFolderStatus::Deleted),
    ] {
        let id = alice.create(name).await.unwrap().id;
        if !has_tree {
            std::fs::remove_dir(system.tree(&id)).unwrap();
        }
        Staged::on(&system.database, &id)
            .status(VFolderStatus::Error)
            .write()
            .await;
        let not_hers = alice.vfolders.clone().reset_status(reset(&id)).await;
        assert_refused(not_hers, Code::PermissionDenied, "PERMISSION_TOO_SMALL");
        let done = admin
            .vfolders
            .clone()
            .reset_status(reset(&id))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(
            (done.from_status(), done.to_status()),
            (VFolderStatus::Error, expected)
        );
        assert_eq!(alice.status(&id).await, expected);
    }
    let mounted = alice.create("mounted").await.unwrap().id;
    alice
        .mount(&mounted, "s", MountMode::ReadOnly)
        .await
        .unwrap();
    let true_status = admin.vfolders.clone().reset_status(reset(&mounted)).await;
    assert!(
        true_status.is_err(),
        "a live mount was overruled: {true_status:?}"
    );
    assert_eq!(alice.status(&mounted).await, VFolderStatus::Mounted);
    system.assert_sound().await;
}

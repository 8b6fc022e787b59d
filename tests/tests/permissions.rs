//! Who may do what: users, members of projects, administrators; READ < WRITE < DELETE < OWN.

use prost_types::FieldMask;
use tonic::Code;
use vfolder_proto::v1::{
    CreateDirectoryRequest, CreateVFolderRequest, ListFilesRequest, ListVFoldersRequest, MountMode,
    Owner, UpdateVFolderRequest, VFolder, VFolderPermission, owner,
};
use vfolder_tests::{Engine, System, User, assert_field_refused, assert_refused, on_each_engine};

on_each_engine!(
    another_users_vfolder_looks_absent_to_every_request,
    a_members_permission_decides,
    the_member_who_made_it_owns_it,
    a_vfolder_is_made_only_for_ones_own_project,
    an_administrator_may_do_everything,
    a_vfolder_handed_over_is_gone_for_who_gave_it,
);

/// What a member tries, each needing one level more than the one before.
const LEVELS: [VFolderPermission; 4] = [
    VFolderPermission::Read,
    VFolderPermission::Write,
    VFolderPermission::Delete,
    VFolderPermission::Own,
];

fn of_project(project: &str) -> Option<Owner> {
    Some(Owner {
        owner: Some(owner::Owner::Project(project.into())),
    })
}

async fn make(
    user: &User,
    name: &str,
    owner: Option<Owner>,
    members: VFolderPermission,
) -> Result<VFolder, tonic::Status> {
    let request = CreateVFolderRequest {
        vfolder: Some(VFolder {
            name: name.into(),
            owner,
            member_permission: members.into(),
            ..VFolder::default()
        }),
        ..CreateVFolderRequest::default()
    };
    Ok(user
        .vfolders
        .clone()
        .create_v_folder(request)
        .await?
        .into_inner())
}

/// What each level is the least for; the vfolder is left as it was.
async fn attempt(
    user: &User,
    id: &str,
    level: VFolderPermission,
) -> Vec<Result<(), tonic::Status>> {
    let describe = UpdateVFolderRequest {
        vfolder: Some(VFolder {
            id: id.into(),
            description: "x".into(),
            ..VFolder::default()
        }),
        update_mask: Some(FieldMask {
            paths: vec!["description".into()],
        }),
        validate_only: true,
    };
    let list = ListFilesRequest {
        vfolder_id: id.into(),
        ..ListFilesRequest::default()
    };
    let mkdir = CreateDirectoryRequest {
        vfolder_id: id.into(),
        path: "made".into(),
        parents: true,
        ..CreateDirectoryRequest::default()
    };
    match level {
        VFolderPermission::Read => vec![
            user.get(id).await.map(drop),
            user.files.clone().list_files(list).await.map(drop),
            mount_and_release(user, id, MountMode::ReadOnly).await,
        ],
        VFolderPermission::Write => vec![
            user.files.clone().create_directory(mkdir).await.map(drop),
            mount_and_release(user, id, MountMode::ReadWrite).await,
        ],
        VFolderPermission::Delete => match user.trash(id).await {
            Ok(_) => vec![user.restore(id).await.map(drop)],
            Err(status) => vec![Err(status)],
        },
        _ => vec![
            user.vfolders
                .clone()
                .update_v_folder(describe)
                .await
                .map(drop),
        ],
    }
}

async fn mount_and_release(user: &User, id: &str, mode: MountMode) -> Result<(), tonic::Status> {
    let mount = user.mount(id, "session", mode).await?;
    user.unmount(&mount).await
}

async fn another_users_vfolder_looks_absent_to_every_request(engine: Engine) {
    let system = System::start(engine).await;
    let (alice, bob) = (system.user("alice"), system.member("bob", &["physics"]));
    let id = alice.create("private").await.unwrap().id;
    for level in LEVELS {
        for answer in attempt(&bob, &id, level).await {
            let theirs = assert_refused(answer, Code::NotFound, "VFOLDER_NOT_FOUND");
            let absent = bob.get("01890a5d-ac96-774b-bcce-b302099a8057").await;
            let absent = assert_refused(absent, Code::NotFound, "VFOLDER_NOT_FOUND");
            let blur = |status: &tonic::Status, id: &str| status.message().replace(id, "ID");
            assert_eq!(
                blur(&theirs, &id),
                blur(&absent, "01890a5d-ac96-774b-bcce-b302099a8057")
            );
        }
    }
    let clone = bob.clone_to(&id, "stolen").await;
    assert_refused(clone, Code::NotFound, "VFOLDER_NOT_FOUND");
    let listed = bob
        .vfolders
        .clone()
        .list_v_folders(ListVFoldersRequest::default())
        .await
        .unwrap();
    assert!(listed.into_inner().vfolders.is_empty());
}

async fn a_members_permission_decides(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.member("alice", &["physics"]);
    let bob = system.member("bob", &["physics"]);
    for has in LEVELS {
        let name = format!("for-{}", has.as_str_name());
        let id = make(&alice, &name, of_project("physics"), has)
            .await
            .unwrap()
            .id;
        for needs in LEVELS {
            for answer in attempt(&bob, &id, needs).await {
                if has >= needs {
                    answer.unwrap_or_else(|e| panic!("{has:?} is enough for {needs:?}: {e:?}"));
                } else {
                    assert_refused(answer, Code::PermissionDenied, "PERMISSION_TOO_SMALL");
                }
            }
        }
    }
    // Unset: WRITE.
    let id = make(
        &alice,
        "unset",
        of_project("physics"),
        VFolderPermission::default(),
    )
    .await
    .unwrap();
    assert_eq!(id.member_permission(), VFolderPermission::Write);
}

async fn the_member_who_made_it_owns_it(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.member("alice", &["physics"]);
    let id = make(
        &alice,
        "ours",
        of_project("physics"),
        VFolderPermission::Read,
    )
    .await
    .unwrap()
    .id;
    for level in LEVELS {
        for answer in attempt(&alice, &id, level).await {
            answer.unwrap();
        }
    }
    // Who has left the project sees nothing of it any more.
    let left = system.user("alice");
    assert_refused(left.get(&id).await, Code::NotFound, "VFOLDER_NOT_FOUND");
}

async fn a_vfolder_is_made_only_for_ones_own_project(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.member("alice", &["physics"]);
    let for_user = |name: &str| {
        Some(Owner {
            owner: Some(owner::Owner::User(name.into())),
        })
    };
    for owner in [of_project("chemistry"), for_user("bob")] {
        let answer = make(&alice, "not-mine", owner, VFolderPermission::default()).await;
        assert_field_refused(answer, &["vfolder.owner"]);
    }
    make(
        &alice,
        "mine",
        for_user("alice"),
        VFolderPermission::default(),
    )
    .await
    .unwrap();
}

async fn an_administrator_may_do_everything(engine: Engine) {
    let system = System::start(engine).await;
    let id = system.user("alice").create("private").await.unwrap().id;
    for level in LEVELS {
        for answer in attempt(&system.admin(), &id, level).await {
            answer.unwrap();
        }
    }
}

async fn a_vfolder_handed_over_is_gone_for_who_gave_it(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.member("alice", &["physics"]);
    let bob = system.member("bob", &["physics"]);
    let id = alice.create("gift").await.unwrap().id;
    let request = UpdateVFolderRequest {
        vfolder: Some(VFolder {
            id: id.clone(),
            owner: of_project("physics"),
            ..VFolder::default()
        }),
        update_mask: Some(FieldMask {
            paths: vec!["owner".into()],
        }),
        validate_only: false,
    };
    alice
        .vfolders
        .clone()
        .update_v_folder(request)
        .await
        .unwrap();
    assert_eq!(bob.get(&id).await.unwrap().owner, of_project("physics"));
}

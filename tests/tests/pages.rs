//! Pages: every item once, none missed, and a token is good for its own list only.

use std::fs;

use tonic::Code;
use vfolder_proto::{
    google::longrunning::ListOperationsRequest,
    v1::{
        ListEventsRequest, ListFilesRequest, ListMountsRequest, ListVFoldersRequest, MountMode,
        Owner as OwnerMessage, VFolderStatus, owner::Owner,
    },
};
use vfolder_tests::{Engine, System, assert_refused, on_each_engine, refused_fields};

on_each_engine!(
    vfolders_come_page_by_page_oldest_first,
    vfolders_are_filtered,
    events_mounts_and_operations_come_page_by_page,
    files_come_page_by_page_whatever_happens_between,
);

async fn vfolders_come_page_by_page_oldest_first(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let mut made = Vec::new();
    for number in 0..7 {
        made.push(alice.create(&format!("v{number}")).await.unwrap().id);
    }
    system.user("bob").create("of another").await.unwrap();
    let mut vfolders = alice.vfolders.clone();
    let (mut listed, mut sizes, mut token) = (Vec::new(), Vec::new(), String::new());
    loop {
        let request = ListVFoldersRequest {
            page_size: 3,
            page_token: token,
            ..ListVFoldersRequest::default()
        };
        let page = vfolders.list_v_folders(request).await.unwrap().into_inner();
        sizes.push(page.vfolders.len());
        listed.extend(page.vfolders.into_iter().map(|v| v.id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
        let misused = ListVFoldersRequest {
            page_token: token.clone(),
            name_prefix: "other filter".into(),
            ..ListVFoldersRequest::default()
        };
        let status = assert_refused(
            vfolders.list_v_folders(misused).await,
            Code::InvalidArgument,
            "FIELD_INVALID",
        );
        assert_eq!(refused_fields(&status), ["page_token"]);
    }
    assert_eq!((listed, sizes), (made, vec![3, 3, 1]));
}

async fn vfolders_are_filtered(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.member("alice", &["physics"]);
    let bob = system.member("bob", &["physics"]);
    let ready = alice.create("a-ready").await.unwrap().id;
    let mounted = alice.create("b-mounted").await.unwrap().id;
    alice
        .mount(&mounted, "s", MountMode::ReadOnly)
        .await
        .unwrap();
    let trashed = alice.create("c-trashed").await.unwrap().id;
    alice.trash(&trashed).await.unwrap();
    let theirs = bob.create("bobs").await.unwrap().id;
    let list = async |user: &vfolder_tests::User, request: ListVFoldersRequest| {
        let page = user
            .vfolders
            .clone()
            .list_v_folders(request)
            .await
            .unwrap()
            .into_inner();
        page.vfolders.into_iter().map(|v| v.id).collect::<Vec<_>>()
    };
    let all = ListVFoldersRequest::default;
    assert_eq!(list(&alice, all()).await, [ready.clone(), mounted.clone()]);
    let with_deleted = ListVFoldersRequest {
        show_deleted: true,
        ..all()
    };
    assert_eq!(
        list(&alice, with_deleted).await,
        [ready.clone(), mounted.clone(), trashed.clone()]
    );
    let only = ListVFoldersRequest {
        statuses: vec![VFolderStatus::Trashed.into()],
        ..all()
    };
    assert_eq!(list(&alice, only).await, std::slice::from_ref(&trashed));
    let prefixed = ListVFoldersRequest {
        name_prefix: "b-".into(),
        ..all()
    };
    assert_eq!(list(&alice, prefixed).await, std::slice::from_ref(&mounted));
    let wild = ListVFoldersRequest {
        name_prefix: "%".into(),
        ..all()
    };
    assert!(
        list(&alice, wild).await.is_empty(),
        "a prefix is not a pattern"
    );
    let nowhere = ListVFoldersRequest {
        volume: "nowhere".into(),
        ..all()
    };
    assert!(list(&alice, nowhere).await.is_empty());
    let owner = |owner| ListVFoldersRequest {
        owner: Some(OwnerMessage { owner: Some(owner) }),
        ..all()
    };
    assert!(
        list(&alice, owner(Owner::User("bob".into())))
            .await
            .is_empty()
    );
    assert!(
        list(&alice, owner(Owner::Project("physics".into())))
            .await
            .is_empty()
    );
    assert_eq!(
        list(&system.admin(), owner(Owner::User("bob".into()))).await,
        [theirs]
    );
}

async fn events_mounts_and_operations_come_page_by_page(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    let mut mounts = Vec::new();
    for number in 0..5 {
        mounts.push(
            alice
                .mount(&id, &format!("s{number}"), MountMode::ReadOnly)
                .await
                .unwrap()
                .id,
        );
    }
    let mut token = String::new();
    let mut listed = Vec::new();
    loop {
        let request = ListMountsRequest {
            vfolder_id: id.clone(),
            page_size: 2,
            page_token: token,
        };
        let page = alice
            .mounts
            .clone()
            .list_mounts(request)
            .await
            .unwrap()
            .into_inner();
        assert!(page.mounts.len() <= 2);
        listed.extend(page.mounts.into_iter().map(|m| m.id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(listed, mounts);

    let mut sequences = Vec::new();
    loop {
        let request = ListEventsRequest {
            vfolder_id: id.clone(),
            page_size: 2,
            page_token: token,
        };
        let page = alice
            .vfolders
            .clone()
            .list_events(request)
            .await
            .unwrap()
            .into_inner();
        assert!(page.events.len() <= 2);
        sequences.extend(page.events.into_iter().map(|e| e.sequence));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert!(
        sequences.len() >= 7 && sequences.is_sorted(),
        "{sequences:?}"
    );

    for number in 0..3 {
        let clone = alice
            .clone_to(&id, &format!("copy-{number}"))
            .await
            .unwrap();
        alice.wait(&clone.name).await;
    }
    let mut names = Vec::new();
    let filter = "kind = CLONE AND done = true";
    loop {
        let request = ListOperationsRequest {
            name: "operations".into(),
            filter: filter.into(),
            page_size: 2,
            page_token: token,
        };
        let page = alice
            .operations
            .clone()
            .list_operations(request)
            .await
            .unwrap()
            .into_inner();
        names.extend(page.operations.into_iter().map(|o| o.name));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let newest_first = names.is_sorted_by(|a, b| a >= b);
    assert!(names.len() == 3 && newest_first, "{names:?}");
}

async fn files_come_page_by_page_whatever_happens_between(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    let tree = system.tree(&id);
    for number in 0..9 {
        fs::write(tree.join(format!("f{number}")), "").unwrap();
    }
    let (mut listed, mut token) = (Vec::new(), String::new());
    loop {
        let request = ListFilesRequest {
            vfolder_id: id.clone(),
            page_size: 2,
            page_token: token,
            ..ListFilesRequest::default()
        };
        let page = alice
            .files
            .clone()
            .list_files(request)
            .await
            .unwrap()
            .into_inner();
        listed.extend(page.entries.into_iter().map(|e| e.name));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
        // One that was listed goes, one that would come before comes.
        let last = listed.last().unwrap();
        let _ = fs::remove_file(tree.join(last));
        fs::write(tree.join(format!("e{}", listed.len())), "").unwrap();
    }
    let expected: Vec<_> = (0..9).map(|number| format!("f{number}")).collect();
    assert_eq!(listed, expected);
}

//! Who sees what: nobody learns of a vfolder that ListVFolders would not show.

use tonic::Code;
use vfolder_proto::{
    google::longrunning::{ListOperationsRequest, Operation, operation::Result as OperationResult},
    v1::{
        CloneVFolderRequest, CreateVFolderRequest, ExplainRequest, ListEventsRequest, Owner,
        UpdateVFolderRequest, VFolder, VFolderServiceWatchRequest, owner,
    },
};
use vfolder_tests::{
    Engine, System, User, assert_refused, fill, on_each_engine, operation_metadata,
};

on_each_engine!(
    a_private_clone_of_a_projects_vfolder_stays_private,
    why_a_private_clone_failed_stays_private,
    what_was_handed_over_is_seen_no_more,
    a_watch_ends_when_its_vfolder_is_handed_over,
    nobody_may_be_called_system,
);

fn of_project(name: &str, project: &str) -> Option<VFolder> {
    Some(VFolder {
        name: name.into(),
        owner: Some(Owner {
            owner: Some(owner::Owner::Project(project.into())),
        }),
        ..VFolder::default()
    })
}

async fn shared(user: &User, name: &str) -> String {
    let request = CreateVFolderRequest {
        vfolder: of_project(name, "p"),
        ..CreateVFolderRequest::default()
    };
    let made = user.vfolders.clone().create_v_folder(request).await;
    made.unwrap().into_inner().id
}

/// Its limits, and how much of them is used, are its own.
async fn why_a_private_clone_failed_stays_private(engine: Engine) {
    let system = System::start(engine).await;
    let (alice, bob) = (system.member("alice", &["p"]), system.member("bob", &["p"]));
    let source = shared(&alice, "shared").await;
    fill(&system.tree(&source), 3, 1_000);
    let request = CloneVFolderRequest {
        source_id: source.clone(),
        vfolder: Some(VFolder {
            name: "small".into(),
            max_bytes: Some(1_234),
            ..VFolder::default()
        }),
        ..CloneVFolderRequest::default()
    };
    let begun = bob.vfolders.clone().clone_v_folder(request).await.unwrap();
    let name = begun.into_inner().name;
    let [his, hers] = [bob.wait(&name).await, alice.wait(&name).await];
    let told = |ended: &Operation| match &ended.result {
        Some(OperationResult::Error(status)) => (status.code, format!("{status:?}")),
        other => panic!("it did not fail: {other:?}"),
    };
    let exhausted = i32::from(Code::ResourceExhausted);
    assert!(told(&his).1.contains("1234"), "{his:?}");
    assert_eq!((told(&his).0, told(&hers).0), (exhausted, exhausted));
    let target = &operation_metadata(&his).vfolder_id;
    let request = ListEventsRequest {
        vfolder_id: source,
        ..ListEventsRequest::default()
    };
    let events = alice.vfolders.clone().list_events(request).await.unwrap();
    let events = format!("{:?}", events.into_inner());
    assert!(events.contains("QUOTA_EXCEEDED"), "{events}");
    for text in [told(&hers).1, events] {
        assert!(!text.contains("1234") && !text.contains(target), "{text}");
    }
}

/// Gives the vfolder to the project.
async fn hand_over(user: &User, id: &str) {
    let request = UpdateVFolderRequest {
        vfolder: Some(VFolder {
            id: id.into(),
            ..of_project("", "p").unwrap()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["owner".into()],
        }),
        validate_only: false,
    };
    user.vfolders
        .clone()
        .update_v_folder(request)
        .await
        .unwrap();
}

async fn a_private_clone_of_a_projects_vfolder_stays_private(engine: Engine) {
    let system = System::start(engine).await;
    let (alice, bob) = (system.member("alice", &["p"]), system.member("bob", &["p"]));
    let source = shared(&alice, "shared").await;
    let secret = "bobs own plan";
    let request = CloneVFolderRequest {
        source_id: source.clone(),
        vfolder: Some(VFolder {
            name: secret.into(),
            ..VFolder::default()
        }),
        ..CloneVFolderRequest::default()
    };
    let begun = bob
        .vfolders
        .clone()
        .clone_v_folder(request)
        .await
        .unwrap()
        .into_inner();
    let made = operation_metadata(&bob.wait(&begun.name).await).vfolder_id;
    assert!(!made.is_empty());

    // Alice is told to wait for such operations, so she can look at them; where they go is not hers to know.
    let seen = alice.operation(&begun.name).await.unwrap();
    let events = ListEventsRequest {
        vfolder_id: source.clone(),
        ..ListEventsRequest::default()
    };
    let events = alice.vfolders.clone().list_events(events).await.unwrap();
    let explain = ExplainRequest { vfolder_id: source };
    let explained = alice.vfolders.clone().explain(explain).await.unwrap();
    let listed = ListOperationsRequest::default();
    let listed = alice
        .operations
        .clone()
        .list_operations(listed)
        .await
        .unwrap()
        .into_inner();
    assert!(
        listed.operations.iter().any(|o| o.name == begun.name),
        "{listed:?}"
    );
    let all = format!("{seen:?} {events:?} {explained:?} {listed:?}");
    assert!(!all.contains(&made) && !all.contains(secret), "{all}");
    let bytes = match seen.result {
        Some(OperationResult::Response(any)) => any.value,
        other => panic!("{other:?}"),
    };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    assert!(!text.contains(&made) && !text.contains(secret), "{text}");
    assert_eq!(
        operation_metadata(&alice.operation(&begun.name).await.unwrap()).vfolder_id,
        ""
    );
}

async fn what_was_handed_over_is_seen_no_more(engine: Engine) {
    let system = System::start(engine).await;
    let member = system.member("alice", &["p"]);
    let source = member.create("source").await.unwrap().id;
    let begun = member.clone_to(&source, "copy").await.unwrap();
    let copy = operation_metadata(&member.wait(&begun.name).await).vfolder_id;
    hand_over(&member, &copy).await;
    // The same user, no longer a member.
    let left = system.user("alice");
    assert_refused(left.get(&copy).await, Code::NotFound, "VFOLDER_NOT_FOUND");
    let operation = left.operation(&begun.name).await.unwrap();
    assert_eq!(operation_metadata(&operation).vfolder_id, "");
    system.assert_sound().await;
}

async fn a_watch_ends_when_its_vfolder_is_handed_over(engine: Engine) {
    let system = System::start(engine).await;
    let member = system.member("alice", &["p"]);
    let id = member.create("data").await.unwrap().id;
    let outside = system.user("alice");
    let request = VFolderServiceWatchRequest {
        vfolder_id: id.clone(),
        ..VFolderServiceWatchRequest::default()
    };
    let mut news = outside
        .vfolders
        .clone()
        .watch(request)
        .await
        .unwrap()
        .into_inner();
    assert!(news.message().await.unwrap().is_some());
    hand_over(&member, &id).await;
    let end = loop {
        match news.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ended without a word"),
            Err(status) => break status,
        }
    };
    assert_refused::<()>(Err(end), Code::NotFound, "VFOLDER_NOT_FOUND");
}

async fn nobody_may_be_called_system(engine: Engine) {
    let system = System::start(engine).await;
    assert_refused(
        system.user("system").create("data").await,
        Code::Unauthenticated,
        "CREDENTIALS_INVALID",
    );
}

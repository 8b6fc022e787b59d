//! Streams: of a vfolder's changes, of an operation's progress.

use tonic::{Code, Streaming};
use vfolder_proto::{
    google::longrunning::Operation,
    v1::{
        MountMode, OperationServiceWatchRequest, VFolderServiceWatchRequest,
        VFolderServiceWatchResponse, VFolderStatus,
    },
};
use vfolder_tests::{
    Engine, System, User, assert_refused, fill, on_each_engine, on_postgres, operation_metadata,
};

use crate::history::history;

on_each_engine!(
    a_watch_tells_each_change_once_and_in_order,
    an_operation_is_watched_to_its_end,
    many_may_watch_and_leave,
);
on_postgres!(a_watch_hears_of_what_another_manager_did);

async fn watch(user: &User, id: &str) -> Streaming<VFolderServiceWatchResponse> {
    let request = VFolderServiceWatchRequest {
        vfolder_id: id.into(),
        ..VFolderServiceWatchRequest::default()
    };
    user.vfolders
        .clone()
        .watch(request)
        .await
        .unwrap()
        .into_inner()
}

async fn a_watch_tells_each_change_once_and_in_order(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    let mut stream = watch(&alice, &id).await;
    let first = stream.message().await.unwrap().unwrap();
    assert_eq!(
        (first.vfolder.unwrap().status(), first.event),
        (VFolderStatus::Ready, None)
    );
    let known = history(&alice, &id).await.len();

    let mount = alice.mount(&id, "s", MountMode::ReadOnly).await.unwrap();
    alice.unmount(&mount).await.unwrap();
    alice.trash(&id).await.unwrap();
    let purge = alice.purge(&id).await.unwrap();
    alice.wait(&purge.name).await;
    let events = history(&alice, &id).await;
    for expected in &events[known..] {
        let news = stream.message().await.unwrap().unwrap();
        assert_eq!(news.event.as_ref(), Some(expected));
    }
    assert_eq!(events.last().unwrap().to_status(), VFolderStatus::Deleted);
}

async fn a_watch_hears_of_what_another_manager_did(engine: Engine) {
    let system = System::start(engine).await;
    let other = system.another_manager("manager-2").await;
    let (alice, there) = (
        system.user("alice"),
        User::new(other.channel(), &system.tokens.user("alice")),
    );
    let id = alice.create("data").await.unwrap().id;
    let mut stream = watch(&alice, &id).await;
    stream.message().await.unwrap().unwrap();
    there.trash(&id).await.unwrap();
    let news = stream.message().await.unwrap().unwrap();
    assert_eq!(news.vfolder.unwrap().status(), VFolderStatus::Trashed);
    let purge = there.purge(&id).await.unwrap();
    assert!(alice.wait(&purge.name).await.done);
}

async fn an_operation_is_watched_to_its_end(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let source = alice.create("source").await.unwrap().id;
    fill(&system.tree(&source), 5_000, 200);
    let clone = alice.clone_to(&source, "copy").await.unwrap();
    let request = OperationServiceWatchRequest {
        name: clone.name.clone(),
    };
    let mut stream = alice
        .operation_watch
        .clone()
        .watch(request)
        .await
        .unwrap()
        .into_inner();
    let mut news: Vec<Operation> = Vec::new();
    while let Some(operation) = stream.message().await.unwrap() {
        news.push(operation);
    }
    let (last, before) = news.split_last().unwrap();
    assert!(last.done && before.iter().all(|o| !o.done), "{news:?}");
    let done: Vec<_> = news
        .iter()
        .map(|o| {
            operation_metadata(o)
                .progress
                .unwrap_or_default()
                .files_done
        })
        .collect();
    assert!(
        done.is_sorted() && *done.last().unwrap() > 5_000,
        "{done:?}"
    );
    let absent = OperationServiceWatchRequest {
        name: "operations/01890a5d-ac96-774b-bcce-b302099a8057".into(),
    };
    let answer = alice.operation_watch.clone().watch(absent).await;
    assert_refused(answer.map(drop), Code::NotFound, "OPERATION_NOT_FOUND");
}

async fn many_may_watch_and_leave(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    let mut streams = Vec::new();
    for _ in 0..50 {
        let mut stream = watch(&alice, &id).await;
        stream.message().await.unwrap().unwrap();
        streams.push(stream);
    }
    // Half of them hang up; the others hear.
    streams.truncate(25);
    alice.trash(&id).await.unwrap();
    for stream in &mut streams {
        let news = stream.message().await.unwrap().unwrap();
        assert_eq!(news.vfolder.unwrap().status(), VFolderStatus::Trashed);
    }
}

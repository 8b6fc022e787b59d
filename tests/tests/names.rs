//! Names: unique for their owner while they count, free once they don't.

use futures_util::future::join_all;
use tokio::sync::Barrier;
use tonic::Code;
use vfolder_proto::v1::{ListVFoldersRequest, RestoreVFolderRequest, VFolderStatus};
use vfolder_tests::{Engine, System, assert_refused, eventually, on_each_engine};

on_each_engine!(
    of_sixty_four_who_create_one_name_one_wins,
    a_name_is_free_once_its_vfolder_is_trashed,
    restoring_into_a_taken_name_says_so,
    two_owners_may_use_one_name,
    a_name_that_is_in_use_again_does_not_keep_the_old_vfolder_from_its_purge,
    the_trash_is_emptied_whatever_names_are_in_use_again,
);

const CALLERS: usize = 64;

async fn of_sixty_four_who_create_one_name_one_wins(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let barrier = Barrier::new(CALLERS);
    let answers = join_all((0..CALLERS).map(|_| async {
        barrier.wait().await;
        alice.create("wanted").await
    }))
    .await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, CALLERS - 1));
    for answer in lost {
        assert_refused(answer, Code::AlreadyExists, "NAME_TAKEN");
    }
    let all = ListVFoldersRequest {
        show_deleted: true,
        ..ListVFoldersRequest::default()
    };
    let listed = alice
        .vfolders
        .clone()
        .list_v_folders(all)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(listed.vfolders.len(), 1);
    system.assert_sound().await;
}

async fn a_name_is_free_once_its_vfolder_is_trashed(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let first = alice.create("wanted").await.unwrap();
    assert_refused(
        alice.create("wanted").await,
        Code::AlreadyExists,
        "NAME_TAKEN",
    );
    alice.trash(&first.id).await.unwrap();
    let second = alice.create("wanted").await.unwrap();
    assert_ne!(first.id, second.id);
    assert_eq!(
        alice.get(&first.id).await.unwrap().name,
        "wanted",
        "the record keeps the name"
    );
    system.assert_sound().await;
}

async fn restoring_into_a_taken_name_says_so(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let first = alice.create("wanted").await.unwrap();
    alice.trash(&first.id).await.unwrap();
    alice.create("wanted").await.unwrap();
    assert_refused(
        alice.restore(&first.id).await,
        Code::AlreadyExists,
        "NAME_TAKEN",
    );
    assert_eq!(alice.status(&first.id).await, VFolderStatus::Trashed);
    let request = RestoreVFolderRequest {
        vfolder_id: first.id.clone(),
        name: "wanted again".into(),
        ..RestoreVFolderRequest::default()
    };
    let restored = alice
        .vfolders
        .clone()
        .restore_v_folder(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (restored.name.as_str(), restored.status()),
        ("wanted again", VFolderStatus::Ready)
    );
    system.assert_sound().await;
}

async fn two_owners_may_use_one_name(engine: Engine) {
    let system = System::start(engine).await;
    let mine = system.user("alice").create("shared name").await.unwrap();
    let theirs = system.user("bob").create("shared name").await.unwrap();
    assert_ne!(mine.id, theirs.id);
}

async fn a_name_that_is_in_use_again_does_not_keep_the_old_vfolder_from_its_purge(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let mut old = Vec::new();
    for _ in 0..3 {
        let id = alice.create("wanted").await.unwrap().id;
        alice.trash(&id).await.unwrap();
        old.push(id);
    }
    let kept = alice.create("wanted").await.unwrap().id;
    let purges = join_all(old.iter().map(|id| alice.purge(id))).await;
    for purge in purges {
        let ended = alice.wait(&purge.unwrap().name).await;
        assert!(ended.done, "{ended:?}");
    }
    for id in &old {
        assert_eq!(alice.status(id).await, VFolderStatus::Deleted);
    }
    assert_eq!(alice.status(&kept).await, VFolderStatus::Ready);
    system.assert_sound().await;
}

async fn the_trash_is_emptied_whatever_names_are_in_use_again(engine: Engine) {
    let system = System::on(engine)
        .with(|s| s.retention = "500ms".into())
        .start()
        .await;
    let alice = system.user("alice");
    let mut old = Vec::new();
    for name in ["one", "two"] {
        let id = alice.create(name).await.unwrap().id;
        alice.trash(&id).await.unwrap();
        alice.create(name).await.unwrap();
        old.push(id);
    }
    for id in &old {
        eventually("it is purged", async || {
            (alice.status(id).await == VFolderStatus::Deleted).then_some(())
        })
        .await;
    }
    system.assert_sound().await;
}

//! Operations whose storage-proxy stays away for too long: they end, and what they leave needs a decision, which is never
//! a wrong one.

use tonic::Code;
use vfolder_proto::{
    google::longrunning::operation::Result as Outcome,
    v1::{PauseVolumeRequest, ResetStatusRequest, ResumeVolumeRequest, VFolderStatus},
};
use vfolder_tests::{
    Engine, System, User, assert_refused, eventually, fill, on_each_engine, operation_metadata,
};

on_each_engine!(
    a_clone_that_is_given_up_frees_its_source_and_is_never_taken_for_whole,
    a_purge_that_is_given_up_can_be_repeated,
    a_crash_loop_ends,
    attempts_that_find_the_storage_proxy_away_use_up_none,
    an_operation_does_not_wait_out_its_pause_once_its_storage_proxy_is_back,
);

async fn impatient(engine: Engine) -> System {
    let settings = "give_up_after = \"1s\"\nmax_backoff = \"200ms\"";
    System::on(engine)
        .with(|s| s.operations = settings.into())
        .start()
        .await
}

async fn a_clone_that_is_given_up_frees_its_source_and_is_never_taken_for_whole(engine: Engine) {
    let mut system = impatient(engine).await;
    let alice = system.user("alice");
    let source = alice.create("source").await.unwrap().id;
    // Enough that it can't be over before the storage-proxy is.
    fill(&system.tree(&source), 5_000, 100);
    let begun = alice.clone_to(&source, "copy").await.unwrap();
    system.storage.kill();
    let ended = alice.wait(&begun.name).await;
    let copy = operation_metadata(&ended).vfolder_id;
    let Some(Outcome::Error(error)) = ended.result else {
        panic!("{ended:?}");
    };
    assert!(error.message.contains("given up"), "{}", error.message);
    assert_eq!(alice.status(&source).await, VFolderStatus::Ready);
    assert_eq!(alice.status(&copy).await, VFolderStatus::Error);

    system.start_storage().await;
    let reset = ResetStatusRequest {
        vfolder_id: copy.clone(),
        ..ResetStatusRequest::default()
    };
    // As if the copy had been published unheard of: the source may have changed under it, so it is not blessed.
    std::fs::create_dir_all(system.tree(&copy)).unwrap();
    let answer = system.admin().vfolders.clone().reset_status(reset).await;
    assert_refused(answer, Code::FailedPrecondition, "RESET_UNSAFE");
    assert_refused(
        alice.trash(&copy).await,
        Code::FailedPrecondition,
        "RESET_UNSAFE",
    );
    let purge = alice.purge(&copy).await.unwrap();
    assert!(matches!(
        alice.wait(&purge.name).await.result,
        Some(Outcome::Response(_))
    ));
    assert_eq!(alice.status(&copy).await, VFolderStatus::Deleted);
    assert!(!system.tree(&copy).exists());
    system.assert_sound().await;
}

async fn a_purge_that_is_given_up_can_be_repeated(engine: Engine) {
    let mut system = impatient(engine).await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    alice.trash(&id).await.unwrap();
    pause(&system).await;
    let purge = alice.purge(&id).await.unwrap();
    system.storage.kill();
    resume(&system).await;
    let ended = alice.wait(&purge.name).await;
    assert!(matches!(ended.result, Some(Outcome::Error(_))), "{ended:?}");
    assert_eq!(alice.status(&id).await, VFolderStatus::Error);
    system.start_storage().await;
    let again = alice.purge(&id).await.unwrap();
    assert!(matches!(
        alice.wait(&again.name).await.result,
        Some(Outcome::Response(_))
    ));
    assert_eq!(alice.status(&id).await, VFolderStatus::Deleted);
    system.assert_sound().await;
}

async fn a_crash_loop_ends(engine: Engine) {
    let system = System::on(engine)
        .with(|s| s.operations = "max_attempts = 3\nmax_backoff = \"50ms\"".into())
        .start()
        .await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    alice.trash(&id).await.unwrap();
    // A volume that has gone away fails each attempt in a way that may pass.
    let volume = system.volume().to_owned();
    let aside = volume.with_extension("aside");
    pause(&system).await;
    let purge = alice.purge(&id).await.unwrap();
    std::fs::rename(&volume, &aside).unwrap();
    resume(&system).await;
    let ended = alice.wait(&purge.name).await;
    assert!(matches!(ended.result, Some(Outcome::Error(_))), "{ended:?}");
    assert_eq!(operation_metadata(&ended).attempt, 3);
    std::fs::rename(&aside, &volume).unwrap();
}

async fn attempts_that_find_the_storage_proxy_away_use_up_none(engine: Engine) {
    let mut system = System::on(engine)
        .with(|s| s.operations = "max_attempts = 90\nmax_backoff = \"200ms\"".into())
        .start()
        .await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    pause(&system).await;
    let clone = alice.clone_to(&id, "copy").await.unwrap();
    system.storage.kill();
    resume(&system).await;
    // As after a long outage.
    let row = pretend_attempts(&system, &alice, &clone.name, 100).await;
    // It is back before what it serves is.
    let volume = system.volume().to_owned();
    let aside = volume.with_extension("aside");
    std::fs::rename(&volume, &aside).unwrap();
    system.start_storage().await;
    let failed = format!("SELECT CAST(failures AS TEXT) AS value FROM operations {row}");
    eventually("one has failed at work", async || {
        (system.database.values(&failed).await[0] != "0").then_some(())
    })
    .await;
    std::fs::rename(&aside, &volume).unwrap();
    let ended = alice.wait(&clone.name).await;
    assert!(
        matches!(ended.result, Some(Outcome::Response(_))),
        "{ended:?}"
    );
}

async fn an_operation_does_not_wait_out_its_pause_once_its_storage_proxy_is_back(engine: Engine) {
    // A pause that no test waits for.
    let settings = "max_backoff = \"1h\"";
    let mut system = System::on(engine)
        .with(|s| s.operations = settings.into())
        .start()
        .await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    pause(&system).await;
    let clone = alice.clone_to(&id, "copy").await.unwrap();
    system.storage.kill();
    resume(&system).await;
    // Each failed attempt doubles the pause: after the tenth it is minutes long.
    pretend_attempts(&system, &alice, &clone.name, 20).await;
    system.start_storage().await;
    let ended = alice.wait(&clone.name).await;
    assert!(
        matches!(ended.result, Some(Outcome::Response(_))),
        "{ended:?}"
    );
}

/// Makes an operation that fails look as if it had failed so often, and waits until it has once more. Says which row it is.
async fn pretend_attempts(system: &System, user: &User, operation: &str, attempts: i32) -> String {
    let after = async |attempts| {
        eventually("it has failed once more", async || {
            let op = operation_metadata(&user.operation(operation).await.unwrap());
            (op.attempt >= attempts).then_some(())
        })
        .await;
    };
    after(1).await;
    let row = format!(
        "WHERE id = '{}'",
        operation.trim_start_matches("operations/")
    );
    let many = format!("UPDATE operations SET attempt = {attempts} {row}");
    system.database.execute(&many).await;
    after(attempts + 1).await;
    row
}

async fn pause(system: &System) {
    let request = PauseVolumeRequest {
        volume: "local".into(),
        ..PauseVolumeRequest::default()
    };
    let admin = system.admin();
    admin.volumes.clone().pause_volume(request).await.unwrap();
}

async fn resume(system: &System) {
    let request = ResumeVolumeRequest {
        volume: "local".into(),
    };
    let admin = system.admin();
    admin.volumes.clone().resume_volume(request).await.unwrap();
}

//! A manager that is stopped for longer than its lease and then goes on: it changes nothing that others have settled.

use std::process::Command;

use vfolder_proto::{google::longrunning::operation::Result as Outcome, v1::VFolderStatus};
use vfolder_tests::{
    Engine, System, User, assert_same_tree, eventually, fill, on_postgres, on_sqlite,
    operation_metadata,
};

use crate::history::{assert_one_after_the_other, history};

on_sqlite!(a_second_manager_on_a_sqlite_file_does_not_start);
on_postgres!(
    a_manager_that_wakes_after_its_lease_changes_nothing,
    a_stopped_manager_keeps_no_row_from_the_others,
);

async fn a_manager_that_wakes_after_its_lease_changes_nothing(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let source = alice.create("source").await.unwrap().id;
    fill(&system.tree(&source), 8_000, 100);
    let clone = alice.clone_to(&source, "copy").await.unwrap();
    eventually("the first manager has it", async || {
        let op = alice.operation(&clone.name).await.unwrap();
        (operation_metadata(&op).attempt == 1).then_some(())
    })
    .await;
    system.manager.freeze();
    let other = system.another_manager("manager-2").await;
    let there = User::new(other.channel(), &system.tokens.user("alice"));
    let ended = there.wait(&clone.name).await;
    assert!(
        matches!(ended.result, Some(Outcome::Response(_))),
        "{ended:?}"
    );
    let copy = operation_metadata(&ended).vfolder_id;
    // Purged before the sleeper wakes: whatever it still asks for must not bring the tree back.
    there.trash(&copy).await.unwrap();
    let purge = there.purge(&copy).await.unwrap();
    assert!(there.wait(&purge.name).await.done);
    let before = (history(&there, &source).await, history(&there, &copy).await);

    system.manager.thaw();
    // It answers again, so it has had its say.
    eventually("it is awake", async || alice.get(&source).await.ok()).await;
    eventually("it has worked since", async || {
        let new = alice.create("new").await.ok()?;
        (alice.status(&new.id).await == VFolderStatus::Ready).then_some(())
    })
    .await;
    assert_eq!(
        (history(&there, &source).await, history(&there, &copy).await),
        before
    );
    assert!(!system.tree(&copy).exists());
    let again = there.clone_to(&source, "another").await.unwrap();
    let made = operation_metadata(&there.wait(&again.name).await).vfolder_id;
    assert_same_tree(&system.tree(&source), &system.tree(&made));
    assert_one_after_the_other(&history(&there, &source).await, VFolderStatus::Ready);
    system.assert_sound().await;
}

async fn a_stopped_manager_keeps_no_row_from_the_others(engine: Engine) {
    let system = System::start(engine).await;
    let other = system.another_manager("manager-2").await;
    let (alice, there) = (
        system.user("alice"),
        User::new(other.channel(), &system.tokens.user("alice")),
    );
    let id = alice.create("data").await.unwrap().id;
    // Many changes of one row at once, so that the manager is stopped while it holds the row.
    for round in 0..8 {
        let busy: Vec<_> = (0..16)
            .map(|n| {
                let (alice, id) = (alice.clone(), id.clone());
                tokio::spawn(async move {
                    let session = format!("session-{round}-{n}");
                    let mode = vfolder_proto::v1::MountMode::ReadOnly;
                    let mount = alice.mount(&id, &session, mode).await?;
                    alice.unmount(&mount).await
                })
            })
            .collect();
        system.manager.freeze();
        let mount = there
            .mount(&id, "there", vfolder_proto::v1::MountMode::ReadOnly)
            .await;
        // The database ends the sleeper's transaction; one call may have run into its patience with the row.
        if let Ok(mount) = mount {
            there.unmount(&mount).await.unwrap();
        } else {
            eventually("the row is free", async || {
                let mode = vfolder_proto::v1::MountMode::ReadOnly;
                let mount = there.mount(&id, "there", mode).await.ok()?;
                there.unmount(&mount).await.ok()
            })
            .await;
        }
        system.manager.thaw();
        for call in busy {
            // Some are told that the database ended their transaction.
            let _ = call.await.unwrap();
        }
    }
    assert_one_after_the_other(&history(&there, &id).await, VFolderStatus::Ready);
    system.assert_sound().await;
}

async fn a_second_manager_on_a_sqlite_file_does_not_start(engine: Engine) {
    let mut system = System::start(engine).await;
    let config = std::fs::read_to_string(system.manager.config_file()).unwrap();
    let second = system.folder().join("second.toml");
    let (_, rest) = config.split_once('\n').unwrap();
    std::fs::write(&second, format!("listen = \"127.0.0.1:0\"\n{rest}")).unwrap();
    let serve = || {
        Command::new(&system.binaries().manager)
            .args(["serve", "--config"])
            .arg(&second)
            .output()
            .unwrap()
    };
    let output = serve();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains("PostgreSQL"),
        "{said}"
    );
    // What was killed holds nothing.
    system.manager.kill();
    system.start_manager().await;
    assert!(system.user("alice").create("data").await.is_ok());
}

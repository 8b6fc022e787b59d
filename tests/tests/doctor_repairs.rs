//! `manager doctor --repair`: mends what can be mended without a doubt, and destroys no tree.

use std::{fs, process::Command};

use serde_json::Value;
use tonic::Code;
use vfolder_proto::{
    google::longrunning::operation::Result as Outcome,
    v1::{MountMode, VFolderStatus},
};
use vfolder_tests::{Engine, System, assert_refused, eventually, fill, on_each_engine};

use crate::staged::Staged;

on_each_engine!(
    a_status_that_nothing_backs_is_taken_to_one_that_can_be_acted_on,
    a_repair_touches_nothing_that_is_in_order,
    orphans_are_reported_and_kept,
    what_an_ended_operation_has_left_is_cleared_away,
);

/// What it says that it has done and found.
#[derive(Debug)]
struct Repaired {
    statuses: Vec<Value>,
    /// What ended operations had left. A manager that was killed may have left something, too.
    cleared: Vec<Value>,
    findings: Vec<Value>,
}

fn repair(system: &System) -> Repaired {
    let output = Command::new(&system.binaries().manager)
        .args(["doctor", "--repair", "--json", "--config"])
        .arg(system.manager.config_file())
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)));
    let list = |key: &str| report[key].as_array().cloned().unwrap_or_default();
    let mut findings = list("findings");
    findings.retain(|f| f["severity"] != "notice");
    let (cleared, statuses) = list("repairs")
        .into_iter()
        .partition(|r| r["subject"] == "volume local");
    Repaired {
        statuses,
        cleared,
        findings,
    }
}

async fn a_status_that_nothing_backs_is_taken_to_one_that_can_be_acted_on(engine: Engine) {
    let mut system = System::start(engine).await;
    let alice = system.user("alice");
    let mut broken = Vec::new();
    for (status, mended) in [
        (VFolderStatus::Creating, VFolderStatus::Error),
        (VFolderStatus::Performing, VFolderStatus::Error),
        (VFolderStatus::Deleting, VFolderStatus::Error),
        (VFolderStatus::Cloning, VFolderStatus::Ready),
    ] {
        let id = alice.create(status.as_str_name()).await.unwrap().id;
        fill(&system.tree(&id), 5, 10);
        broken.push((id, status, mended));
    }
    // A session read it while an operation worked in it.
    let performing = broken[1].0.clone();
    let mount = alice.mount(&performing, "s", MountMode::ReadOnly).await;
    let mount = mount.unwrap();
    system.manager.kill();
    for (id, status, _) in &broken {
        // Straight into the row: no operation, and the history says otherwise.
        let name = status.as_str_name();
        let staged = format!(
            "UPDATE vfolders SET status = '{name}' WHERE id = '{id}';
             UPDATE events SET to_status = '{name}' WHERE vfolder_id = '{id}'
                 AND sequence = (SELECT revision FROM vfolders WHERE id = '{id}')"
        );
        system.database.execute(&staged).await;
    }
    assert_eq!(system.doctor().await.len(), broken.len());
    let done = repair(&system);
    assert_eq!(
        (done.statuses.len(), done.findings.len()),
        (broken.len(), 0),
        "{done:?}"
    );
    system.start_manager().await;
    let alice = system.user("alice");
    for (id, _, mended) in &broken {
        assert_eq!(alice.status(id).await, *mended);
        assert!(system.tree(id).join("").exists(), "no tree is destroyed");
    }
    // What is in ERROR can be acted on.
    let purge = alice.purge(&broken[0].0).await.unwrap();
    assert!(matches!(
        alice.wait(&purge.name).await.result,
        Some(Outcome::Response(_))
    ));
    // Also where somebody had it mounted: ERROR admits no mounts, and none could end there.
    let unmounted = alice.unmount(&mount).await;
    assert_refused(unmounted, Code::NotFound, "MOUNT_NOT_FOUND");
    assert_eq!(
        alice.trash(&performing).await.unwrap().status(),
        VFolderStatus::Trashed
    );
    let done = repair(&system);
    assert!(done.statuses.is_empty(), "{done:?}");
}

async fn a_repair_touches_nothing_that_is_in_order(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let mounted = alice.create("mounted").await.unwrap().id;
    alice
        .mount(&mounted, "s", MountMode::ReadWrite)
        .await
        .unwrap();
    let cloning = alice.create("cloning").await.unwrap().id;
    let staged = Staged::on(&system.database, &cloning).status(VFolderStatus::Cloning);
    staged.write().await;
    let trashed = alice.create("trashed").await.unwrap().id;
    alice.trash(&trashed).await.unwrap();
    let done = repair(&system);
    assert!(done.statuses.is_empty(), "{done:?}");
    assert_eq!(alice.status(&mounted).await, VFolderStatus::Mounted);
    assert_eq!(alice.status(&cloning).await, VFolderStatus::Cloning);
    assert_eq!(alice.status(&trashed).await, VFolderStatus::Trashed);
}

async fn orphans_are_reported_and_kept(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    // A tree without a row, and a row without a tree.
    let stranger = uuid::Uuid::now_v7().to_string();
    fs::create_dir_all(system.tree(&stranger)).unwrap();
    let lost = alice.create("lost").await.unwrap().id;
    fs::remove_dir_all(system.tree(&lost)).unwrap();
    let done = repair(&system);
    assert!(done.statuses.is_empty(), "{done:?}");
    let mut subjects: Vec<_> = done
        .findings
        .iter()
        .map(|f| f["subject"].as_str().unwrap().to_owned())
        .collect();
    subjects.sort_unstable();
    let mut expected = vec![stranger.clone(), lost.clone()];
    expected.sort_unstable();
    assert_eq!(subjects, expected);
    assert!(system.tree(&stranger).exists() && system.tree(&id).exists());
    assert_eq!(alice.status(&lost).await, VFolderStatus::Ready);
}

async fn what_an_ended_operation_has_left_is_cleared_away(engine: Engine) {
    let mut system = System::start(engine).await;
    system.manager.kill();
    system.manager.arm("call.forget_task.before=kill");
    system.start_manager().await;
    // It dies when the operation has ended, maybe before it answers.
    let _ = system.user("alice").create("data").await;
    eventually("it forgets an operation", async || system.manager.ended()).await;
    let done = repair(&system);
    assert_eq!(
        (done.cleared.len(), done.statuses.len(), done.findings.len()),
        (1, 0, 0),
        "{done:?}"
    );
    let again = repair(&system);
    assert!(again.cleared.is_empty(), "{again:?}");
}

//! Work in a tree while both services are killed, again and again.

use std::{fs, os::unix::process::ExitStatusExt as _};

use vfolder_proto::{
    google::longrunning::{Operation, operation::Result as Outcome},
    v1::VFolderStatus,
};
use vfolder_tests::{Engine, System, User, assert_same_tree, eventually, fill, on_each_engine};

use super::{begin_extract, begin_remove, extract, pack, remove};

on_each_engine!(
    an_extraction_survives_kills_of_both,
    a_removal_survives_kills_of_both,
);

/// So many deaths of the storage-proxy, each at `point`, and as many of the manager.
const DEATHS: usize = 3;

/// Each life of the storage-proxy dies at `point`, in the middle of the work that `begin` begins, and meanwhile the manager
/// is killed as well; the last life ends the work.
async fn killed_again_and_again(
    system: &mut System,
    point: &str,
    begin: impl AsyncFn(User) -> Operation,
) {
    system.storage.kill();
    system.storage.arm(point);
    system.start_storage().await;
    let operation = begin(system.user("alice")).await.name;
    for death in 1..=DEATHS {
        let died = async || system.storage.ended();
        let ended = eventually(format!("{point}, death {death}"), died).await;
        assert_eq!(
            ended.signal(),
            Some(9),
            "it died of something else: {ended}"
        );
        system.manager.kill();
        if death == DEATHS {
            system.storage.arm("");
        }
        system.storage.kill();
        system.launch_storage().await;
        system.start_manager().await;
    }
    let ended = system.user("alice").wait(&operation).await;
    assert!(
        matches!(ended.result, Some(Outcome::Response(_))),
        "{ended:?}"
    );
}

async fn an_extraction_survives_kills_of_both(engine: Engine) {
    let mut system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    let tree = system.tree(&id);
    let source = pack(&system, &tree, 4_000);
    let begin = async |alice: User| begin_extract(&alice, extract(&id, "packed.tar.gz")).await;
    killed_again_and_again(&mut system, "inside.entry=kill@1500", begin).await;
    assert_same_tree(&source, &tree.join("out"));
    let alice = system.user("alice");
    assert_eq!(alice.status(&id).await, VFolderStatus::Ready);
    system.assert_sound().await;
}

async fn a_removal_survives_kills_of_both(engine: Engine) {
    let mut system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    let tree = system.tree(&id);
    let many = tree.join("many");
    fs::create_dir(&many).unwrap();
    fill(&many, 4_000, 10);
    fs::write(tree.join("kept"), "kept").unwrap();
    let begin = async |alice: User| begin_remove(&alice, remove(&id, "many")).await;
    killed_again_and_again(&mut system, "remove.entry=kill@500", begin).await;
    assert!(!many.exists() && tree.join("kept").exists());
    let alice = system.user("alice");
    assert_eq!(alice.status(&id).await, VFolderStatus::Ready);
    system.assert_sound().await;
}

//! A storage-proxy and a user who are not root, and trees whose roots may not be written by their owners.

use std::{
    fs::{self, Permissions, metadata, set_permissions},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::Path,
    process::Command,
};

use uuid::Uuid;
use vfolder_images::{is_root, not_checked};
use vfolder_proto::storage::{PurgeTree, run_task_request::Task};

use crate::{
    offline::succeeds,
    proxy::{PROGRAM, Proxy, set_up},
    scenario::{Kind, Scenario},
    support::reachable,
};

const NOBODY: u32 = 65534;

fn give_away(path: &Path) {
    let owner = format!("{NOBODY}:{NOBODY}");
    succeeds(Command::new("chown").args(["-R", &owner]).arg(path));
}

fn mode(path: &Path) -> u32 {
    metadata(path).unwrap().permissions().mode() & 0o7777
}

// The client must hear of the end while the test waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_whose_root_is_read_only_is_cloned_and_purged() {
    if !is_root() {
        return not_checked("it takes root to be somebody else");
    }
    let dir = set_up();
    let scenario = Scenario::new(Kind::Clone, dir.path().join("v"));
    set_permissions(
        scenario.tree(scenario.source),
        Permissions::from_mode(0o555),
    )
    .unwrap();
    give_away(dir.path());
    let proxy = Proxy::start_as(NOBODY, dir, "").await.unwrap();
    assert_eq!(scenario.run(&proxy).await.unwrap().failure, None);
    let copy = scenario.tree(scenario.vfolder);
    assert_eq!(mode(&copy), 0o555);
    let purge = Task::PurgeTree(PurgeTree {
        vfolder_id: scenario.vfolder.to_string(),
    });
    let purged = proxy.run(Uuid::now_v7(), purge).await.unwrap();
    assert_eq!(purged.failure, None);
    assert!(!copy.exists());
}

#[test]
fn a_read_only_directory_is_cloned_by_its_owner() {
    if !is_root() {
        return not_checked("it takes root to be somebody else");
    }
    let dir = tempfile::tempdir().unwrap();
    let (source, copy) = (dir.path().join("a"), dir.path().join("b"));
    fs::create_dir_all(source.join("below")).unwrap();
    for read_only in ["a/below", "a"] {
        set_permissions(dir.path().join(read_only), Permissions::from_mode(0o555)).unwrap();
    }
    give_away(dir.path());
    let mut clone = Command::new(reachable(Path::new(PROGRAM), dir.path()));
    clone.args(["tree", "clone"]).args([&source, &copy]);
    succeeds(clone.uid(NOBODY).gid(NOBODY));
    assert_eq!((mode(&copy), mode(&copy.join("below"))), (0o555, 0o555));
}

//! A volume that goes away while it is worked on, and a lock that is no longer ours. The process is stopped at a fault
//! point meanwhile.

use std::{fs, path::Path, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;
use uuid::Uuid;
use vfolder_proto::storage::{FenceTreeRequest, TaskFailure};
use vfolder_storage_proxy::volume::{Fence, Holder, OpenError, Volume, init, tree_path};

use crate::{
    mounted::Mounted,
    proxy::{Proxy, refused, set_up},
    scenario::{Kind, Scenario},
};

const STOPPED: &str = "clone.copied=stop@1";

/// Runs a clone, of which the process stops when all is copied and nothing is visible.
async fn clone_during(proxy: &Proxy, clone: &Scenario, meanwhile: impl FnOnce()) -> TaskFailure {
    let process = Pid::from_child(&proxy.process);
    let stop = async {
        let state = format!("/proc/{}/stat", proxy.process.id());
        while !fs::read_to_string(&state).unwrap().contains(") T ") {
            sleep(Duration::from_millis(2)).await;
        }
        meanwhile();
        kill_process(process, Signal::CONT).unwrap();
    };
    let (ended, ()) = tokio::join!(clone.run(proxy), stop);
    ended.unwrap().failure.unwrap()
}

fn unavailable(failure: &TaskFailure) {
    let TaskFailure {
        reason, retryable, ..
    } = failure;
    let told = (reason.as_str(), *retryable);
    assert_eq!(told, ("VOLUME_UNAVAILABLE", true), "{failure:?}");
}

async fn fence(proxy: &Proxy, vfolder: Uuid) -> Result<(), tonic::Status> {
    let request = proxy.signed(FenceTreeRequest {
        volume: "v".into(),
        vfolder_id: vfolder.to_string(),
        epoch: 2,
        readers: false,
    });
    proxy.storage().fence_tree(request).await.map(drop)
}

fn names_in(directory: &Path) -> Vec<std::ffi::OsString> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name()).collect()
}

// The client must hear of the end while the test waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clone_whose_volume_is_unmounted_fails_and_writes_nothing_beneath() {
    let dir = set_up();
    let path = dir.path().join("v");
    // Beneath is a volume too, of the same name: not the one.
    let beneath = ["tree", "staging", "trash", "journal"].map(|area| path.join(area));
    let Some(mounted) = Mounted::tmpfs(&path, "size=4m") else {
        return;
    };
    init(&path, "v").unwrap();
    let proxy = Proxy::start_armed(dir, STOPPED).await.unwrap();
    let clone = Scenario::new(Kind::Clone, path.clone());
    unavailable(&clone_during(&proxy, &clone, || mounted.unmount()).await);
    unavailable(&clone.run(&proxy).await.unwrap().failure.unwrap());
    let refusal = refused(fence(&proxy, clone.vfolder).await);
    assert_eq!(refusal.1, "VOLUME_UNAVAILABLE");
    for area in beneath {
        assert!(names_in(&area).is_empty(), "{}", area.display());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clone_whose_lock_is_somebody_elses_publishes_nothing() {
    for replaced in [false, true] {
        let proxy = Proxy::start_armed(set_up(), STOPPED).await.unwrap();
        let path = proxy.dir.path().join("v");
        let clone = Scenario::new(Kind::Clone, path.clone());
        let other = Volume::new("v", &path, Holder::this(Uuid::new_v4()));
        let failure = clone_during(&proxy, &clone, || {
            if replaced {
                fs::write(path.join("new"), "").unwrap();
                fs::rename(path.join("new"), path.join("lock")).unwrap();
            } else {
                fs::remove_file(path.join("lock")).unwrap();
            }
            other.open_at_start().unwrap();
        });
        let failure = failure.await;
        unavailable(&failure);
        assert!(failure.message.contains("held by another"), "{failure:?}");
        assert!(!path.join(tree_path(clone.vfolder)).exists());

        // What the other one has noted meanwhile counts, once the volume is ours again.
        let theirs = other.get().unwrap();
        let fence = Fence::for_writers(9);
        theirs.note_fence(clone.vfolder, fence).unwrap();
        drop((theirs, other));
        let failure = clone.run(&proxy).await.unwrap().failure.unwrap();
        assert_eq!(failure.reason, "GRANT_STALE", "{failure:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_was_only_removed_is_taken_anew() {
    let proxy = Proxy::start_armed(set_up(), STOPPED).await.unwrap();
    let path = proxy.dir.path().join("v");
    let clone = Scenario::new(Kind::Clone, path.clone());
    // For a moment it was nobody's: what was begun before begins anew.
    let failure = clone_during(&proxy, &clone, || {
        fs::remove_file(path.join("lock")).unwrap();
    });
    unavailable(&failure.await);
    assert!(!path.join(tree_path(clone.vfolder)).exists());
    let other = Volume::new("v", &path, Holder::this(Uuid::new_v4()));
    match other.open_at_start() {
        Err(OpenError::Held { holder, .. }) => assert_eq!(holder.pid, proxy.process.id()),
        other => panic!("{other:?}"),
    }
    clone.check(&proxy, "a lock that was removed").await;
}

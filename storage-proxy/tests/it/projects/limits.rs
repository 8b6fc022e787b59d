//! Who is stopped, where, and what is said of it.

use std::{fs, io, os::unix::fs::symlink, process::Command};

use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;
use vfolder_common::token::GrantMode;
use vfolder_proto::{
    storage::{CreateTree, RunTaskRequest, TreeLimits, TreeQuota, run_task_request::Task},
    v1::CreateDirectoryRequest,
};
use vfolder_storage_proxy::{
    task::{Existing, Extraction, FailureKind, Work},
    tree::RelativePath,
};

use super::{
    MIB, account, as_a_session, assert_all_in, clone_of, create, done, is_refused, limit, limits,
    project_of, rig, run, write,
};
use crate::{
    oracle,
    proxy::{Proxy, set_up},
    transfers::{Client, blake3_check, content, pieces, target},
};

fn extraction(vfolder: Uuid, archive: &str, destination: &str) -> Work {
    let path = |path: &str| RelativePath::parse(path.as_bytes()).unwrap();
    Work::Extract(Box::new(Extraction {
        vfolder,
        archive: path(archive),
        destination: path(destination),
        format: None,
        existing: Existing::Replace,
        max_bytes: 1 << 30,
        max_files: 1_000,
    }))
}

#[tokio::test]
#[ignore = "needs project quotas: make test-projquota"]
async fn a_session_is_stopped_at_the_limits_and_they_can_be_altered_and_ended() {
    let rig = rig();
    let (vfolder, tree) = create(&rig).await;
    limit(&rig, vfolder, &limits(1, 4 * MIB, 10));
    let session = |work: &(dyn Fn() -> io::Result<()> + Sync)| as_a_session(work);
    is_refused(session(&|| write(tree.join("large"), 8 * MIB)));
    fs::remove_file(tree.join("large")).unwrap();
    session(&|| write(tree.join("fits"), 2 * MIB)).unwrap();
    for number in 1..10 {
        session(&|| write(tree.join(number.to_string()), 0)).unwrap();
    }
    // The limit is ten entries, however they are made.
    is_refused(session(&|| write(tree.join("one more"), 0)));
    is_refused(session(&|| fs::create_dir(tree.join("one more"))));
    assert_eq!(account(&tree).inodes, 11);
    // Another vfolder has its own limits: none.
    let (_, other) = create(&rig).await;
    session(&|| write(other.join("large"), 8 * MIB)).unwrap();

    limit(&rig, vfolder, &limits(2, 16 * MIB, 20));
    session(&|| write(tree.join("large"), 8 * MIB)).unwrap();
    limit(&rig, vfolder, &limits(3, MIB, 1));
    is_refused(session(&|| write(tree.join("fits"), 4 * MIB)));
    assert!(tree.join("large").exists(), "nothing is taken away");
    limit(&rig, vfolder, &limits(4, 0, 0));
    session(&|| write(tree.join("another"), 8 * MIB)).unwrap();
    let ended = account(&tree);
    assert_eq!((ended.most_bytes, ended.most_inodes), (None, None));
}

#[tokio::test]
#[ignore = "needs project quotas: make test-projquota"]
async fn a_clone_has_a_number_and_limits_of_its_own() {
    let rig = rig();
    let (source, copy) = (Uuid::now_v7(), Uuid::now_v7());
    // With hard links, which a clone keeps elsewhere meanwhile.
    let (from, to) = (rig.fill(source), rig.tree(copy));
    assert_all_in(&from);
    limit(&rig, source, &limits(1, 64 * MIB, 0));
    let accounts = rig.tasks.accounts("v").unwrap();
    accounts.learn(copy, &limits(1, 8 * MIB, 0));
    done(&rig, clone_of(source, copy)).await;
    oracle::assert_same(&oracle::describe(&from), &oracle::describe(&to));
    assert_all_in(&to);
    assert_ne!(project_of(&from).id, project_of(&to).id);
    assert_eq!(account(&to).most_bytes, Some(8 * MIB));
    assert_eq!(account(&to).inodes, account(&from).inodes);
    is_refused(as_a_session(|| write(to.join("large"), 16 * MIB)));
    as_a_session(|| write(from.join("large"), 16 * MIB)).unwrap();
}

#[tokio::test]
#[ignore = "needs project quotas: make test-projquota"]
async fn an_extraction_is_in_the_project_and_meets_its_limit() {
    let rig = rig();
    let (vfolder, tree) = create(&rig).await;
    limit(&rig, vfolder, &limits(1, 16 * MIB, 0));
    let source = rig.dir.path().join("source");
    fs::create_dir_all(source.join("d")).unwrap();
    fs::write(source.join("d/f"), content(1, 3 << 20)).unwrap();
    fs::hard_link(source.join("d/f"), source.join("same")).unwrap();
    symlink("d/f", source.join("link")).unwrap();
    let tar = tree.join("a.tar");
    let mut command = Command::new("tar");
    command.arg("-cf").arg(&tar).arg("-C").arg(&source).arg(".");
    assert!(command.status().unwrap().success());
    // Into nothing, and over itself.
    for _ in 0..2 {
        done(&rig, extraction(vfolder, "a.tar", "out")).await;
        oracle::assert_same(
            &oracle::describe(&source),
            &oracle::describe(&tree.join("out")),
        );
        assert_all_in(&tree);
    }
    // A session has taken the room: for all that is known, it would fit.
    as_a_session(|| write(tree.join("theirs"), 8 * MIB)).unwrap();
    let ended = run(&rig, extraction(vfolder, "a.tar", "again")).await;
    if rig.volume.get().unwrap().backend().quota_looks_full() {
        let failure = ended.failure.unwrap();
        assert_eq!(failure.kind, FailureKind::QuotaExceeded, "{failure:?}");
        let limit = format!("{} bytes", 16 * MIB);
        assert!(failure.message.contains(&limit), "{failure:?}");
    } else {
        // ext4 lets those who have CAP_SYS_RESOURCE: us, here.
        assert_eq!(ended.failure, None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs project quotas: make test-projquota"]
async fn what_the_filesystem_refuses_us_names_limit_used_and_asked() {
    // So that quotas are for the storage-proxy, too: of this thread, which starts it.
    remove_capability_from_bounding_set(CapabilitySet::SYS_RESOURCE).unwrap();
    let proxy = Proxy::start().await;
    let client = Client::new(&proxy, proxy.create().await);
    let tell = async |revision, bytes, files| {
        let quota = TreeQuota {
            owner: "user:alice".into(),
            revision,
            vfolder: Some(TreeLimits { bytes, files }),
            ..TreeQuota::default()
        };
        proxy.set_quota(client.vfolder, quota).await;
    };
    tell(1, 4 * MIB, 0).await;
    // A session writes past us, so that we would let more in than there is room for.
    as_a_session(|| write(client.path("theirs"), 3 * MIB)).unwrap();
    let whole = content(1, 2 << 20);
    let told = |status: &Status| {
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        let info = status.get_details_error_info().unwrap();
        assert_eq!(info.reason, "QUOTA_EXCEEDED");
        let subject = format!("vfolder:{}", client.vfolder);
        assert_eq!(info.metadata["subject"], subject);
        let numbers = ["limit", "used", "asked"];
        let numbers = numbers.map(|name| info.metadata[name].parse::<u64>().unwrap());
        (info.metadata["unit"].clone(), numbers)
    };
    let written = client
        .write(
            target("ours"),
            blake3_check(&whole),
            pieces(&whole, 256 << 10),
        )
        .await;
    let (unit, [limit, used, asked]) = told(&written.unwrap_err());
    assert_eq!((unit.as_str(), limit), ("bytes", 4 * MIB));
    assert!(
        (3 * MIB..=4 * MIB).contains(&used) && used + asked > limit,
        "{used} {asked}"
    );
    assert!(!client.path("ours").exists());

    tell(2, 0, 3).await;
    for name in ["a", "b"] {
        as_a_session(|| fs::write(client.path(name), "")).unwrap();
    }
    let message = CreateDirectoryRequest {
        vfolder_id: client.vfolder.to_string(),
        path: "c".into(),
        ..CreateDirectoryRequest::default()
    };
    let request = proxy.granted(client.vfolder, GrantMode::ReadWrite, message);
    let refused = proxy.files().create_directory(request).await.unwrap_err();
    assert_eq!(told(&refused), ("files".into(), [3, 3, 1]));
}

#[tokio::test]
#[ignore = "needs project quotas: make test-projquota"]
async fn a_tree_that_appeared_right_before_a_crash_has_its_limit_when_it_is_asked_for_again() {
    let (vfolder, operation) = (Uuid::now_v7(), Uuid::now_v7());
    let request = RunTaskRequest {
        operation_id: operation.to_string(),
        volume: "v".into(),
        epoch: 1,
        task: Some(Task::CreateTree(CreateTree {
            vfolder_id: vfolder.to_string(),
        })),
        quota: Some(TreeQuota {
            owner: "user:alice".into(),
            revision: 1,
            vfolder: Some(TreeLimits {
                bytes: MIB,
                files: 0,
            }),
            ..TreeQuota::default()
        }),
        source_quota: None,
        source_written: false,
    };
    let faults = "create.published=kill";
    let proxy = Proxy::start_armed(set_up(), faults).await.unwrap();
    let asked = proxy.signed(request.clone());
    let _ = proxy.storage().run_task(asked).await;
    let proxy = Proxy::start_in(proxy.died(faults).await).await;
    let tree = proxy.tree(vfolder);
    assert_eq!(account(&tree).most_bytes, None);
    let asked = proxy.signed(request);
    let mut news = proxy.storage().run_task(asked).await.unwrap().into_inner();
    while news.message().await.unwrap().is_some() {}
    assert_eq!(account(&tree).most_bytes, Some(MIB));
    is_refused(as_a_session(|| write(tree.join("large"), 2 * MIB)));
}

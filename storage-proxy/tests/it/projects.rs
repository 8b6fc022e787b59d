//! On ext4 and XFS with project quotas: each tree is a project of its own, and who writes past us is stopped at its limits.
//! `make test-projquota` runs this, and what else there is about files and tasks, on both.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, ErrorKind, Write as _},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    sync::Barrier,
    thread,
};

use rustix::thread::{
    CapabilitySet, capabilities, remove_capability_from_bounding_set, set_capabilities,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;
use vfolder_common::token::{GrantMode, Limits, Quota};
use vfolder_ioctl::{
    project::{self, Project},
    quota::{self, Account},
};
use vfolder_proto::{
    storage::{SetQuotasRequest, TreeLimits, TreeQuota, VFolderQuota},
    v1::CreateDirectoryRequest,
};
use vfolder_storage_proxy::{
    backend::probe,
    task::{Existing, Extraction, FailureKind, Outcome, Work},
    tree::RelativePath,
    volume::init,
};

use crate::{
    oracle,
    proxy::Proxy,
    support::{Rig, directory, eventually},
    tasks::outcome,
    transfers::{Client, blake3_check, content, pieces, target},
};

const MIB: u64 = 1 << 20;

/// One whose volume has project quotas.
fn rig() -> Rig {
    has_projects(Rig::new())
}

fn has_projects(rig: Rig) -> Rig {
    let backend = rig.volume.get().unwrap();
    let found = backend.backend();
    assert!(
        found.name() == "projects" && found.capabilities().quota,
        "{} has no project quotas: these tests run by make test-projquota",
        rig.dir.path().display()
    );
    drop(backend);
    rig
}

fn project(path: impl AsRef<Path>) -> Project {
    project::of(File::open(path).unwrap()).unwrap()
}

/// What the filesystem has of the project of `tree`.
fn account(tree: &Path) -> Account {
    let root = File::open(tree).unwrap();
    quota::account(&root, project(tree).id).unwrap()
}

/// As somebody whom quotas are for: on ext4 they are not for who has CAP_SYS_RESOURCE.
fn as_a_session<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let session = scope.spawn(|| {
            let mut fewer = capabilities(None).unwrap();
            fewer.effective.remove(CapabilitySet::SYS_RESOURCE);
            set_capabilities(None, fewer).unwrap();
            work()
        });
        session.join().unwrap()
    })
}

fn write(path: PathBuf, bytes: u64) -> io::Result<()> {
    let mut file = File::create(path)?;
    let part = vec![7; 64 << 10];
    for _ in 0..bytes / part.len() as u64 {
        file.write_all(&part)?;
    }
    file.sync_all()
}

#[track_caller]
fn is_refused(written: io::Result<()>) {
    let refused = written.unwrap_err();
    // As XFS says it, of projects.
    let full = [ErrorKind::QuotaExceeded, ErrorKind::StorageFull];
    assert!(full.contains(&refused.kind()), "{refused}");
}

fn limits(revision: i64, bytes: u64, files: u64) -> Quota {
    Quota {
        owner: "user:alice".into(),
        revision,
        vfolder: Limits { bytes, files },
        ..Quota::default()
    }
}

/// As the manager tells it.
fn limit(rig: &Rig, vfolder: Uuid, quota: &Quota) {
    let accounts = rig.tasks.accounts("v").unwrap();
    accounts.learn(vfolder, quota);
    accounts.keep(&rig.volume.get().unwrap(), vfolder).unwrap();
}

async fn run(rig: &Rig, work: Work) -> Outcome {
    outcome(rig.tasks.run(Uuid::now_v7(), rig.spec(work)).unwrap()).await
}

async fn done(rig: &Rig, work: Work) {
    assert_eq!(run(rig, work.clone()).await.failure, None, "{work:?}");
}

async fn create(rig: &Rig) -> (Uuid, PathBuf) {
    let vfolder = Uuid::now_v7();
    done(rig, Work::Create { vfolder }).await;
    (vfolder, rig.tree(vfolder))
}

fn clone_of(source: Uuid, vfolder: Uuid) -> Work {
    Work::Clone {
        source,
        vfolder,
        source_epoch: 1,
        receipt: false,
    }
}

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

/// All that can be opened below `tree` is in its project.
fn assert_all_in(tree: &Path) {
    let root = project(tree);
    assert!(root.inherit && root.id >= 0x4000_0000, "{root:?}");
    for entry in oracle::walk(tree) {
        let path = tree.join(entry);
        let meta = fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() || meta.is_file() {
            let found = project(&path);
            assert_eq!(
                (found.id, found.inherit),
                (root.id, meta.is_dir()),
                "{}",
                path.display()
            );
        }
    }
}

#[tokio::test]
#[ignore = "needs project quotas: make test-projquota"]
async fn each_tree_is_a_project_of_its_own_that_all_below_inherits() {
    let rig = rig();
    let ((first, one), (_, two)) = (create(&rig).await, create(&rig).await);
    for tree in [&one, &two] {
        fs::create_dir_all(tree.join("a/b")).unwrap();
        fs::write(tree.join("a/b/f"), "x").unwrap();
        assert_all_in(tree);
    }
    let before = project(&one);
    assert_ne!(before.id, project(&two).id);
    // A number stays through a restart, and so does a limit.
    limit(&rig, first, &limits(1, MIB, 0));
    let rig = has_projects(rig.restarted().await);
    assert_eq!(project(&one), before);
    assert_eq!(account(&one).most_bytes, Some(MIB));
    // The probe leaves nothing, and neither what the volume keeps for itself nor the way to a tree is in a project.
    assert_eq!(rig.count("staging"), 0);
    for path in ["", "tree", "staging", "trash", "journal", "uploads"] {
        assert_eq!(project(rig.root().join(path)), Project::default(), "{path}");
    }
    assert_eq!(project(one.parent().unwrap()), Project::default());
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
    assert_ne!(project(&from).id, project(&to).id);
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

#[tokio::test]
#[ignore = "needs project quotas: make test-projquota"]
async fn what_is_purged_leaves_no_record_and_its_number_is_free() {
    let rig = rig();
    let vfolder = Uuid::now_v7();
    let tree = rig.fill(vfolder);
    limit(&rig, vfolder, &limits(1, 64 * MIB, 1_000));
    let (number, root) = (project(&tree).id, File::open(rig.root()).unwrap());
    assert!(account(&tree).most_inodes.is_some());
    done(&rig, Work::Purge { vfolder }).await;
    rig.reclaimed().await;
    // XFS frees inodes a moment after they are gone.
    eventually("the record is empty", || {
        quota::account(&root, number).unwrap() == Account::default()
    })
    .await;
}

#[tokio::test]
#[ignore = "needs project quotas: make test-projquota"]
async fn a_clone_that_is_given_up_leaves_no_record() {
    let rig = rig();
    let (source, copy) = (Uuid::now_v7(), Uuid::now_v7());
    rig.fill(source);
    let staging = rig.root().join("staging");
    let operation = Uuid::now_v7();
    // As after a kill in the midst of it, with limits already.
    let volume = rig.volume.get().unwrap();
    let staged = volume.begin_staging(operation).unwrap();
    let new = &volume.new_trees;
    staged.make_empty_tree(volume.backend(), new).unwrap();
    let tree = staging.join(format!("{operation}/tree"));
    let (number, root) = (project(&tree).id, File::open(rig.root()).unwrap());
    quota::limit(&root, number, Some(MIB), Some(10)).unwrap();
    drop((staged, volume));
    let given_up = rig.tasks.run(operation, rig.spec(clone_of(source, copy)));
    assert_eq!(outcome(given_up.unwrap()).await.failure, None);
    assert_ne!(project(rig.tree(copy)).id, number);
    rig.reclaimed().await;
    eventually("the record is empty", || {
        quota::account(&root, number).unwrap() == Account::default()
    })
    .await;
}

#[tokio::test]
#[ignore = "needs project quotas: make test-projquota"]
async fn volumes_on_one_filesystem_never_share_a_number() {
    const EACH: usize = 60;
    let rigs = [rig(), rig()];
    let start = Barrier::new(4);
    let numbers: Vec<u32> = thread::scope(|scope| {
        let makers: Vec<_> = (0..4)
            .map(|maker| {
                let (rig, start) = (&rigs[maker % 2], &start);
                scope.spawn(move || {
                    start.wait();
                    (0..EACH)
                        .map(|_| project(rig.make_tree(Uuid::now_v7())).id)
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        let made = makers.into_iter().map(|maker| maker.join().unwrap());
        made.flatten().collect()
    });
    assert_eq!(numbers.iter().collect::<HashSet<_>>().len(), 4 * EACH);
    assert!(numbers.iter().all(|number| *number >= 0x4000_0000));
}

#[tokio::test]
#[ignore = "needs project quotas: make test-projquota"]
async fn the_next_number_is_skipped_if_somebody_has_limits_or_files_there() {
    let rig = rig();
    let (_, tree) = create(&rig).await;
    let next = project(&tree).id + 1;
    let root = File::open(rig.root()).unwrap();
    quota::limit(&root, next, Some(MIB), None).unwrap();
    let (_, second) = create(&rig).await;
    let taken = project(&second).id;
    assert_ne!(taken, next);
    let theirs = rig.dir.path().join("theirs");
    fs::write(&theirs, "x").unwrap();
    let id = taken + 1;
    project::set(File::open(&theirs).unwrap(), Project { id, inherit: false }).unwrap();
    let (_, third) = create(&rig).await;
    assert_ne!(project(&third).id, id);
}

#[tokio::test]
#[ignore = "needs project quotas: make test-projquota"]
async fn a_tree_from_before_is_left_as_it_is_and_its_clone_is_a_project() {
    let rig = rig();
    let (before, copy) = (Uuid::now_v7(), Uuid::now_v7());
    let old = rig.tree(before);
    fs::create_dir_all(old.join("d")).unwrap();
    fs::write(old.join("d/f"), "x").unwrap();
    limit(&rig, before, &limits(1, MIB, 0));
    assert_eq!(project(&old), Project::default());
    // Its own files can still be moved in there.
    fs::rename(old.join("d/f"), old.join("f")).unwrap();
    done(&rig, clone_of(before, copy)).await;
    assert_all_in(&rig.tree(copy));
    done(&rig, Work::Purge { vfolder: before }).await;
}

#[tokio::test]
#[ignore = "needs project quotas: make test-projquota"]
async fn a_volume_in_an_administrators_project_is_left_to_it() {
    let rig = rig();
    let path = rig.dir.path().join("w");
    fs::create_dir(&path).unwrap();
    let theirs = Project {
        id: 77,
        inherit: true,
    };
    project::set(File::open(&path).unwrap(), theirs).unwrap();
    let inner = path.join("v");
    init(&inner, "v").unwrap();
    let staging = directory(&inner.join("staging"));
    let backend = probe(std::os::fd::AsFd::as_fd(&staging), false);
    assert_eq!(
        (backend.name(), backend.capabilities().quota),
        ("plain", false)
    );
    let dir = tempfile::TempDir::new_in(&path).unwrap();
    init(&dir.path().join("v"), "v").unwrap();
    let other = Rig::on(dir);
    let (vfolder, tree) = create(&other).await;
    assert_eq!(project(&tree), theirs);
    done(&other, clone_of(vfolder, Uuid::now_v7())).await;
    done(&other, Work::Purge { vfolder }).await;
    other.reclaimed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs project quotas: make test-projquota"]
async fn an_upload_lands_by_a_rename_and_counts_from_its_first_byte() {
    let proxy = Proxy::start().await;
    let client = Client::new(&proxy, proxy.create().await);
    let tree = client.path("");
    let whole = content(1, 3 << 20);
    let size = Some(i64::try_from(whole.len()).unwrap());
    let upload = client.create(target("f"), size).await.unwrap();
    let id = upload.id.clone();
    client
        .send(&id, Some(0), pieces(&whole, 1 << 20))
        .await
        .unwrap();
    let folder = format!("v/uploads/{}/{id}/data", client.vfolder);
    let arriving = proxy.dir.path().join(folder);
    let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap());
    let before = inode(&arriving);
    assert_eq!(project(&arriving).id, project(&tree).id);
    File::open(&arriving).unwrap().sync_all().unwrap();
    assert!(account(&tree).bytes >= 3 * MIB);
    client.commit(&id, blake3_check(&whole)).await.unwrap();
    assert_eq!(inode(&client.path("f")), before, "it was copied");
    client
        .write(target("g"), blake3_check(&whole), pieces(&whole, 1 << 20))
        .await
        .unwrap();
    assert_all_in(&tree);
    assert_eq!(account(&tree).inodes, 3);
    // The process dies while one arrives: what the filesystem has counted goes with it.
    let left = client.create(target("h"), size).await.unwrap();
    client
        .send(&left.id, Some(0), pieces(&whole, 1 << 20))
        .await
        .unwrap();
    let vfolder = client.vfolder;
    let proxy = Proxy::start_in(proxy.kill()).await;
    let client = Client::new(&proxy, vfolder);
    assert_eq!(account(&tree).inodes, 4);
    client.abort(&left.id).await.unwrap();
    let counted = || {
        let now = account(&client.path(""));
        (now.inodes, now.bytes / MIB)
    };
    eventually("what was aborted counts no more", || counted() == (3, 6)).await;
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
        let request = SetQuotasRequest {
            volume: "v".into(),
            vfolders: vec![VFolderQuota {
                vfolder_id: client.vfolder.to_string(),
                quota: Some(quota),
            }],
        };
        proxy
            .storage()
            .set_quotas(proxy.signed(request))
            .await
            .unwrap();
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

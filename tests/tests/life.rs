//! The main job: a vfolder's life from creation to purge, with its contents on disk and its history.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{MetadataExt as _, PermissionsExt as _, symlink},
    },
    path::Path,
    process::Command,
};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tonic::Code;
use vfolder_proto::{
    google::longrunning::operation::Result as Outcome,
    v1::{
        CreateDirectoryRequest, ExplainRequest, FileType as Kind, GetVFolderRequest,
        ListFilesRequest, MountMode, PurgeVFolderResult, VFolder, VFolderAccess, VFolderStatus,
        owner::Owner,
    },
};
use vfolder_tests::{
    Engine, System, assert_refused, assert_same_tree, count_entries, on_each_engine,
    operation_metadata,
};

use crate::history::{assert_one_after_the_other, history};

/// The length of a file with nothing in it.
const SPARSE: u64 = 64 << 20;

on_each_engine!(
    a_vfolder_lives_from_creation_to_purge,
    a_clone_is_the_same_in_everything_that_linux_allows,
    files_are_listed_and_directories_made_through_the_manager,
    explain_tells_what_backs_the_status_and_what_is_allowed,
);

async fn a_vfolder_lives_from_creation_to_purge(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let made = alice.create("data").await.unwrap();
    assert_eq!(made.status(), VFolderStatus::Ready);
    assert_eq!(
        made.owner.clone().unwrap().owner,
        Some(Owner::User("alice".into()))
    );
    assert_eq!(
        (made.volume.as_str(), made.creator.as_str()),
        ("local", "alice")
    );
    let tree = system.tree(&made.id);
    assert!(tree.is_dir());

    let mount = alice
        .mount(&made.id, "session", MountMode::ReadWrite)
        .await
        .unwrap();
    assert_eq!(system.volume().join(&mount.tree_path), tree);
    fs::write(tree.join("file"), "content").unwrap();
    assert_refused(
        alice.trash(&made.id).await,
        Code::FailedPrecondition,
        "VFOLDER_STATUS",
    );
    alice.unmount(&mount).await.unwrap();

    let clone = alice.clone_to(&made.id, "copy").await.unwrap();
    let ended = alice.wait(&clone.name).await;
    let Some(Outcome::Response(any)) = ended.result.clone() else {
        panic!("the clone failed: {ended:?}")
    };
    let copy: VFolder = any.to_msg().unwrap();
    assert_eq!(
        (copy.name.as_str(), copy.status()),
        ("copy", VFolderStatus::Ready)
    );
    assert_same_tree(&tree, &system.tree(&copy.id));

    let trashed = alice.trash(&made.id).await.unwrap();
    assert_eq!(trashed.status(), VFolderStatus::Trashed);
    let kept = trashed.purge_time.unwrap().seconds - trashed.delete_time.unwrap().seconds;
    assert_eq!(kept, 30 * 86_400);
    assert_eq!(fs::read_to_string(tree.join("file")).unwrap(), "content");
    let restored = alice.restore(&made.id).await.unwrap();
    assert_eq!(
        (restored.status(), restored.purge_time),
        (VFolderStatus::Ready, None)
    );

    alice.trash(&made.id).await.unwrap();
    let purge = alice.purge(&made.id).await.unwrap();
    let ended = alice.wait(&purge.name).await;
    let Some(Outcome::Response(any)) = ended.result else {
        panic!("the purge failed: {ended:?}")
    };
    let result: PurgeVFolderResult = any.to_msg().unwrap();
    assert_eq!(result.vfolder_id, made.id);
    assert!(!tree.exists());
    assert_eq!(alice.status(&made.id).await, VFolderStatus::Deleted);
    let hidden = GetVFolderRequest {
        vfolder_id: made.id.clone(),
        show_deleted: false,
    };
    let gone = alice.vfolders.clone().get_v_folder(hidden).await;
    assert_refused(gone, Code::NotFound, "VFOLDER_NOT_FOUND");
    assert_eq!(
        fs::read_to_string(system.tree(&copy.id).join("file")).unwrap(),
        "content"
    );

    let events = history(&alice, &made.id).await;
    assert_one_after_the_other(&events, VFolderStatus::Deleted);
    for (action, operation) in [("CloneVFolder", &clone.name), ("PurgeVFolder", &purge.name)] {
        assert!(
            events
                .iter()
                .any(|e| e.action == action && e.operation == *operation && e.actor == "alice")
        );
    }
    assert!(
        events
            .iter()
            .any(|e| e.action == "Mount" && e.mount_id == mount.id)
    );
    system.assert_sound().await;
}

async fn a_clone_is_the_same_in_everything_that_linux_allows(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let source = alice.create("source").await.unwrap().id;
    let tree = system.tree(&source);
    fill_with_oddities(&tree);
    let operation = alice.clone_to(&source, "copy").await.unwrap();
    let ended = alice.wait(&operation.name).await;
    assert!(
        matches!(ended.result, Some(Outcome::Response(_))),
        "{ended:?}"
    );
    let metadata = operation_metadata(&ended);
    let copy = system.tree(&metadata.vfolder_id);
    assert_same_tree(&tree, &copy);
    let progress = metadata.progress.unwrap();
    assert_eq!(
        usize::try_from(progress.files_done).unwrap(),
        count_entries(&tree)
    );
    assert_eq!(
        (progress.files_done, progress.bytes_done),
        (progress.files_total, progress.bytes_total)
    );

    let inode = |name: &str| copy.join(name).symlink_metadata().unwrap().ino();
    assert_eq!(
        inode("hard-1"),
        inode("hard-2"),
        "hard links stay hard links"
    );
    let sparse = copy.join("sparse").symlink_metadata().unwrap();
    assert_eq!(sparse.len(), SPARSE);
    assert!(
        sparse.blocks() < 1000,
        "a hole was filled: {} blocks",
        sparse.blocks()
    );
    assert!(copy.join("escape").symlink_metadata().unwrap().is_symlink());
    system.assert_sound().await;
}

fn fill_with_oddities(tree: &Path) {
    let file = |name: &OsStr, mode: u32| {
        fs::write(tree.join(name), name.as_bytes()).unwrap();
        fs::set_permissions(tree.join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    file(OsStr::new("setuid"), 0o4755);
    file(OsStr::new("unreadable"), 0o000);
    file(OsStr::from_bytes(b"not\xffutf8"), 0o644);
    file(OsStr::new("new\nline"), 0o600);
    file(OsStr::new(&"long".repeat(63)), 0o644);
    file(OsStr::new("hard-1"), 0o644);
    fs::hard_link(tree.join("hard-1"), tree.join("hard-2")).unwrap();
    fs::File::create(tree.join("sparse"))
        .unwrap()
        .set_len(SPARSE)
        .unwrap();
    fs::File::create(tree.join("empty")).unwrap();
    symlink("hard-1", tree.join("inside")).unwrap();
    symlink("/etc/passwd", tree.join("escape")).unwrap();
    symlink("nowhere", tree.join("dangling")).unwrap();
    fs::create_dir_all(tree.join("a/b/c")).unwrap();
    fs::set_permissions(tree.join("a/b"), fs::Permissions::from_mode(0o2750)).unwrap();
    for (name, kind) in [("socket", FileType::Socket), ("fifo", FileType::Fifo)] {
        mknodat(CWD, tree.join(name), kind, Mode::from_raw_mode(0o640), 0).unwrap();
    }
    // Times that a copy would not get by chance.
    for name in ["setuid", "a/b", "a"] {
        let touched = Command::new("touch")
            .args(["-h", "-d", "2001-02-03 04:05:06.123456789"])
            .arg(tree.join(name))
            .status();
        assert!(touched.unwrap().success());
    }
}

async fn files_are_listed_and_directories_made_through_the_manager(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    let tree = system.tree(&id);
    let directory = |path: &str, parents| CreateDirectoryRequest {
        vfolder_id: id.clone(),
        path: path.into(),
        parents,
        mode: 0o750,
        ..CreateDirectoryRequest::default()
    };
    let made = alice
        .files
        .clone()
        .create_directory(directory("a/b", true))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (made.name.as_str(), made.r#type(), made.mode),
        ("b", Kind::Directory, 0o750)
    );
    assert!(tree.join("a/b").is_dir());
    let again = alice
        .files
        .clone()
        .create_directory(directory("a/b", false))
        .await;
    assert_refused(again, Code::AlreadyExists, "FILE_EXISTS");
    let orphan = alice
        .files
        .clone()
        .create_directory(directory("x/y", false))
        .await;
    assert_refused(orphan, Code::NotFound, "FILE_NOT_FOUND");

    symlink("/etc", tree.join("escape")).unwrap();
    fs::write(tree.join("file"), "12345").unwrap();
    let list = |path: &str| ListFilesRequest {
        vfolder_id: id.clone(),
        path: path.into(),
        ..ListFilesRequest::default()
    };
    let root = alice
        .files
        .clone()
        .list_files(list(""))
        .await
        .unwrap()
        .into_inner();
    let shown: Vec<_> = root
        .entries
        .iter()
        .map(|e| (e.name.as_str(), e.r#type(), e.size))
        .collect();
    assert_eq!(shown[0].0, "a");
    assert_eq!((shown[1].0, shown[1].1), ("escape", Kind::Symlink));
    assert_eq!(shown[2], ("file", Kind::Regular, 5));
    assert_eq!(root.entries[1].symlink_target, "/etc");
    let through = alice.files.clone().list_files(list("escape")).await;
    assert_refused(through, Code::FailedPrecondition, "SYMLINK_IN_PATH");
    let into = alice.files.clone().list_files(list("file")).await;
    assert_refused(into, Code::FailedPrecondition, "NOT_A_DIRECTORY");
    let bob = system.user("bob").files.clone().list_files(list("")).await;
    assert_refused(bob, Code::NotFound, "VFOLDER_NOT_FOUND");
}

async fn explain_tells_what_backs_the_status_and_what_is_allowed(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    let mount = alice
        .mount(&id, "reader", MountMode::ReadOnly)
        .await
        .unwrap();
    let request = ExplainRequest {
        vfolder_id: id.clone(),
    };
    let told = alice
        .vfolders
        .clone()
        .explain(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(told.vfolder.unwrap().status(), VFolderStatus::Mounted);
    assert!(told.operations.is_empty());
    assert_eq!(
        told.mounts
            .iter()
            .map(|m| m.id.as_str())
            .collect::<Vec<_>>(),
        [mount.id.as_str()]
    );
    let allowed: Vec<_> = told.allowed.iter().map(|a| a.access()).collect();
    for access in [
        VFolderAccess::Metadata,
        VFolderAccess::Readable,
        VFolderAccess::Writable,
        VFolderAccess::Mountable,
    ] {
        assert!(allowed.contains(&access), "{allowed:?}");
    }
    for access in [
        VFolderAccess::Updatable,
        VFolderAccess::Deletable,
        VFolderAccess::Purgable,
    ] {
        assert!(!allowed.contains(&access), "{allowed:?}");
    }
    assert_eq!(told.last_event.unwrap().action, "Mount");
    assert!(!told.explanation.is_empty());
}

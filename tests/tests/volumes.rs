//! Volumes in trouble: full, read-only, missing, out of reach. Each gives its own error and loses nothing.

use std::{fs, path::Path, process::Command};

use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;
use vfolder_proto::{
    google::longrunning::operation::Result as Outcome,
    v1::{
        CloneVFolderRequest, CreateDirectoryRequest, GetVolumeRequest, ListFilesRequest, MountMode,
        VFolder, VFolderStatus, Volume, VolumeState,
    },
};
use vfolder_tests::{
    Engine, Place, System, User, assert_refused, assert_same_tree, eventually, fill, make_root,
    on_each_engine, operation_metadata,
};

on_each_engine!(
    a_clone_onto_a_full_volume_fails_and_leaves_the_source,
    a_dry_run_tells_that_bytes_or_inodes_are_missing,
    a_volume_without_inodes_is_full,
    a_read_only_volume_is_read_and_nothing_more,
    a_missing_volume_is_unavailable_until_it_is_back,
    without_a_storage_proxy_what_needs_it_is_unavailable_and_the_rest_goes_on,
    a_storage_proxy_that_hangs_is_unavailable,
    a_volume_that_nobody_configured_is_not_found,
);

/// A small filesystem of its own, unmounted at the end.
struct Disk(Place);

impl Disk {
    fn new(options: &str) -> Self {
        let place = make_root("disk").unwrap();
        let disk = Self(place);
        disk.mount(&["-t", "tmpfs", "-o", options, "vfolder-test"]);
        disk
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn mount(&self, arguments: &[&str]) {
        let done = Command::new("mount")
            .args(arguments)
            .arg(self.path())
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "this test mounts a small filesystem, for which it has to run as root: {}",
            String::from_utf8_lossy(&done.stderr)
        );
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: whoever still has it open, as in a failing test, does not keep it.
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(self.path())
            .status();
    }
}

/// A system with a volume that is mounted with `options`, and a vfolder of alice's there.
async fn on_a_small_volume(engine: Engine, options: &str) -> (Disk, System, User, String) {
    let disk = Disk::new(options);
    let system = System::on(engine)
        .with_volume_at("small", disk.path())
        .start()
        .await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    (disk, system, alice, id)
}

async fn a_clone_onto_a_full_volume_fails_and_leaves_the_source(engine: Engine) {
    let (disk, system, alice, source) = on_a_small_volume(engine, "size=16m").await;
    fill(&system.tree(&source), 100, 100_000);
    let operation = alice.clone_to(&source, "copy").await.unwrap();
    let ended = alice.wait(&operation.name).await;
    let Some(Outcome::Error(error)) = ended.result.clone() else {
        panic!("it does not fit: {ended:?}")
    };
    assert_eq!(error.code, Code::ResourceExhausted as i32, "{error:?}");
    assert!(
        error
            .details
            .iter()
            .any(|d| String::from_utf8_lossy(&d.value).contains("VOLUME_FULL"))
    );
    let copy = operation_metadata(&ended).vfolder_id;
    assert!(!system.tree(&copy).exists());
    assert_eq!(
        fs::read_dir(disk.path().join("staging")).unwrap().count(),
        0
    );
    system.assert_sound().await;

    // With room again, the same works.
    for number in 50..100 {
        fs::remove_file(system.tree(&source).join(format!("d0000/f{number}"))).unwrap();
    }
    let operation = alice.clone_to(&source, "copy").await.unwrap();
    let ended = alice.wait(&operation.name).await;
    let copy = operation_metadata(&ended).vfolder_id;
    assert!(
        matches!(ended.result, Some(Outcome::Response(_))),
        "{ended:?}"
    );
    assert_same_tree(&system.tree(&source), &system.tree(&copy));
    system.assert_sound().await;
}

async fn a_dry_run_tells_that_bytes_or_inodes_are_missing(engine: Engine) {
    let (_disk, system, alice, source) = on_a_small_volume(engine, "size=16m,nr_inodes=400").await;
    let dry = async || {
        let request = CloneVFolderRequest {
            source_id: source.clone(),
            vfolder: Some(VFolder {
                name: "copy".into(),
                ..VFolder::default()
            }),
            validate_only: true,
            ..CloneVFolderRequest::default()
        };
        let answer = alice.vfolders.clone().clone_v_folder(request).await;
        let would = answer.unwrap().into_inner();
        operation_metadata(&would).estimate.unwrap()
    };
    let tree = system.tree(&source);
    fs::write(tree.join("small"), vec![b'x'; 6 << 20]).unwrap();
    assert!(dry().await.fits);
    fs::write(tree.join("large"), vec![b'x'; 4 << 20]).unwrap();
    let estimate = dry().await;
    assert!(!estimate.fits, "{estimate:?}");
    assert!(
        estimate.disk_bytes > estimate.available_bytes,
        "{estimate:?}"
    );
    fs::remove_file(tree.join("large")).unwrap();
    assert!(dry().await.fits);
    fill(&tree, 250, 1);
    let estimate = dry().await;
    assert!(!estimate.fits, "{estimate:?}");
    assert!(
        estimate.disk_bytes < estimate.available_bytes,
        "{estimate:?}"
    );
}

async fn a_volume_without_inodes_is_full(engine: Engine) {
    let (disk, system, alice, id) = on_a_small_volume(engine, "size=16m,nr_inodes=200").await;
    let plug = disk.path().join("plug");
    fs::create_dir(&plug).unwrap();
    let plugged = || fs::write(plug.join(Uuid::now_v7().to_string()), "").is_err();
    // What the creation left on the volume goes after its answer, and gives inodes back: take these too.
    let fill_up = async || {
        eventually("nothing of an operation is left", async || {
            let left = |area: &str| fs::read_dir(disk.path().join(area)).unwrap();
            let files = left("journal").filter(|e| e.as_ref().unwrap().path().is_file());
            (files.count() + left("staging").count() + left("trash").count() == 0).then_some(())
        })
        .await;
        while !plugged() {}
    };
    fill_up().await;
    let full = alice.create("no room").await;
    assert_refused(full, Code::ResourceExhausted, "VOLUME_FULL");
    fill_up().await;
    let full = mkdir(&alice, &id).await;
    assert_refused(full, Code::ResourceExhausted, "VOLUME_FULL");
    fs::remove_dir_all(&plug).unwrap();
    mkdir(&alice, &id).await.unwrap();
    alice
        .create("no room")
        .await
        .expect("there is room, and the name is free");
    system.assert_sound().await;
}

async fn a_read_only_volume_is_read_and_nothing_more(engine: Engine) {
    let (disk, mut system, alice, id) = on_a_small_volume(engine, "size=16m").await;
    fs::write(system.tree(&id).join("file"), "content").unwrap();
    let doomed = alice.create("doomed").await.unwrap().id;
    alice.trash(&doomed).await.unwrap();
    system.storage.terminate().await;
    disk.mount(&["-o", "remount,ro"]);
    system.start_storage().await;

    assert_eq!(
        volume(&alice, "small").await.state(),
        VolumeState::ServingReadOnly
    );
    assert_eq!(list(&alice, &id).await.unwrap(), ["file"]);
    assert_refused(
        mkdir(&alice, &id).await,
        Code::FailedPrecondition,
        "VOLUME_READ_ONLY",
    );
    assert_refused(
        alice.create("new").await,
        Code::FailedPrecondition,
        "VOLUME_READ_ONLY",
    );
    assert_refused(
        alice.clone_to(&id, "copy").await,
        Code::FailedPrecondition,
        "VOLUME_READ_ONLY",
    );
    alice
        .mount(&id, "reader", MountMode::ReadOnly)
        .await
        .unwrap();

    system.storage.terminate().await;
    disk.mount(&["-o", "remount,rw"]);
    system.start_storage().await;
    assert_eq!(volume(&alice, "small").await.state(), VolumeState::Serving);
    let purge = alice.purge(&doomed).await.unwrap();
    let ended = alice.wait(&purge.name).await;
    assert!(
        matches!(ended.result, Some(Outcome::Response(_))),
        "{ended:?}"
    );
    alice.create("new").await.unwrap();
    system.assert_sound().await;
}

async fn a_missing_volume_is_unavailable_until_it_is_back(engine: Engine) {
    let mut system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    fs::write(system.tree(&id).join("file"), "content").unwrap();
    let (here, aside) = (
        system.volume().to_owned(),
        system.volume().with_extension("aside"),
    );
    system.storage.terminate().await;
    fs::rename(&here, &aside).unwrap();
    fs::create_dir(&here).unwrap(); // As where a filesystem was not mounted.
    system.launch_storage().await;

    let found = volume(&alice, "local").await;
    assert_eq!(found.state(), VolumeState::Unavailable);
    assert!(!found.message.is_empty());
    assert_unavailable(alice.create("new").await);
    assert_unavailable(alice.clone_to(&id, "copy").await);
    assert_unavailable(list(&alice, &id).await);
    assert_eq!(
        fs::read_dir(&here).unwrap().count(),
        0,
        "nothing is written beside the volume"
    );

    system.storage.terminate().await;
    fs::remove_dir(&here).unwrap();
    fs::rename(&aside, &here).unwrap();
    system.start_storage().await;
    assert_eq!(list(&alice, &id).await.unwrap(), ["file"]);
    alice
        .create("new")
        .await
        .expect("the name was not lost to the attempt");
    system.assert_sound().await;
}

async fn without_a_storage_proxy_what_needs_it_is_unavailable_and_the_rest_goes_on(engine: Engine) {
    let mut system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    let doomed = alice.create("doomed").await.unwrap().id;
    alice.trash(&doomed).await.unwrap();
    let kept = alice.create("kept").await.unwrap().id;
    alice.trash(&kept).await.unwrap();
    system.storage.kill();

    assert_unavailable(alice.create("new").await);
    assert_unavailable(alice.clone_to(&id, "copy").await);
    assert_unavailable(list(&alice, &id).await);
    assert_unavailable(mkdir(&alice, &id).await);
    assert_eq!(
        volume(&alice, "local").await.state(),
        VolumeState::Unavailable
    );
    let mount = alice
        .mount(&id, "session", MountMode::ReadWrite)
        .await
        .unwrap();
    alice.unmount(&mount).await.unwrap();
    // Nobody could keep writers out of what would be in the trash.
    assert_unavailable(alice.trash(&id).await);
    assert_eq!(alice.status(&id).await, VFolderStatus::Ready);
    alice.restore(&kept).await.unwrap();
    assert_unavailable(alice.purge(&doomed).await);
    assert_eq!(alice.status(&doomed).await, VFolderStatus::Trashed);

    system.start_storage().await;
    let purge = alice.purge(&doomed).await.unwrap();
    let ended = alice.wait(&purge.name).await;
    assert!(
        matches!(ended.result, Some(Outcome::Response(_))),
        "{ended:?}"
    );
    list(&alice, &id).await.unwrap();
    alice
        .create("new")
        .await
        .expect("the name was not lost to the attempt");
    system.assert_sound().await;
}

async fn a_storage_proxy_that_hangs_is_unavailable(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    system.storage.freeze();
    assert_unavailable(alice.create("new").await);
    assert_unavailable(alice.clone_to(&id, "copy").await);
    assert_eq!(alice.get(&id).await.unwrap().name, "data");
    system.storage.thaw();
    list(&alice, &id).await.unwrap();
    alice
        .create("new")
        .await
        .expect("the name was not lost to the attempt");
    system.assert_sound().await;
}

async fn a_volume_that_nobody_configured_is_not_found(engine: Engine) {
    let system = System::on(engine)
        .with_volume("first")
        .with_volume("second")
        .start()
        .await;
    let alice = system.user("alice");
    let request = GetVolumeRequest {
        volume: "nowhere".into(),
    };
    let answer = alice.volumes.clone().get_volume(request).await;
    assert_refused(answer, Code::NotFound, "VOLUME_NOT_FOUND");
    assert!(volume(&alice, "first").await.default);
    assert!(!volume(&alice, "second").await.default);
    assert_eq!(alice.create("data").await.unwrap().volume, "first");
}

/// Told that it is out of reach, and when to try again.
#[track_caller]
fn assert_unavailable<T: std::fmt::Debug>(answer: Result<T, Status>) {
    let status = assert_refused(answer, Code::Unavailable, "VOLUME_UNAVAILABLE");
    let retry = status.get_details_retry_info().and_then(|r| r.retry_delay);
    assert!(retry.is_some_and(|delay| !delay.is_zero()), "{status:?}");
}

async fn volume(user: &User, name: &str) -> Volume {
    let request = GetVolumeRequest {
        volume: name.into(),
    };
    user.volumes
        .clone()
        .get_volume(request)
        .await
        .unwrap()
        .into_inner()
}

async fn list(user: &User, id: &str) -> Result<Vec<String>, Status> {
    let request = ListFilesRequest {
        vfolder_id: id.into(),
        ..ListFilesRequest::default()
    };
    let page = user.files.clone().list_files(request).await?.into_inner();
    Ok(page.entries.into_iter().map(|e| e.name).collect())
}

async fn mkdir(user: &User, id: &str) -> Result<(), Status> {
    let request = CreateDirectoryRequest {
        vfolder_id: id.into(),
        path: "made".into(),
        ..CreateDirectoryRequest::default()
    };
    user.files.clone().create_directory(request).await.map(drop)
}

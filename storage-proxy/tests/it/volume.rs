//! Volumes: made once, owned by one, and never mistaken for what is below their mount point.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use uuid::Uuid;
use vfolder_storage_proxy::volume::{
    Area, Health, Holder, InitError, OpenError, Volume, VolumeError, init, tree_path,
};

use crate::support::Rig;

fn volume(path: &Path) -> Volume {
    Volume::new("v", path, Holder::this(Uuid::new_v4()))
}

#[test]
fn init_is_harmless_to_repeat_and_refuses_what_is_not_ours() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("v");
    let made = init(&path, "v").unwrap();
    assert_eq!(init(&path, "v").unwrap(), made);
    assert!(matches!(
        init(&path, "w"),
        Err(InitError::Initialised { .. })
    ));
    for (name, mode) in [
        ("tree", 0o711),
        ("staging", 0o700),
        ("trash", 0o700),
        ("journal", 0o700),
    ] {
        let meta = fs::metadata(path.join(name)).unwrap();
        assert_eq!(meta.permissions().mode() & 0o7777, mode, "{name}");
    }
    let foreign = dir.path().join("foreign");
    fs::create_dir_all(foreign.join("tree/theirs")).unwrap();
    assert!(matches!(init(&foreign, "v"), Err(InitError::NotEmpty(_))));
    assert!(matches!(
        init(&dir.path().join("x"), "../x"),
        Err(InitError::Name(_))
    ));
}

#[test]
fn init_goes_on_where_a_crash_has_stopped_it() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("v/tree")).unwrap();
    fs::write(dir.path().join("v/.volume.json.part"), "{").unwrap();
    init(&dir.path().join("v"), "v").unwrap();
    volume(&dir.path().join("v")).get().unwrap();
}

#[test]
fn a_second_owner_is_refused_and_told_who_the_first_is() {
    let dir = tempfile::tempdir().unwrap();
    init(dir.path(), "v").unwrap();
    let first = volume(dir.path());
    first.open_at_start().unwrap();
    match volume(dir.path()).open_at_start() {
        Err(OpenError::Held { holder, .. }) => assert_eq!(holder.pid, std::process::id()),
        other => panic!("{other:?}"),
    }
    drop(first);
    volume(dir.path()).open_at_start().unwrap();
}

#[test]
fn a_volume_that_is_not_there_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("v");
    let late = volume(&path);
    late.open_at_start().unwrap();
    assert!(matches!(late.get(), Err(VolumeError::Unavailable { .. })));
    fs::create_dir(&path).unwrap();
    let error = late.get().unwrap_err().to_string();
    assert!(error.contains("volume init"), "{error}");
    init(&path, "v").unwrap();
    assert_eq!(
        late.get().unwrap().capacity().unwrap().health,
        Health::Serving
    );
}

#[test]
fn after_an_unmount_nothing_is_written_below_the_mount_point() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("v");
    init(&path, "v").unwrap();
    let volume = volume(&path);
    volume.get().unwrap();
    // What an unmount looks like: the same path leads to another directory.
    fs::rename(&path, dir.path().join("elsewhere")).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(volume.get(), Err(VolumeError::Unavailable { .. })));
    assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
    fs::remove_dir(&path).unwrap();
    fs::rename(dir.path().join("elsewhere"), &path).unwrap();
    volume.get().unwrap();
}

#[test]
fn another_volume_at_the_path_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    init(dir.path(), "other").unwrap();
    let error = volume(dir.path()).get().unwrap_err().to_string();
    assert!(error.contains("\"other\""), "{error}");
}

#[test]
fn what_does_not_belong_on_a_volume_is_told_of() {
    let rig = Rig::new();
    let (good, misplaced, file) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    fs::create_dir_all(rig.tree(good)).unwrap();
    fs::create_dir_all(rig.tree(good).parent().unwrap().join(misplaced.to_string())).unwrap();
    fs::create_dir_all(rig.tree(file).parent().unwrap()).unwrap();
    fs::write(rig.tree(file), "").unwrap();
    std::os::unix::fs::symlink("/etc", rig.root().join("tree/ab")).unwrap();
    fs::create_dir(rig.root().join("tree/xyz")).unwrap();
    fs::write(rig.root().join("staging/junk"), "").unwrap();
    let operation = Uuid::now_v7();
    fs::create_dir(rig.root().join(format!("trash/{operation}"))).unwrap();

    let mut found = Vec::new();
    rig.volume
        .get()
        .unwrap()
        .contents(|one| {
            found.push(one);
            true
        })
        .unwrap();
    let problem = |path: &str| {
        let one = found
            .iter()
            .find(|one| one.path == path)
            .unwrap_or_else(|| panic!("{path} in {found:?}"));
        (one.id, one.problem)
    };
    assert_eq!(problem(&tree_path(good)), (Some(good), None));
    let misplaced_at = tree_path(good).replace(&good.to_string(), &misplaced.to_string());
    assert!(problem(&misplaced_at).1.unwrap().contains("wrong place"));
    assert_eq!(
        problem(&tree_path(file)),
        (Some(file), Some("is not a directory"))
    );
    assert_eq!(problem("tree/ab"), (None, Some("is a symlink")));
    assert!(problem("tree/xyz").1.is_some());
    assert!(problem("staging/junk").1.is_some());
    // The reclaimer may have been faster.
    if let Some(trash) = found.iter().find(|one| one.area == Area::Trash) {
        assert_eq!((trash.id, trash.problem), (Some(operation), None));
    }
}

#[test]
fn another_volume_of_the_same_name_is_not_taken_for_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("v");
    let first = init(&path, "v").unwrap();
    let waiting = volume(&path);
    waiting.get().unwrap();
    fs::rename(&path, dir.path().join("away")).unwrap();
    let second = init(&path, "v").unwrap();
    fs::write(path.join("journal/.left.part"), "theirs").unwrap();
    let refused = waiting.get().unwrap_err().to_string();
    assert!(refused.contains(&second.volume_id.to_string()), "{refused}");
    assert!(path.join("journal/.left.part").exists(), "it was touched");
    fs::rename(&path, dir.path().join("other")).unwrap();
    fs::rename(dir.path().join("away"), &path).unwrap();
    assert_eq!(*waiting.get().unwrap().description(), first);
    drop(waiting);
    let wanted = |id| volume(&path).with_id(Some(id)).get().map(drop);
    assert!(wanted(second.volume_id).is_err());
    wanted(first.volume_id).unwrap();
}

#[test]
fn half_written_files_are_swept_when_a_volume_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    init(dir.path(), "v").unwrap();
    let (operation, vfolder) = (Uuid::now_v7(), Uuid::now_v7());
    fs::create_dir(dir.path().join("journal/epochs")).unwrap();
    let parts = [
        format!("journal/.{operation}.part"),
        format!("journal/epochs/.{vfolder}.part"),
    ];
    for part in &parts {
        fs::write(dir.path().join(part), "{").unwrap();
    }
    let kept = dir.path().join(format!("journal/{operation}"));
    fs::write(&kept, "{}").unwrap();
    volume(dir.path()).get().unwrap();
    for part in &parts {
        assert!(!dir.path().join(part).exists(), "{part}");
    }
    assert!(kept.exists());
}

#[test]
fn a_directory_that_its_maker_left_half_made_is_put_right() {
    let dir = tempfile::tempdir().unwrap();
    init(dir.path(), "v").unwrap();
    let vfolder = Uuid::now_v7();
    let place = dir.path().join(tree_path(vfolder));
    let between = [
        place.parent().unwrap().parent().unwrap(),
        place.parent().unwrap(),
    ];
    for directory in between {
        fs::create_dir(directory).unwrap();
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).unwrap();
    }
    volume(dir.path())
        .get()
        .unwrap()
        .prepare_place(vfolder)
        .unwrap();
    for directory in between {
        let mode = fs::metadata(directory).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o711, "{}", directory.display());
    }
}

//! `tree remove`.

use rustix::fs::{FallocateFlags, fallocate};

use super::*;

const MARK: &str = ".vfolder-trash-";

struct Stage(tempfile::TempDir);

impl Stage {
    /// With a tree called `a` and one called `b`.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fill(&dir.path().join("a"));
        fill(&dir.path().join("b"));
        Self(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn remove(&self, names: &[&str]) -> Command {
        let mut command = tree([p("remove")]);
        command.args(names.iter().map(|name| self.path(name)));
        command
    }

    fn names(&self) -> Vec<String> {
        names(self.0.path())
    }
}

#[test]
fn removed_trees_are_gone_with_nothing_left_beside_them() {
    let stage = Stage::new();
    fs::write(stage.path("file"), "x").unwrap();
    succeeds(&mut stage.remove(&["a", "b/", "file"]));
    assert_eq!(stage.names(), [""; 0]);
}

#[test]
fn a_removal_tells_machines_when_it_is_acknowledged_and_done() {
    let stage = Stage::new();
    let said = succeeds(stage.remove(&["a"]).arg("--json"));
    let events = said.lines().map(|line| {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        (event["event"].clone(), event["entries"].clone())
    });
    let events: Vec<_> = events.collect();
    let expected = [
        ("acknowledged".into(), serde_json::Value::Null),
        ("done".into(), (1 + 5 + 5 + 5 * 12).into()),
    ];
    assert_eq!(events, expected);
}

#[test]
fn a_file_counts_with_its_bytes_and_is_no_directory() {
    let stage = Stage::new();
    fs::write(stage.path("file"), "12345").unwrap();
    fails(&mut stage.remove(&["file/"]), 1, "Not a directory");
    let said = succeeds(stage.remove(&["file"]).arg("--json"));
    let done: serde_json::Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!((&done["entries"], &done["bytes"]), (&1.into(), &5.into()));
    assert!(done["path"].as_str().unwrap().ends_with("/file"), "{done}");
}

#[test]
fn what_somebody_has_open_keeps_all_its_bytes() {
    let stage = Stage::new();
    // Of a size from which on the service, which has trees for itself, gives the blocks back first.
    let size = 300 << 20;
    for name in ["a/large", "large"] {
        let file = fs::File::create(stage.path(name)).unwrap();
        fallocate(&file, FallocateFlags::empty(), 0, size).unwrap();
        succeeds(&mut stage.remove(&[name.split('/').next().unwrap()]));
        assert_eq!(file.metadata().unwrap().len(), size);
        assert!(!stage.path(name).exists());
    }
}

#[test]
fn what_is_immutable_stays() {
    let stage = Stage::new();
    let file = stage.path("a/d1/sub/f3");
    let chattr = |change: &str| Command::new("chattr").arg(change).arg(&file).output();
    if !chattr("+i").is_ok_and(|done| done.status.success()) {
        eprintln!("NOT CHECKED: no immutable files here, so not whether they stay");
        return;
    }
    let refused = stage.remove(&["a"]).output().unwrap();
    let left = stage.names();
    let kept = stage.path(&left[0]).join("d1/sub/f3");
    let found = fs::read_to_string(&kept);
    let lifted = Command::new("chattr").arg("-i").arg(&kept).output();
    assert!(lifted.unwrap().status.success());
    assert_failed(&refused, 1, "d1/sub/f3");
    assert_eq!(found.unwrap(), "content 3");
    succeeds(&mut stage.remove(&[&left[0]]));
}

#[test]
fn where_there_is_no_room_for_a_rename_a_tree_is_removed_all_the_same() {
    for errno in ["ENOSPC", "EDQUOT"] {
        let stage = Stage::new();
        let mut removal = stage.remove(&["a"]);
        removal.env("VFOLDER_FAULTS", format!("trash.begin={errno}"));
        let said = succeeds(removal.arg("--json"));
        assert_eq!(stage.names(), ["b"]);
        // It was in sight all the time.
        assert!(!said.contains("acknowledged"), "{said}");
    }
}

#[test]
fn a_removal_interrupted_on_the_way_out_of_sight_tells_what_does_not_come_back() {
    let stage = Stage::new();
    let removal = stopped_at(&mut stage.remove(&["a", "b"]), "trash.begin");
    signal(&removal, Signal::INT);
    signal(&removal, Signal::CONT);
    let ended = removal.wait_with_output().unwrap();
    let left = stage.names();
    assert_eq!(left.len(), 2, "{left:?}");
    assert_failed(&ended, 130, "interrupted");
    for name in left.iter().filter(|name| name.contains(MARK)) {
        assert_failed(&ended, 130, name);
    }
}

#[test]
fn nothing_is_removed_unless_all_can_be() {
    let stage = Stage::new();
    symlink("b", stage.path("link")).unwrap();
    for (name, said) in [
        (".", "no name"),
        ("..", "no name"),
        ("b/.", "no name"),
        ("b/..", "no name"),
        ("none", "does not exist"),
        ("link/", "is a symlink"),
    ] {
        fails(&mut stage.remove(&["a", name]), 1, said);
    }
    for path in ["/", "//", ".", ".."] {
        fails(&mut tree([p("remove"), p(path)]), 1, "no name");
    }
    assert_eq!(stage.names(), ["a", "b", "link"]);
    assert_eq!(names(&stage.path("a")).len(), 5);
}

#[test]
fn what_does_not_exist_is_no_error_with_force() {
    let stage = Stage::new();
    succeeds(stage.remove(&["none", "a"]).arg("--force"));
    assert_eq!(stage.names(), ["b"]);
}

#[test]
fn what_vanishes_on_the_way_is_no_error_with_force() {
    let stage = Stage::new();
    succeeds(stage.remove(&["a", "a/"]).arg("--force"));
    assert_eq!(stage.names(), ["b"]);
    fails(&mut stage.remove(&["b", "b/"]), 1, "No such file");
    assert_eq!(stage.names(), [""; 0]);
}

#[test]
fn thousands_of_paths_are_one_handle_and_one_sync() {
    let stage = Stage::new();
    let files: Vec<_> = (0..3000).map(|number| format!("a/f{number}")).collect();
    for file in &files {
        fs::write(stage.path(file), "x").unwrap();
    }
    let names: Vec<_> = files.iter().map(String::as_str).collect();
    let mut removal = stage.remove(&names);
    // The hard limit, too: what would be raised again is not meant.
    let limited = Command::new("sh")
        .args(["-c", "ulimit -n 256 && exec \"$@\"", "sh"])
        .arg(removal.get_program())
        .args(removal.arg("--json").get_args())
        .output()
        .unwrap();
    assert!(limited.status.success(), "{limited:?}");
    let said = String::from_utf8(limited.stdout).unwrap();
    let synced = said.lines().filter(|line| line.contains("\"synced\":true"));
    assert_eq!(synced.count(), files.len());
    assert_eq!(self::names(&stage.path("a")).len(), 5);
}

#[test]
fn a_sync_that_fails_is_told_and_the_trees_keep_their_names() {
    for fault in ["trash.renamed=EIO", "trash.synced=EIO"] {
        let stage = Stage::new();
        let mut removal = stage.remove(&["a", "b"]);
        removal.env("VFOLDER_FAULTS", fault);
        fails(&mut removal, 1, "fsync failed");
        assert_eq!(stage.names(), ["a", "b"]);
    }
}

#[test]
fn of_a_symlink_only_the_link_is_removed() {
    let stage = Stage::new();
    symlink("b", stage.path("link")).unwrap();
    let before = describe(&stage.path("b"));
    succeeds(&mut stage.remove(&["link"]));
    assert_eq!(stage.names(), ["a", "b"]);
    assert_same(&before, &describe(&stage.path("b")));
}

#[test]
fn a_tree_in_which_something_is_mounted_is_not_touched() {
    let stage = Stage::new();
    let point = stage.path("a/d0");
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "none"])
        .arg(&point)
        .output();
    if !mounted.is_ok_and(|done| done.status.success()) {
        eprintln!(
            "NOT CHECKED: can't mount here, so not whether a mount keeps a tree from being removed"
        );
        return;
    }
    let below = stage.remove(&["b", "a"]).output().unwrap();
    let itself = stage.remove(&["a/d0"]).output().unwrap();
    let unmounted = Command::new("umount").arg(&point).status().unwrap();
    assert!(unmounted.success());
    assert_failed(&below, 1, "is a mount point");
    assert_failed(&itself, 1, "is a mount point");
    assert_eq!(stage.names(), ["a", "b"]);
    assert_eq!(names(&stage.path("a")).len(), 5);
}

#[test]
fn an_interrupted_removal_says_what_is_left_and_that_can_be_removed() {
    let stage = Stage::new();
    let removal = stopped_at(&mut stage.remove(&["a", "b"]), "remove.entry");
    assert!(stage.names().iter().all(|name| name.contains(MARK)));
    signal(&removal, Signal::INT);
    signal(&removal, Signal::CONT);
    let ended = removal.wait_with_output().unwrap();
    let left = stage.names();
    assert_eq!(left.len(), 2);
    for name in &left {
        assert_failed(&ended, 130, name);
    }
    let left: Vec<_> = left.iter().map(String::as_str).collect();
    succeeds(&mut stage.remove(&left));
    assert_eq!(stage.names(), [""; 0]);
}

#[test]
fn a_removal_killed_on_the_way_out_of_sight_leaves_a_tree_that_can_be_removed() {
    for fault in [
        "trash.begin",
        "trash.renamed",
        "trash.synced",
        "remove.entry",
    ] {
        let stage = Stage::new();
        let mut removal = stage.remove(&["a"]);
        let ended = removal.env("VFOLDER_FAULTS", format!("{fault}=kill"));
        let ended = ended.output().unwrap();
        assert_eq!(ended.status.signal(), Some(Signal::KILL.as_raw()));
        let left = stage.names();
        assert_eq!(left.len(), 2);
        assert_eq!(left[0] == "a", fault == "trash.begin", "{left:?}");
        succeeds(&mut stage.remove(&[&left[0]]));
        assert_eq!(stage.names(), ["b"]);
    }
}

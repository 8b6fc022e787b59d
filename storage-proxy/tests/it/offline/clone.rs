//! `tree clone`.

use super::*;

/// A source at `a` in a directory of its own; the copy is to be `b` beside it.
struct Stage(tempfile::TempDir);

impl Stage {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fill(&dir.path().join("a"));
        Self(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn clone(&self) -> Command {
        tree([p("clone"), &self.path("a"), &self.path("b")])
    }

    fn assert_cloned(&self) {
        assert_same(&describe(&self.path("a")), &describe(&self.path("b")));
        assert_eq!(names(self.0.path()), ["a", "b"]);
    }
}

#[test]
fn a_clone_is_the_same_tree_with_nothing_left_beside_it() {
    for flags in [&[][..], &["--no-sync"], &["--quiet"]] {
        let stage = Stage::new();
        let said = succeeds(stage.clone().args(flags));
        assert_eq!(said.is_empty(), flags == ["--quiet"], "{said}");
        stage.assert_cloned();
    }
}

#[test]
fn a_clone_tells_machines_what_it_did() {
    let stage = Stage::new();
    let said = succeeds(stage.clone().arg("--json"));
    let event: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(event["event"], "done");
    // The root, five directories with one in each, and in that ten files, a link to one of them and a symlink.
    assert_eq!(event["entries"], 1 + 5 + 5 + 5 * 12);
    assert_eq!(event["synced"], true);
}

#[test]
fn a_clone_replaces_nothing() {
    let stage = Stage::new();
    let taken: [&dyn Fn(&Path); 3] = [
        &|path| fs::create_dir(path).unwrap(),
        &|path| fs::write(path, "mine").unwrap(),
        &|path| symlink("nowhere", path).unwrap(),
    ];
    for (number, take) in taken.into_iter().enumerate() {
        let name = format!("taken{number}");
        take(&stage.path(&name));
        let mut clone = tree([p("clone"), &stage.path("a"), &stage.path(&name)]);
        fails(&mut clone, 1, "exists already");
    }
    assert_eq!(names(&stage.path("taken0")), [""; 0]);
    assert_eq!(names(stage.0.path()), ["a", "taken0", "taken1", "taken2"]);
}

#[test]
fn a_place_that_is_taken_while_the_copy_is_made_is_left_alone() {
    let stage = Stage::new();
    let clone = stopped_at(&mut stage.clone(), "clone.copying");
    fs::create_dir(stage.path("b")).unwrap();
    signal(&clone, Signal::CONT);
    assert_failed(&clone.wait_with_output().unwrap(), 1, "exists already");
    assert_eq!(names(&stage.path("b")), [""; 0]);
    assert_eq!(names(stage.0.path()), ["a", "b"]);
}

#[test]
fn a_tree_is_not_cloned_into_itself() {
    let stage = Stage::new();
    for inside in ["a/b", "a/d0/sub/b"] {
        let mut clone = tree([p("clone"), &stage.path("a"), &stage.path(inside)]);
        fails(&mut clone, 1, "into itself");
    }
    fails(
        &mut tree([p("clone"), &stage.path("none"), &stage.path("b")]),
        1,
        "does not exist",
    );
}

#[test]
fn what_a_killed_clone_has_left_the_next_one_clears() {
    for fault in ["clone.copying", "publish.begin"] {
        let stage = Stage::new();
        let armed = format!("{fault}=kill");
        let ended = stage.clone().env("VFOLDER_FAULTS", armed).output().unwrap();
        assert_eq!(ended.status.signal(), Some(Signal::KILL.as_raw()));
        assert_eq!(names(stage.0.path()), [".b.vfolder-clone", "a"]);
        succeeds(&mut stage.clone());
        stage.assert_cloned();
    }
}

#[test]
fn a_second_clone_to_the_same_place_is_refused_while_one_runs() {
    let stage = Stage::new();
    let clone = stopped_at(&mut stage.clone(), "clone.copying");
    fails(&mut stage.clone(), 1, "is running");
    signal(&clone, Signal::CONT);
    let ended = clone.wait_with_output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    stage.assert_cloned();
}

#[test]
fn a_clone_into_its_source_by_way_of_another_mount_is_refused() {
    let stage = Stage::new();
    let (inner, outer) = (stage.path("a/d0"), stage.path("mounted"));
    fs::create_dir(&outer).unwrap();
    let mut mount = Command::new("mount");
    let mounted = mount.arg("--bind").args([&inner, &outer]).output();
    if !mounted.is_ok_and(|done| done.status.success()) {
        eprintln!("NOT CHECKED: can't mount here, so not a clone into its source by a mount");
        return;
    }
    let refused = tree([p("clone"), &stage.path("a"), &outer.join("copy")]).output();
    let unmounted = Command::new("umount").arg(&outer).status().unwrap();
    assert!(unmounted.success());
    assert_failed(&refused.unwrap(), 1, "can't be cloned into itself");
    assert_eq!(names(&inner), ["sub"]);
}

#[test]
fn an_interrupted_clone_leaves_nothing() {
    for told in [Signal::INT, Signal::TERM] {
        let stage = Stage::new();
        let clone = stopped_at(&mut stage.clone(), "clone.copying");
        assert_eq!(names(stage.0.path()), [".b.vfolder-clone", "a"]);
        signal(&clone, told);
        signal(&clone, Signal::CONT);
        let ended = clone.wait_with_output().unwrap();
        assert_failed(&ended, 130, "interrupted");
        assert_eq!(names(stage.0.path()), ["a"]);
    }
}

#[test]
fn a_second_interrupt_ends_a_clone_at_once() {
    let stage = Stage::new();
    // Deaf for ever.
    let mut clone = stage.clone();
    clone.env("VFOLDER_FAULTS", "clone.copying=hold");
    clone.env_remove("VFOLDER_RELEASE");
    let mut clone = clone.stderr(Stdio::null()).spawn().unwrap();
    until("it copies", || stage.path(".b.vfolder-clone/tree").exists());
    until("it has ended", || {
        let ended = clone.try_wait().unwrap();
        if ended.is_none() {
            signal(&clone, Signal::INT);
        }
        ended.is_some()
    });
    assert_eq!(clone.wait().unwrap().code(), Some(130));
    assert_eq!(names(stage.0.path()), [".b.vfolder-clone", "a"]);
}

#[test]
fn the_staging_of_a_name_of_any_length_has_a_name() {
    let stage = Stage::new();
    let long = stage.path(&"x".repeat(255));
    succeeds(&mut tree([p("clone"), &stage.path("a"), &long]));
    assert_same(&describe(&stage.path("a")), &describe(&long));
    assert_eq!(names(stage.0.path()).len(), 2);
}

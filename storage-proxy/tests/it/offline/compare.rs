//! `tree digest` and `tree diff`.

use std::{collections::BTreeSet, os::unix::fs::PermissionsExt as _, time::SystemTime};

use rustix::fs::{XattrFlags, setxattr};

use super::*;

/// A tree called `a` and its clone `b`.
struct Stage(tempfile::TempDir);

impl Stage {
    fn new() -> Self {
        let stage = Self(tempfile::tempdir().unwrap());
        fill(&stage.path("a"));
        succeeds(&mut tree([p("clone"), &stage.path("a"), &stage.path("b")]));
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn diff(&self) -> Command {
        tree([p("diff"), &self.path("a"), &self.path("b")])
    }

    /// What is said, sorted, to the exit code 1.
    fn differences(&self) -> BTreeSet<String> {
        let output = self.diff().output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        said.lines().map(str::to_owned).collect()
    }

    fn digest(&self, name: &str) -> String {
        let said = succeeds(&mut tree([p("digest"), &self.path(name)]));
        said.split_whitespace().next().unwrap().to_owned()
    }

    /// Changes `b`, and takes back that its directory was changed by that.
    fn change(&self, path: &str, change: impl FnOnce(&Path)) {
        let path = self.path("b").join(path);
        let parent = fs::File::open(path.parent().unwrap()).unwrap();
        let before = parent.metadata().unwrap().modified().unwrap();
        change(&path);
        parent.set_modified(before).unwrap();
    }
}

fn keeping_time(path: &Path, change: impl FnOnce(&Path)) {
    let before = fs::metadata(path).unwrap().modified().unwrap();
    change(path);
    fs::File::open(path).unwrap().set_modified(before).unwrap();
}

#[test]
fn a_clone_is_equal_in_digest_and_in_detail() {
    let stage = Stage::new();
    assert_eq!(succeeds(&mut stage.diff()), "");
    let digest = stage.digest("a");
    assert!(digest.starts_with("blake3-tree-v1:"), "{digest}");
    assert_eq!(digest, stage.digest("b"));
}

#[test]
fn whatever_differs_is_named_and_changes_the_digest() {
    type Change = fn(&Path);
    let changes: [(&str, Change, &str); 8] = [
        (
            "d0/sub/f1",
            |path| keeping_time(path, |path| fs::write(path, "content X").unwrap()),
            "d0/sub/f1: content from byte 8",
        ),
        (
            "d0/sub/f1",
            |path| keeping_time(path, |path| fs::write(path, "more").unwrap()),
            "d0/sub/f1: size 9 4",
        ),
        (
            "d1/sub/f1",
            |path| fs::set_permissions(path, fs::Permissions::from_mode(0o4711)).unwrap(),
            "d1/sub/f1: mode 0644 4711",
        ),
        (
            "d1/sub/f2",
            |path| setxattr(path, "user.x", b"y", XattrFlags::empty()).unwrap(),
            "d1/sub/f2: xattrs user.x",
        ),
        (
            "d2/sub/new\nline",
            |path| fs::write(path, "x").unwrap(),
            "d2/sub/new\\nline: only second",
        ),
        (
            "d2/sub/f3",
            |path| fs::remove_file(path).unwrap(),
            "d2/sub/f3: only first",
        ),
        (
            "d3/sub/f4",
            |path| {
                fs::remove_file(path).unwrap();
                symlink("f5", path).unwrap();
            },
            "d3/sub/f4: kind file symlink",
        ),
        (
            "d4",
            |path| fs::remove_dir_all(path).unwrap(),
            "d4: only first",
        ),
    ];
    let stage = Stage::new();
    let equal = stage.digest("a");
    for (path, change, said) in changes {
        let stage = Stage::new();
        let before = stage.digest("b");
        stage.change(path, change);
        assert_eq!(stage.differences(), [said.to_owned()].into(), "{path}");
        assert_ne!(stage.digest("b"), before, "{said}");
    }
    assert_eq!(stage.digest("a"), equal);
}

#[test]
fn a_link_that_became_a_copy_is_named() {
    let stage = Stage::new();
    stage.change("d0/sub/link", |path| {
        let before = fs::metadata(path).unwrap().modified().unwrap();
        fs::remove_file(path).unwrap();
        fs::copy(path.with_file_name("f0"), path).unwrap();
        fs::File::open(path).unwrap().set_modified(before).unwrap();
    });
    let said = stage.differences();
    assert_eq!(said.len(), 1, "{said:?}");
    let said = said.first().unwrap();
    // Whichever of the two names is met second.
    let expected = ["d0/sub/link: links", "d0/sub/f0: links"];
    assert!(expected.contains(&said.as_str()), "{said}");
}

#[test]
fn of_sparse_files_the_data_behind_the_hole_is_compared() {
    let stage = Stage(tempfile::tempdir().unwrap());
    for (name, last) in [("a", b"x"), ("b", b"y")] {
        fs::create_dir(stage.path(name)).unwrap();
        let file = fs::File::create(stage.path(name).join("file")).unwrap();
        file.set_len(1 << 40).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, last, (1 << 40) - 1).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let directory = fs::File::open(stage.path(name)).unwrap();
        directory.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    }
    let said = stage.differences();
    assert_eq!(
        said,
        ["file: content from byte 1099511627775".to_owned()].into()
    );
}

#[test]
fn trouble_is_told_apart_from_a_difference() {
    let stage = Stage::new();
    let mut diff = tree([p("diff"), &stage.path("a"), &stage.path("none")]);
    fails(&mut diff, 2, "does not exist");
}

#[test]
fn machines_are_told_what_differs() {
    let stage = Stage::new();
    stage.change("d0/sub/f1", |path| fs::remove_file(path).unwrap());
    let output = stage.diff().arg("--json").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap();
    let events = said.lines().map(|line| serde_json::from_str(line).unwrap());
    let events: Vec<serde_json::Value> = events.collect();
    assert_eq!(events[0]["path"], "d0/sub/f1");
    assert_eq!(events[0]["aspects"]["only"], "first");
    assert_eq!(events[1]["differences"], 1);
}

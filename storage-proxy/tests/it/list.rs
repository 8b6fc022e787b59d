//! Pages of directories.

use std::{ffi::CString, fs, os::unix::fs::symlink, path::Path};

use vfolder_storage_proxy::tree::{Control, Fault, FileKind, RelativePath, TreeRoot};

use crate::support::directory;

fn path(text: &str) -> RelativePath {
    RelativePath::parse(text.as_bytes()).unwrap()
}

fn all(root: &Path, at: &str, size: usize) -> Vec<CString> {
    let root = TreeRoot::new(directory(root));
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let page = root
            .list(&path(at), after.as_deref(), size, &Control::default())
            .unwrap();
        assert!(page.entries.len() <= size);
        names.extend(page.entries.into_iter().map(|entry| entry.name));
        match page.next_after {
            None => return names,
            next => after = next,
        }
    }
}

#[test]
fn pages_of_any_size_tell_every_name_once_in_byte_order() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("sub")).unwrap();
    let mut wanted = Vec::new();
    for number in 0..530 {
        let name = format!("{}é{number}", ["a", "Z", "_", "0"][number % 4]);
        fs::write(dir.path().join("sub").join(&name), "").unwrap();
        wanted.push(CString::new(name).unwrap());
    }
    wanted.sort();
    for size in [1, 7, 100, 529, 530, 531, 1000] {
        assert_eq!(all(dir.path(), "sub", size), wanted, "page size {size}");
    }
    assert_eq!(all(dir.path(), "", 10), [CString::new("sub").unwrap()]);
}

#[test]
fn entries_that_come_and_go_between_pages_disturb_no_other() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["b", "d", "f"] {
        fs::write(dir.path().join(name), "").unwrap();
    }
    let root = TreeRoot::new(directory(dir.path()));
    let first = root.list(&path(""), None, 1, &Control::default()).unwrap();
    assert_eq!(first.next_after.as_deref(), Some(c"b"));
    fs::remove_file(dir.path().join("b")).unwrap();
    fs::write(dir.path().join("a"), "").unwrap();
    fs::write(dir.path().join("c"), "").unwrap();
    let rest = root
        .list(
            &path(""),
            first.next_after.as_deref(),
            10,
            &Control::default(),
        )
        .unwrap();
    let names: Vec<_> = rest
        .entries
        .iter()
        .map(|entry| entry.name.as_c_str())
        .collect();
    assert_eq!(names, [c"c", c"d", c"f"]);
}

#[test]
fn a_symlink_is_listed_and_never_listed_through() {
    let dir = tempfile::tempdir().unwrap();
    symlink("/etc", dir.path().join("out")).unwrap();
    let root = TreeRoot::new(directory(dir.path()));
    let page = root.list(&path(""), None, 10, &Control::default()).unwrap();
    assert_eq!(page.entries[0].meta.kind, FileKind::Symlink);
    assert_eq!(page.entries[0].target.as_deref(), Some(c"/etc"));
    for (through, fault) in [
        ("out", Fault::Symlink),
        ("out/x", Fault::Symlink),
        ("none", Fault::NotFound),
    ] {
        assert_eq!(
            root.list(&path(through), None, 10, &Control::default())
                .unwrap_err(),
            fault
        );
    }
}

#[test]
fn a_page_of_long_names_and_targets_stays_small() {
    use std::os::unix::ffi::OsStringExt as _;
    let dir = tempfile::tempdir().unwrap();
    let target = "t/".repeat(1900);
    let mut wanted = Vec::new();
    for number in 0..1000 {
        let mut name = vec![b'\xff'; 240];
        name.extend(format!("{number:03}").bytes());
        symlink(
            &target,
            dir.path().join(std::ffi::OsString::from_vec(name.clone())),
        )
        .unwrap();
        wanted.push(CString::new(name).unwrap());
    }
    let root = TreeRoot::new(directory(dir.path()));
    let first = root.list(&path(""), None, 1000, &Control::default());
    let told = |name: &CString| name.to_string_lossy().len() + name.count_bytes();
    let bytes: usize = first
        .unwrap()
        .entries
        .iter()
        .map(|entry| told(&entry.name) + entry.target.as_ref().unwrap().count_bytes())
        .sum();
    assert!((1 << 20..3 << 20).contains(&bytes), "{bytes}");
    assert_eq!(all(dir.path(), "", 1000), wanted);
}

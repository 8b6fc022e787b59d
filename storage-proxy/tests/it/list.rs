//! Pages of directories.

use std::{ffi::CString, fs, os::unix::fs::symlink, path::Path};

use vfolder_storage_proxy::tree::{
    Control, Fault, FileKind, Order, Page, Position, Reading, RelativePath, Shelf, TreeRoot,
};

use crate::support::directory;

fn path(text: &str) -> RelativePath {
    RelativePath::parse(text.as_bytes()).unwrap()
}

fn list(
    root: &TreeRoot,
    at: &str,
    after: Option<Position>,
    size: usize,
    shelf: &Shelf,
    since: u64,
) -> Result<Page, Fault> {
    let control = Control::default();
    let reading = Reading {
        shelf,
        since,
        control: &control,
    };
    root.list(&path(at), Order::default(), after, size, reading)
}

fn all(root: &Path, at: &str, size: usize) -> Vec<CString> {
    let root = TreeRoot::new(directory(root));
    let (mut names, mut after, shelf) = (Vec::new(), None, Shelf::default());
    let since = shelf.now();
    loop {
        let page = list(&root, at, after, size, &shelf, since).unwrap();
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
    let shelf = Shelf::default();
    let first = list(&root, "", None, 1, &shelf, shelf.now()).unwrap();
    assert_eq!(first.next_after, Some(Position::named(c"b".to_owned())));
    fs::remove_file(dir.path().join("b")).unwrap();
    fs::write(dir.path().join("a"), "").unwrap();
    fs::write(dir.path().join("c"), "").unwrap();
    let rest = list(&root, "", first.next_after, 10, &shelf, 0).unwrap();
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
    let shelf = Shelf::default();
    let page = list(&root, "", None, 10, &shelf, 0).unwrap();
    assert_eq!(page.entries[0].meta.kind, FileKind::Symlink);
    assert_eq!(page.entries[0].target.as_deref(), Some(c"/etc"));
    for (through, fault) in [
        ("out", Fault::Symlink),
        ("out/x", Fault::Symlink),
        ("none", Fault::NotFound),
    ] {
        let listed = list(&root, through, None, 10, &shelf, 0);
        assert_eq!(listed.unwrap_err(), fault);
    }
}

#[test]
fn what_came_before_a_list_began_is_not_missed_since_somebody_else_has_listed_before() {
    let dir = tempfile::tempdir().unwrap();
    let name = |number: usize| format!("{number:04}");
    for number in 0..2000 {
        fs::write(dir.path().join(name(number)), "").unwrap();
    }
    let root = TreeRoot::new(directory(dir.path()));
    let shelf = Shelf::default();
    let (earlier, since) = (shelf.now(), |page: &Page| page.next_after.clone());
    let theirs = list(&root, "", None, 10, &shelf, earlier).unwrap();
    fs::write(dir.path().join("1000-new"), "").unwrap();
    let later = shelf.now();
    let ours = list(&root, "", None, 10, &shelf, later).unwrap();
    let names = |page: Page| -> Vec<_> {
        let names = page.entries.into_iter().map(|entry| entry.name);
        names
            .filter(|name| name.as_c_str() == c"1000-new")
            .collect()
    };
    // Theirs may go on from what was read for their first page, ours must not.
    let rest = list(&root, "", since(&ours), 5000, &shelf, later).unwrap();
    assert_eq!(names(rest).len(), 1);
    let rest = list(&root, "", since(&theirs), 5000, &shelf, earlier).unwrap();
    assert!(rest.entries.len() >= 1990);
}

#[test]
fn following_pages_come_from_what_the_first_has_read() {
    let dir = tempfile::tempdir().unwrap();
    for number in 0..2000 {
        fs::write(dir.path().join(format!("{number:04}")), "").unwrap();
    }
    let root = TreeRoot::new(directory(dir.path()));
    let shelf = Shelf::default();
    let since = shelf.now();
    let first = list(&root, "", None, 10, &shelf, since).unwrap();
    // Only a new reading could tell of it.
    fs::write(dir.path().join("0010-new"), "").unwrap();
    fs::remove_file(dir.path().join("0011")).unwrap();
    let next = list(&root, "", first.next_after, 3, &shelf, since).unwrap();
    let names: Vec<_> = next
        .entries
        .iter()
        .map(|entry| entry.name.as_c_str())
        .collect();
    assert_eq!(names, [c"0010", c"0012", c"0013"]);
    assert_eq!(next.total, 2000);
}

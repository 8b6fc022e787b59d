//! Trees on disk: where they are, filling and comparing them.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{MetadataExt as _, symlink},
    path::{Path, PathBuf},
};

use uuid::Uuid;

/// How many files `fill` puts into one directory.
const FILES_A_DIRECTORY: usize = 100;

/// Where a vfolder's tree is, relative to the root of its volume.
#[must_use]
pub fn tree_path(vfolder: Uuid) -> PathBuf {
    let [.., yy, zz] = vfolder.into_bytes();
    PathBuf::from(format!("tree/{yy:02x}/{zz:02x}/{vfolder}"))
}

/// Makes `files` regular files of `size` bytes each, a hundred a directory, and in each directory a symlink.
///
/// # Panics
///
/// If the filesystem refuses.
pub fn fill(tree: &Path, files: usize, size: usize) {
    let mut content = vec![b'.'; size];
    for number in 0..files {
        let directory = tree.join(format!("d{:04}", number / FILES_A_DIRECTORY));
        if number % FILES_A_DIRECTORY == 0 {
            fs::create_dir(&directory).expect("a directory is made");
            symlink("f0", directory.join("link")).expect("a symlink is made");
        }
        let label = format!("{number:>8}");
        let end = label.len().min(size);
        content[..end].copy_from_slice(&label.as_bytes()[..end]);
        fs::write(
            directory.join(format!("f{}", number % FILES_A_DIRECTORY)),
            &content,
        )
        .expect("a file is written");
    }
}

/// How many entries a tree has, its root included.
///
/// # Panics
///
/// If it can't be read.
#[must_use]
pub fn count_entries(tree: &Path) -> usize {
    1 + survey(tree).expect("the tree can be read").len()
}

/// Asserts that two trees have the same names, types, modes, owners, times, contents and targets.
///
/// # Panics
///
/// If they differ; says where.
pub fn assert_same_tree(expected: &Path, actual: &Path) {
    let [left, right] = [expected, actual].map(|tree| survey(tree).expect("the trees can be read"));
    assert_same(&left, &right);
}

/// As [`assert_same_tree`], but for the times of directories, which tell when something was put into them.
///
/// # Panics
///
/// If they differ; says where.
pub fn assert_same_but_for_directories_times(expected: &Path, actual: &Path) {
    let [left, right] = [expected, actual].map(|tree| {
        let mut entries = survey(tree).expect("the trees can be read");
        let directories = entries.values_mut().filter(|one| one.content.is_none());
        directories.for_each(|one| one.modified = (0, 0));
        entries
    });
    assert_same(&left, &right);
}

fn assert_same(left: &BTreeMap<PathBuf, Entry>, right: &BTreeMap<PathBuf, Entry>) {
    for path in left.keys().chain(right.keys()) {
        assert_eq!(
            left.get(path),
            right.get(path),
            "{} differs",
            path.display()
        );
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    mode: u32,
    uid: u32,
    gid: u32,
    modified: (i64, i64),
    content: Option<Vec<u8>>,
}

fn survey(tree: &Path) -> io::Result<BTreeMap<PathBuf, Entry>> {
    let mut entries = BTreeMap::new();
    let mut ahead = vec![tree.to_owned()];
    while let Some(directory) = ahead.pop() {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let meta = path.symlink_metadata()?;
            let content = if meta.is_symlink() {
                Some(fs::read_link(&path)?.into_os_string().into_encoded_bytes())
            } else if meta.is_file() {
                Some(fs::read(&path)?)
            } else {
                None
            };
            let found = Entry {
                mode: meta.mode(),
                uid: meta.uid(),
                gid: meta.gid(),
                modified: (meta.mtime(), meta.mtime_nsec()),
                content,
            };
            if meta.is_dir() {
                ahead.push(path.clone());
            }
            entries.insert(path.strip_prefix(tree).unwrap_or(&path).to_owned(), found);
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_lies_under_the_last_two_bytes_of_its_id() {
        let id: Uuid = "01890a5d-ac96-774b-bcce-b302099acdef".parse().unwrap();
        let expected = "tree/cd/ef/01890a5d-ac96-774b-bcce-b302099acdef";
        assert_eq!(tree_path(id), Path::new(expected));
    }

    #[test]
    fn trees_that_differ_in_one_byte_are_told_apart() {
        let place = crate::make_root("trees").unwrap();
        let (a, b) = (place.path().join("a"), place.path().join("b"));
        for tree in [&a, &b] {
            fs::create_dir(tree).unwrap();
            fs::write(tree.join("f"), if tree == &a { "x" } else { "y" }).unwrap();
        }
        assert_eq!(count_entries(&a), 2);
        assert!(std::panic::catch_unwind(|| assert_same_tree(&a, &b)).is_err());
    }
}

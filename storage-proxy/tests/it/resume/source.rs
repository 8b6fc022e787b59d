//! A tree like users have: many small files, some links.

use std::{
    collections::HashSet,
    fs,
    os::unix::fs::{MetadataExt as _, symlink},
    path::Path,
};

use crate::{oracle::walk, support::Dice};

/// Files of a directory.
const DIRECTORY: usize = 100;
/// The largest is four times as large as most.
const MOST_BYTES: usize = 10_000;

/// What is in the source.
pub struct Source {
    pub entries: u64,
    pub bytes: u64,
}

impl Source {
    /// Adds so many files to `root`, two levels down.
    pub fn fill(root: &Path, files: usize, dice: &mut Dice) -> Self {
        let mut content = vec![0; MOST_BYTES];
        for number in 0..files {
            let directory = number / DIRECTORY;
            let at = root.join(format!("p{}/d{directory}", directory / 20));
            let name = number % DIRECTORY;
            if name == 0 {
                fs::create_dir_all(&at).unwrap();
            }
            let file = at.join(format!("f{name}"));
            match name {
                50 => fs::hard_link(at.join("f1"), file).unwrap(),
                51 => symlink("f2", file).unwrap(),
                _ => {
                    content.fill(u8::try_from(1 + number % 255).unwrap());
                    let size =
                        dice.roll(MOST_BYTES / 2) * (1 + usize::from(name.is_multiple_of(20)));
                    fs::write(file, &content[..size]).unwrap();
                }
            }
        }
        Self::of(root)
    }

    fn of(root: &Path) -> Self {
        let mut all = Self {
            entries: 0,
            bytes: 0,
        };
        let mut seen = HashSet::new();
        for path in walk(root) {
            let meta = fs::symlink_metadata(root.join(path)).unwrap();
            all.entries += 1;
            if meta.is_file() && seen.insert(meta.ino()) {
                all.bytes += meta.size();
            }
        }
        all
    }
}

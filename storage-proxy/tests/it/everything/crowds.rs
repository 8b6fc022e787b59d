//! Much of one thing: names of one inode, entries of one directory, levels, bytes.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::Path,
};

use super::kit::setxattr;

const LINKS: usize = 4096;
const ENTRIES: usize = 20_000;
const LEVELS: usize = 1000;
const HUGE: u64 = 10 << 30;

pub fn build(at: &Path) {
    let sub = |name: &str| {
        let path = at.join(name);
        fs::create_dir(&path).unwrap();
        path
    };
    names_of_one(&sub("linked"));
    wide(&sub("wide"));
    deep(&sub("deep"));
    huge(&at.join("huge"));
}

/// In several directories, on several levels.
fn names_of_one(at: &Path) {
    let first = at.join("0");
    fs::write(&first, "one").unwrap();
    setxattr(&first, "user.mine", b"one");
    for number in 1..LINKS {
        let directory = at.join(format!("d{}/d{}", number % 3, number % 7));
        fs::create_dir_all(&directory).unwrap();
        fs::hard_link(&first, directory.join(number.to_string())).unwrap();
    }
}

fn wide(at: &Path) {
    for number in 0..ENTRIES {
        let path = at.join(format!("{number:05}"));
        match number % 20 {
            0 => fs::create_dir(path).unwrap(),
            1..10 => drop(File::create(path).unwrap()),
            _ => fs::write(path, number.to_string()).unwrap(),
        }
    }
}

/// Short names, so that the whole path is one that rsync can take.
fn deep(at: &Path) {
    let mut path = at.to_owned();
    for level in 0..LEVELS {
        path.push("d");
        fs::create_dir(&path).unwrap();
        if level % 50 == 0 {
            fs::write(path.join("f"), level.to_string()).unwrap();
        }
    }
    fs::write(path.join("bottom"), "x").unwrap();
}

/// A few blocks far from each other.
fn huge(path: &Path) {
    let file = File::create(path).unwrap();
    file.set_len(HUGE).unwrap();
    for part in 1..8 {
        file.write_all_at(&[b'h'; 10_000], part * (HUGE / 8) + 4096 * part)
            .unwrap();
    }
}

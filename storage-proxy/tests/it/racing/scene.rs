//! What a hostile writer can play with, and what he must not get at through us.
//!
//! ```text
//! tree/       d0 … d3, each with file0 …, fifo0 …, device0 …, leak0 … (to a secret), sub/, subleak; and leak0 … (to outside)
//!   chain/    x/x/x…, each with a file0 and an xleak
//! outside/    the same names as in the tree, all secret
//! aside/      where the writer moves directories to and back; the same names, all secret
//! ```

use std::{
    fs::{self, File},
    os::{fd::OwnedFd, unix::fs::symlink},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, FileType, Mode, makedev, mkfifoat, mknodat};
use vfolder_images::is_root;

use super::witness::Witness;
use crate::support::directory;

/// Directories of each kind, and files of each.
pub const WIDTH: usize = 4;
/// More than the engine keeps open on its way down.
pub const DEPTH: usize = 48;
/// What no file in the tree ever contains.
pub const SECRET: &[u8] = b"not to be read";
/// All that a file in the tree ever contains, zeros apart.
pub const OURS: u8 = b'x';
/// Size of a secret file: with it, no count of the tree is small.
pub const VAST: u64 = 1 << 40;

/// Handles that the writer works through: he goes into no symlink himself.
pub struct Handles {
    pub tree: OwnedFd,
    pub aside: OwnedFd,
    pub directories: Vec<OwnedFd>,
    pub subs: Vec<OwnedFd>,
    pub chain: Vec<OwnedFd>,
    pub files: Vec<File>,
}

pub struct Scene {
    root: PathBuf,
    pub handles: Handles,
    pub witness: Witness,
}

impl Scene {
    /// Builds it in `root`, which is not there yet.
    pub fn build(root: &Path) -> Self {
        let tree = root.join("tree");
        fs::create_dir_all(&tree).unwrap();
        for place in ["outside", "aside"] {
            build_secrets(&root.join(place));
        }
        let mut witness = Witness::new();
        build_tree(&tree, &root.join("outside"), &mut witness);
        let mut chain = tree.join("chain");
        for _ in 0..DEPTH {
            fs::create_dir(&chain).unwrap();
            fs::write(chain.join("file0"), [OURS; 100]).unwrap();
            symlink(root.join("outside"), chain.join("xleak")).unwrap();
            chain.push("x");
        }
        let handles = Handles::open(&tree, &root.join("aside"));
        for place in ["outside", "aside"] {
            witness.watch_secrets(&root.join(place));
        }
        Self {
            root: root.to_owned(),
            handles,
            witness,
        }
    }

    pub fn tree(&self) -> PathBuf {
        self.root.join("tree")
    }

    /// Nobody works on it any more.
    pub fn check_and_remove(self, what: &str) {
        self.witness.check(what);
        for place in ["outside", "aside"] {
            let place = self.root.join(place);
            let secrets = secrets(&place);
            assert!(secrets.len() > WIDTH);
            for secret in secrets {
                let mut start = vec![0; SECRET.len()];
                let file = File::open(&secret).unwrap();
                std::os::unix::fs::FileExt::read_exact_at(&file, &mut start, 0).unwrap();
                assert_eq!(start, SECRET, "{what}: {}", secret.display());
            }
        }
        fs::remove_dir_all(self.root).unwrap();
    }
}

impl Handles {
    fn open(tree: &Path, aside: &Path) -> Self {
        let named = |name: &str| {
            let paths = (0..WIDTH).map(|number| tree.join(format!("d{number}")).join(name));
            paths.collect::<Vec<_>>()
        };
        let levels = (0..DEPTH).map(|level| tree.join("chain").join("x/".repeat(level)));
        let files = named("").into_iter().chain(named("sub")).flat_map(|at| {
            (0..WIDTH).map(move |file| {
                let path = at.join(format!("file{file}"));
                File::options().write(true).open(path).unwrap()
            })
        });
        Self {
            tree: directory(tree),
            aside: directory(aside),
            directories: named("").iter().map(|path| directory(path)).collect(),
            subs: named("sub").iter().map(|path| directory(path)).collect(),
            chain: levels.map(|path| directory(&path)).collect(),
            files: files.collect(),
        }
    }
}

fn build_tree(tree: &Path, outside: &Path, witness: &mut Witness) {
    for number in 0..WIDTH {
        let at = tree.join(format!("d{number}"));
        fs::create_dir_all(at.join("sub")).unwrap();
        symlink(outside, tree.join(format!("leak{number}"))).unwrap();
        symlink(outside.join("sub"), at.join("subleak")).unwrap();
        for file in 0..WIDTH {
            for (name, size) in [("", 20_000), ("sub/", 100)] {
                fs::write(at.join(format!("{name}file{file}")), vec![OURS; size]).unwrap();
            }
            symlink(
                outside.join(format!("file{file}")),
                at.join(format!("leak{file}")),
            )
            .unwrap();
            let fifo = at.join(format!("fifo{file}"));
            mkfifoat(CWD, &fifo, Mode::RWXU).unwrap();
            witness.watch_opens(&fifo);
            if is_root() {
                let device = at.join(format!("device{file}"));
                let kind = FileType::CharacterDevice;
                mknodat(CWD, &device, kind, Mode::RWXU, makedev(1, 3)).unwrap();
                witness.watch_opens(&device);
            }
        }
    }
}

/// Under each name that a walk may come along with.
fn build_secrets(at: &Path) {
    for directory in ["", "sub", "d0", "d0/sub", "d1", "chain", "x", "x/x"] {
        let directory = at.join(directory);
        fs::create_dir_all(&directory).unwrap();
        for file in 0..WIDTH {
            fs::write(directory.join(format!("file{file}")), SECRET).unwrap();
        }
    }
    let vast = at.join("vast");
    fs::write(&vast, SECRET).unwrap();
    File::options()
        .write(true)
        .open(vast)
        .unwrap()
        .set_len(VAST)
        .unwrap();
}

/// All secret files, by their names: what the writer has moved there is not one of them.
fn secrets(at: &Path) -> Vec<PathBuf> {
    let mut found = vec![at.join("vast")];
    for directory in ["", "sub", "d0", "d0/sub", "d1", "chain", "x", "x/x"] {
        found.extend((0..WIDTH).map(|file| at.join(directory).join(format!("file{file}"))));
    }
    found
}

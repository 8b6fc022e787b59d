//! Case B: a tree as package managers make them, with the links and attributes that some copiers lose.

use std::{
    env, fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use fastrand::Rng;
use rustix::fs::{XattrFlags, setxattr};

use crate::Told;

/// Of so many files one has a second name in the store.
const LINKED: u32 = 10;
/// Of so many files one has an extended attribute.
const MARKED: u32 = 20;
/// Files beyond this many are left out, so that the image has room.
const MOST: usize = 60_000;

/// Copies one crate in `scale` of cargo's sources to `root`.
pub fn build(root: &Path, scale: u64, dice: &mut Rng) -> Told<()> {
    let sources = sources()?;
    let failed = |e: io::Error| format!("case B, from {}: {e}", sources.display());
    let mut crates = Vec::new();
    for registry in entries(&sources).map_err(failed)? {
        crates.extend(entries(&registry).map_err(failed)?);
    }
    crates.sort();
    let step = usize::try_from(scale).unwrap_or(usize::MAX);
    let mut tree = Tree {
        store: root.join(".store"),
        files: 0,
        dice,
    };
    fs::create_dir_all(&tree.store).map_err(failed)?;
    for one in crates.iter().step_by(step) {
        if tree.files >= MOST {
            break;
        }
        let Some(name) = one.file_name() else {
            continue;
        };
        tree.copy(one, &root.join(name)).map_err(failed)?;
        let latest = root.join(format!("latest-{}", name.display()));
        symlink(name, latest).map_err(failed)?;
    }
    match tree.files {
        0 => Err(format!(
            "case B: there are no crates in {}; `cargo fetch` and a build bring some",
            sources.display()
        )),
        _ => Ok(()),
    }
}

struct Tree<'a> {
    store: PathBuf,
    files: usize,
    dice: &'a mut Rng,
}

impl Tree<'_> {
    fn copy(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        fs::create_dir(to)?;
        // Sorted, so that the dice fall alike on every machine with the same crates.
        let mut found = entries(from)?;
        found.sort();
        for one in found {
            let Some(name) = one.file_name() else {
                continue;
            };
            let (kind, target) = (fs::symlink_metadata(&one)?.file_type(), to.join(name));
            if kind.is_dir() {
                self.copy(&one, &target)?;
            } else if kind.is_file() {
                fs::copy(&one, &target)?;
                self.adorn(&target)?;
            }
        }
        Ok(())
    }

    fn adorn(&mut self, file: &Path) -> io::Result<()> {
        self.files += 1;
        if self.dice.u32(..LINKED) == 0 {
            fs::hard_link(file, self.store.join(self.files.to_string()))?;
        }
        if self.dice.u32(..MARKED) == 0 {
            let value = self.dice.u64(..).to_le_bytes();
            setxattr(file, "user.vfolder.integrity", &value, XattrFlags::empty())?;
        }
        Ok(())
    }
}

fn sources() -> Told<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".cargo")));
    let home = home.ok_or("case B: neither CARGO_HOME nor HOME is set")?;
    Ok(home.join("registry/src"))
}

fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(directory)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect()
}

//! The trees that are copied and removed.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::FileExt as _,
    path::Path,
};

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use crate::{Told, dependencies, image::Room};

/// All that is drawn is drawn from this, so that every run has the same trees.
const SEED: u64 = 20;
/// Bytes of a small file.
const SMALL: usize = 2560;
const MIB: u64 = 1 << 20;

/// A kind of tree.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub enum Case {
    /// A.
    Small,
    /// B.
    Dependencies,
    /// C.
    Big,
    /// D.
    Sparse,
    /// E.
    Wide,
    /// F.
    Deep,
}

impl Case {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Small,
        Self::Dependencies,
        Self::Big,
        Self::Sparse,
        Self::Wide,
        Self::Deep,
    ];

    /// As CASES and the tables say it.
    pub const fn letter(self) -> &'static str {
        match self {
            Self::Small => "A",
            Self::Dependencies => "B",
            Self::Big => "C",
            Self::Sparse => "D",
            Self::Wide => "E",
            Self::Deep => "F",
        }
    }

    /// What it is.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Small => "100,000 files of 2.5 KiB in 1,000 directories",
            Self::Dependencies => {
                "a real dependency tree: the sources of the crates that cargo has unpacked on this machine \
                 (`$CARGO_HOME/registry/src`); a tenth of the files, drawn with a fixed seed, have a second name in a \
                 store as with pnpm, one in twenty has a `user.*` attribute, each crate has a symlink"
            }
            Self::Big => "8 files of 512 MiB of random bytes",
            Self::Sparse => {
                "one file of 10 GiB, of which 64 MiB in 1,024 scattered extents are data"
            }
            Self::Wide => "200,000 files of 100 bytes in one directory",
            Self::Deep => "1,000 directories, one in the other, with 4 files of 1 KiB in each",
        }
    }

    /// What an image for it and one copy of it needs. For `Sparse` that is not enough for who fills the holes.
    pub fn room(self, scale: u64) -> Room {
        let (bytes, inodes) = match self {
            Self::Small => (100_000 * 4096, 101_000),
            Self::Dependencies => (1536 * MIB, 100_000),
            Self::Big => (8 * 512 * MIB, 16),
            Self::Sparse => (256 * MIB, 16),
            Self::Wide => (200_000 * 4096, 200_000),
            Self::Deep => (5_000 * 4096, 5_000),
        };
        Room {
            bytes: bytes * 9 / 4 / scale,
            inodes: inodes * 9 / 4 / scale + 1000,
        }
    }

    /// Makes the tree at `root`, each count divided by `scale`.
    ///
    /// # Errors
    /// What stands in the way.
    pub fn build(self, root: &Path, scale: u64) -> Told<()> {
        let mut dice = Rng::with_seed(SEED);
        let part = |count: u64| (count / scale).max(1);
        match self {
            Self::Small => small_files(root, part(1000), 100, SMALL, &mut dice),
            Self::Dependencies => return dependencies::build(root, scale, &mut dice),
            Self::Big => big_files(root, 8, part(512 * MIB), &mut dice),
            Self::Sparse => sparse_file(root, part(10 << 30), part(1024), &mut dice),
            Self::Wide => small_files(root, 1, part(200_000), 100, &mut dice),
            Self::Deep => deep(root, part(1000), &mut dice),
        }
        .map_err(|e| format!("case {}: {e}", self.letter()))
    }
}

/// `directories` with `files` of `size` random bytes in each.
pub fn small_files(
    root: &Path,
    directories: u64,
    files: u64,
    size: usize,
    dice: &mut Rng,
) -> io::Result<()> {
    let mut content = vec![0; size];
    for directory in 0..directories {
        let directory = root.join(format!("directory-{directory}"));
        fs::create_dir_all(&directory)?;
        for file in 0..files {
            dice.fill(&mut content);
            fs::write(directory.join(format!("file-{file}")), &content)?;
        }
    }
    Ok(())
}

fn big_files(root: &Path, files: u64, size: u64, dice: &mut Rng) -> io::Result<()> {
    fs::create_dir_all(root)?;
    let mut content = vec![0; 1 << 20];
    for file in 0..files {
        let mut file = File::create(root.join(format!("file-{file}")))?;
        let mut left = usize::try_from(size).unwrap_or(usize::MAX);
        while left > 0 {
            let now = left.min(content.len());
            dice.fill(&mut content[..now]);
            file.write_all(&content[..now])?;
            left -= now;
        }
    }
    Ok(())
}

/// 64 KiB of data at the start of each of so many equal parts.
fn sparse_file(root: &Path, size: u64, extents: u64, dice: &mut Rng) -> io::Result<()> {
    fs::create_dir_all(root)?;
    let file = File::create(root.join("file"))?;
    file.set_len(size)?;
    let mut content = vec![0; 64 << 10];
    for extent in 0..extents {
        dice.fill(&mut content);
        file.write_all_at(&content, extent * (size / extents))?;
    }
    Ok(())
}

fn deep(root: &Path, levels: u64, dice: &mut Rng) -> io::Result<()> {
    let mut content = [0; 1024];
    // Names of one byte: tools that work with whole paths get no further than 4,096 bytes.
    let mut directory = root.to_owned();
    for _ in 0..levels {
        fs::create_dir_all(&directory)?;
        for file in 0..4 {
            dice.fill(&mut content);
            fs::write(directory.join(file.to_string()), content)?;
        }
        directory.push("d");
    }
    Ok(())
}

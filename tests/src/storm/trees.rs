//! What the clients put into trees, and what is found there.
//!
//! A tree is a set of *bundles*: entries of its root, each written as a whole by one client under a name that only this
//! client uses, and told apart by the digest of all that is below it. So the content of a tree is a map from names to
//! digests, and what several clients do to one tree can be told apart again.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

use fastrand::Rng;

/// Of names, types, modes, sizes, contents, targets of symlinks and which names are one file. FNV-1a, 64 bits.
pub type Digest = u64;

/// Each digest with what it is of, for people.
static LISTINGS: Mutex<BTreeMap<Digest, String>> = Mutex::new(BTreeMap::new());

/// What a digest is of.
#[must_use]
pub fn listing(digest: Digest) -> String {
    let known = LISTINGS.lock().unwrap_or_else(PoisonError::into_inner);
    known.get(&digest).cloned().unwrap_or_default()
}

/// Makes a bundle: 2 to 12 files, now and then so many that a clone takes its time; hard links, symlinks, odd modes. Its
/// digest.
///
/// # Errors
/// Those of the filesystem.
pub fn make_bundle(tree: &Path, name: &str, dice: &mut Rng) -> io::Result<Digest> {
    let root = tree.join(name);
    fs::create_dir(&root)?;
    let files = match dice.u32(..24) {
        0 => 1_500,
        1 | 2 => 200,
        _ => dice.u32(2..=12),
    };
    let mut inside = root.clone();
    for number in 0..files {
        if number % 50 == 3 {
            inside = inside.join(format!("d{number}"));
            fs::DirBuilder::new().mode(0o2750).create(&inside)?;
        }
        let path = inside.join(format!("f{number}"));
        let size = dice.usize(..1_000);
        let content: Vec<u8> = (0..size).map(|_| dice.u8(..)).collect();
        fs::write(&path, content)?;
        match dice.u32(..10) {
            0 => fs::set_permissions(&path, fs::Permissions::from_mode(0o4755))?,
            1 => fs::set_permissions(&path, fs::Permissions::from_mode(0o400))?,
            2 => symlink(format!("f{number}"), inside.join(format!("s{number}")))?,
            3 => symlink("/nowhere/../..", inside.join(format!("s{number}")))?,
            4 | 5 => fs::hard_link(&path, root.join(format!("h{number}")))?,
            _ => {}
        }
    }
    digest(&root)
}

/// Removes a bundle.
///
/// # Errors
/// Those of the filesystem.
pub fn remove_bundle(tree: &Path, name: &str) -> io::Result<()> {
    fs::remove_dir_all(tree.join(name))
}

/// The bundles of a tree.
///
/// # Errors
/// Those of the filesystem, among them that something went away meanwhile.
pub fn survey(tree: &Path) -> io::Result<BTreeMap<String, Digest>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(tree)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        found.insert(name, digest(&entry.path())?);
    }
    Ok(found)
}

/// The digest of an entry and all that is below it.
///
/// # Errors
/// Those of the filesystem.
pub fn digest(root: &Path) -> io::Result<Digest> {
    let mut lines = BTreeMap::new();
    let mut files: HashMap<u64, PathBuf> = HashMap::new();
    let mut ahead = vec![root.to_owned()];
    while let Some(path) = ahead.pop() {
        let meta = path.symlink_metadata()?;
        let inner = path.strip_prefix(root).unwrap_or(&path).to_owned();
        let mode = meta.mode() & 0o7777;
        let line = if meta.is_dir() {
            for entry in fs::read_dir(&path)? {
                ahead.push(entry?.path());
            }
            format!("directory {mode:o}")
        } else if meta.is_symlink() {
            format!("symlink to {}", fs::read_link(&path)?.display())
        } else {
            // Of the names of one file the digest knows which belong together, whatever the inode's number is.
            if meta.nlink() > 1 {
                let first = files.entry(meta.ino()).or_insert_with(|| inner.clone());
                if inner < *first {
                    first.clone_from(&inner);
                }
            }
            let content = fs::read(&path)?;
            format!(
                "file {mode:o} {} bytes {:016x} inode {}",
                content.len(),
                fnv(&content),
                if meta.nlink() > 1 { meta.ino() } else { 0 }
            )
        };
        lines.insert(inner, line);
    }
    let mut text = String::new();
    for (path, line) in lines {
        let line = match line.rsplit_once(" inode ") {
            Some((rest, "0")) => rest.to_owned(),
            Some((rest, inode)) => {
                let first = inode.parse().ok().and_then(|inode| files.get(&inode));
                format!(
                    "{rest}, the same as {:?}",
                    first.map(|p| p.display().to_string())
                )
            }
            None => line,
        };
        text += &format!("{}: {line}\n", path.display());
    }
    let digest = fnv(text.as_bytes());
    LISTINGS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .entry(digest)
        .or_insert(text);
    Ok(digest)
}

/// The digest of an empty directory with these permission bits.
#[must_use]
pub fn digest_of_directory(mode: u32) -> Digest {
    fnv(format!(": directory {mode:o}\n").as_bytes())
}

/// The digest of a file with these permission bits, and one name.
#[must_use]
pub fn digest_of_file(mode: u32, content: &[u8]) -> Digest {
    let (size, hash) = (content.len(), fnv(content));
    fnv(format!(": file {mode:o} {size} bytes {hash:016x}\n").as_bytes())
}

/// An archive, and what is in it.
#[derive(Clone, Debug)]
pub struct Archive {
    /// A tar, as GNU tar writes it.
    pub packed: Vec<u8>,
    /// Unpacked into a directory of mode [`Archive::MODE`], that has this digest.
    pub unpacked: Digest,
}

impl Archive {
    /// The permission bits of the directory that it is unpacked into.
    pub const MODE: u32 = 0o710;
}

/// A small archive, one of hundreds of files, and one that takes its time.
///
/// # Errors
/// Those of the filesystem, and of `tar`.
pub fn archives() -> io::Result<Vec<Archive>> {
    let place = tempfile::tempdir()?;
    let archive = |files: usize| {
        let root = place.path().join(files.to_string());
        fs::DirBuilder::new().create(&root)?;
        for number in 0..files {
            let inside = root.join(format!("d{}", number / 50));
            if number % 50 == 0 {
                fs::DirBuilder::new().create(&inside)?;
                symlink("f0", inside.join("link"))?;
            }
            let content = vec![b'.'; number * 37 % 3_000];
            fs::write(inside.join(format!("f{}", number % 50)), content)?;
        }
        fs::set_permissions(&root, fs::Permissions::from_mode(Archive::MODE))?;
        let packed = Command::new("tar")
            .args(["--format=pax", "-cf", "-", "-C"])
            .arg(&root)
            .arg(".")
            .output()?;
        if !packed.status.success() {
            return Err(io::Error::other(format!("tar: {packed:?}")));
        }
        Ok(Archive {
            packed: packed.stdout,
            unpacked: digest(&root)?,
        })
    };
    [5, 200, 1_000].into_iter().map(archive).collect()
}

fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_that_differs_in_one_mode_byte_or_link_has_another_digest() {
        let place = crate::make_root("bundles").unwrap();
        let at = |name: &str| place.path().join(name);
        let make = |name: &str| {
            fs::create_dir(at(name)).unwrap();
            fs::write(at(name).join("a"), "x").unwrap();
            fs::hard_link(at(name).join("a"), at(name).join("b")).unwrap();
            digest(&at(name)).unwrap()
        };
        let first = make("1");
        assert_eq!(make("2"), first, "inode numbers do not count");
        fs::set_permissions(at("2").join("a"), fs::Permissions::from_mode(0o4644)).unwrap();
        assert_ne!(digest(&at("2")).unwrap(), first);
        make("3");
        fs::remove_file(at("3").join("b")).unwrap();
        fs::write(at("3").join("b"), "x").unwrap();
        assert_ne!(digest(&at("3")).unwrap(), first, "a hard link is no copy");
        make("4");
        fs::write(at("4").join("a"), "y").unwrap();
        assert_ne!(digest(&at("4")).unwrap(), first);
    }
}

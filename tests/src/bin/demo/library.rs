//! A real tree to work on: the sources of the crates that VFolder is built from.

use std::{
    env, fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

/// The story needs a tree of at least so many files.
pub(crate) const FILES: usize = 20_000;

/// What was put into the tree.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Filled {
    pub(crate) files: usize,
    pub(crate) bytes: u64,
    pub(crate) shelves: usize,
}

/// Copies the crates' sources into the tree, onto one shelf after the other until there are enough files, and adds a
/// symlink, a hard link and a sparse file.
pub(crate) fn fill(tree: &Path) -> io::Result<Filled> {
    let registry = registry()?;
    let mut filled = Filled::default();
    while filled.files < FILES {
        let before = filled.files;
        let shelf = tree.join(format!("shelf-{}", filled.shelves + 1));
        copy(&registry, &shelf, &mut filled)?;
        filled.shelves += 1;
        if filled.files == before {
            let empty = format!("{} has no files", registry.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, empty));
        }
    }
    symlink("shelf-1", tree.join("newest"))?;
    fs::write(
        tree.join("README"),
        "The sources of everything that VFolder is built from.\n",
    )?;
    fs::hard_link(tree.join("README"), tree.join("README.again"))?;
    fs::File::create(tree.join("sparse"))?.set_len(64 << 20)?;
    filled.files += 4;
    Ok(filled)
}

/// Where cargo unpacks what it has fetched.
fn registry() -> io::Result<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    let sources = home.map(|home| home.join("registry/src"));
    sources.filter(|path| path.is_dir()).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::NotFound,
            "cargo's registry has no unpacked sources",
        )
    })
}

fn copy(from: &Path, to: &Path, filled: &mut Filled) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, to) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &to, filled)?;
        } else if kind.is_file() {
            filled.bytes += fs::copy(entry.path(), to)?;
            filled.files += 1;
        }
    }
    Ok(())
}

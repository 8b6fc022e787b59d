//! What nothing that copies or removes a tree can be faster than: the calls that can't be avoided, from a list that is
//! known before, by two threads.
//!
//! It is no copier. To create: a directory each, and an open, a write and a close for each file; nothing is looked up, read
//! or given any attribute. To remove: an unlink for each file and an rmdir for each directory.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Instant,
};

use nix::sys::resource::UsageWho;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, mkdirat, openat, unlinkat};

use crate::{
    Told,
    measure::{answer, used},
};

const THREADS: usize = 2;

/// A directory and its files, with their sizes.
struct Listed {
    path: PathBuf,
    files: Vec<(String, usize)>,
}

/// Lists the tree at `root`, then measures: "create" makes it again beside, as `<root>.bound`, "remove" removes it.
pub fn serve(verb: &str, root: &Path) -> Told<()> {
    let mut list = Vec::new();
    read(root, Path::new(""), &mut list).map_err(|e| e.to_string())?;
    let largest = list
        .iter()
        .flat_map(|one| one.files.iter().map(|file| file.1))
        .max();
    let content = vec![b'x'; largest.unwrap_or_default()];
    let beside = root.with_extension("bound");
    let (before, _) = used(UsageWho::RUSAGE_SELF)?;
    let begun = Instant::now();
    let done = match verb {
        // From the top, each directory before what is in it; in the other order back.
        "create" => list
            .iter()
            .try_for_each(|one| make(&beside.join(&one.path)))
            .and_then(|()| each(&list, |one| create(&beside, one, &content))),
        "remove" => each(&list, |one| unlink(root, one)).and_then(|()| {
            let all = list.iter().rev();
            all.map(|one| root.join(&one.path))
                .try_for_each(|path| Ok(unlinkat(CWD, path, AtFlags::REMOVEDIR)?))
        }),
        other => return Err(format!("no bound for \"{other}\"")),
    };
    let wall = begun.elapsed().as_secs_f64();
    done.map_err(|e| format!("{verb}: {e}"))?;
    answer(wall, UsageWho::RUSAGE_SELF, before)
}

fn read(root: &Path, below: &Path, list: &mut Vec<Listed>) -> io::Result<()> {
    let mut files = Vec::new();
    let mut folders = Vec::new();
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.push(below.join(entry.file_name()));
        } else {
            let size = usize::try_from(entry.metadata()?.len()).unwrap_or(usize::MAX);
            files.push((entry.file_name().to_string_lossy().into_owned(), size));
        }
    }
    list.push(Listed {
        path: below.to_owned(),
        files,
    });
    folders
        .iter()
        .try_for_each(|folder| read(root, folder, list))
}

/// By two threads, a directory at a time.
fn each(list: &[Listed], work: impl Fn(&Listed) -> io::Result<()> + Sync) -> io::Result<()> {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Ok(()));
    let run = || {
        while let Some(one) = list.get(next.fetch_add(1, Relaxed)) {
            if let Err(error) = work(one) {
                *failed.lock().unwrap_or_else(PoisonError::into_inner) = Err(error);
                return;
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(run);
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn make(directory: &Path) -> io::Result<()> {
    Ok(mkdirat(CWD, directory, Mode::RWXU)?)
}

fn create(root: &Path, listed: &Listed, content: &[u8]) -> io::Result<()> {
    let directory = open_directory(&root.join(&listed.path))?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    for (name, size) in &listed.files {
        let file = openat(&directory, name, flags, Mode::RUSR | Mode::WUSR)?;
        rustix::io::write(&file, &content[..*size])?;
    }
    Ok(())
}

fn unlink(root: &Path, listed: &Listed) -> io::Result<()> {
    let directory = open_directory(&root.join(&listed.path))?;
    for (name, _) in &listed.files {
        unlinkat(&directory, name, AtFlags::empty())?;
    }
    Ok(())
}

fn open_directory(path: &Path) -> io::Result<std::os::fd::OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(CWD, path, flags, Mode::empty())?)
}

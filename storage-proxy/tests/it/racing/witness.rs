//! Sees what is done to files that nobody has any business with: inotify(7).

use std::{
    collections::HashMap,
    fs,
    mem::MaybeUninit,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags},
    io::Errno,
};

/// How names begin that the writers move directories of the tree to.
pub const MOVED: &str = "moved-";

/// Watches files, wherever they are moved to.
pub struct Witness {
    inotify: OwnedFd,
    watched: HashMap<i32, PathBuf>,
}

impl Witness {
    pub fn new() -> Self {
        Self {
            inotify: inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap(),
            watched: HashMap::new(),
        }
    }

    /// That it is opened.
    pub fn watch_opens(&mut self, path: &Path) {
        self.watch(path, WatchFlags::OPEN);
    }

    /// Whatever is done to anything in `directory`, and that it is itself opened.
    pub fn watch_secrets(&mut self, directory: &Path) {
        self.watch_opens(directory);
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.watch_secrets(&path);
            }
        }
        // Last: we have opened it to look.
        for entry in fs::read_dir(directory).unwrap() {
            self.watch(&entry.unwrap().path(), WatchFlags::ALL_EVENTS);
        }
        self.drain();
    }

    /// Fails if it has seen anything.
    pub fn check(&self, what: &str) {
        let seen = self.drain();
        assert!(seen.is_empty(), "{what}: {seen:?}");
    }

    fn watch(&mut self, path: &Path, events: WatchFlags) {
        let events = events | WatchFlags::DONT_FOLLOW;
        let watch = inotify::add_watch(&self.inotify, path, events).unwrap();
        self.watched.insert(watch, path.to_owned());
    }

    /// What was watched, the entry of it that was meant, and what was done.
    fn drain(&self) -> Vec<(PathBuf, String, ReadFlags)> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(&self.inotify, &mut buffer);
        let mut seen = Vec::new();
        loop {
            match events.next() {
                Err(Errno::AGAIN) => return seen,
                event => {
                    let event = event.unwrap();
                    let name = event.file_name().unwrap_or_default().to_string_lossy();
                    // Opened in the tree, and in the next moment moved to where its new parent is watched.
                    let ours = name.starts_with(MOVED);
                    // A fifo or device that was removed is watched no more; a secret one says first that it was deleted.
                    if !ours && event.events() != ReadFlags::IGNORED {
                        let watched = self.watched.get(&event.wd()).cloned();
                        seen.push((watched.unwrap_or_default(), name.into(), event.events()));
                    }
                }
            }
        }
    }
}

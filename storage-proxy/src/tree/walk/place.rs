//! Where a directory is, open while it is needed, with a bounded number of open ones however deep it goes.

use std::{
    collections::VecDeque,
    ffi::{CStr, CString},
    os::fd::{AsFd as _, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use rustix::{
    fs::{OFlags, fstat},
    io,
};

use crate::tree::{
    Fault, Meta, RelativePath,
    error::{looking, system},
    meta::FileId,
    open::{open_directory, open_path},
    path::PATH_MAX,
};

/// How many of the innermost directories of one way down stay open. Coming back up past them costs one way down from
/// the nearest open one, for that many levels.
const WINDOW: usize = 32;

/// How many directories of one walk stay open while nobody is in them: threads on different ways may leave many of them open.
const OPEN: usize = 256;

/// The directories of one walk that were opened, oldest first.
#[derive(Debug, Default)]
struct Opened(Mutex<VecDeque<Weak<Place>>>);

impl Opened {
    /// One more; then the oldest is closed. Whoever is in that one has his own hold on it.
    fn note(&self, place: &Weak<Place>) {
        let mut opened = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        opened.push_back(Weak::clone(place));
        let oldest = (opened.len() > OPEN).then(|| opened.pop_front()).flatten();
        drop(opened);
        if let Some(oldest) = oldest.and_then(|place| place.upgrade()) {
            let closed = oldest.lock().take();
            drop(closed);
        }
    }
}

/// A directory in a tree. It is reopened, when needed, beneath the root and only as the same directory: what a writer
/// moved meanwhile is not followed.
#[derive(Debug)]
pub struct Place {
    parent: Option<Arc<Self>>,
    name: CString,
    depth: usize,
    id: FileId,
    open: Mutex<Option<Arc<OwnedFd>>>,
    me: Weak<Self>,
    opened: Arc<Opened>,
}

impl Place {
    /// A tree's root, which stays open.
    ///
    /// # Errors
    /// Those of fstat(2).
    pub fn root(directory: OwnedFd) -> io::Result<Arc<Self>> {
        let id = Meta::from(fstat(&directory)?).id;
        Ok(Arc::new_cyclic(|me| Self {
            parent: None,
            name: CString::default(),
            depth: 0,
            id,
            open: Mutex::new(Some(Arc::new(directory))),
            me: Weak::clone(me),
            opened: Arc::default(),
        }))
    }

    /// The entry `name` of this one: `directory`, which the caller has opened and whose id it has looked up.
    #[must_use]
    pub fn child(self: &Arc<Self>, name: &CStr, id: FileId, directory: OwnedFd) -> Arc<Self> {
        let child = Arc::new_cyclic(|me| Self {
            parent: Some(Arc::clone(self)),
            name: name.to_owned(),
            depth: self.depth + 1,
            id,
            open: Mutex::new(Some(Arc::new(directory))),
            me: Weak::clone(me),
            opened: Arc::clone(&self.opened),
        });
        self.opened.note(&child.me);
        if child.depth > WINDOW {
            let mut outer = &child;
            for _ in 0..WINDOW {
                match &outer.parent {
                    Some(parent) => outer = parent,
                    None => return child,
                }
            }
            if outer.parent.is_some() {
                *outer.lock() = None;
            }
        }
        child
    }

    /// Which directory it is.
    #[must_use]
    pub fn id(&self) -> FileId {
        self.id
    }

    /// Its name in the directory that contains it; empty for the root.
    #[must_use]
    pub fn name(&self) -> &CStr {
        &self.name
    }

    /// Where the directory is that contains it; nothing for the root.
    #[must_use]
    pub fn parent(&self) -> Option<&Arc<Self>> {
        self.parent.as_ref()
    }

    /// The directory, open for reading.
    ///
    /// # Errors
    /// [`Fault::Gone`] or [`Fault::Changed`] if it had to be reopened and is not there any more.
    pub fn open(&self) -> Result<Arc<OwnedFd>, Fault> {
        if let Some(open) = &*self.lock() {
            return Ok(Arc::clone(open));
        }
        self.reopen()
    }

    /// The path of the entry `name` of this directory from the root; of the directory itself if `name` is empty.
    #[must_use]
    pub fn path_of(&self, name: &CStr) -> Vec<u8> {
        let mut names = vec![name.to_bytes()];
        let mut at = Some(self);
        while let Some(place) = at {
            names.push(place.name.to_bytes());
            at = place.parent.as_deref();
        }
        names.retain(|name| !name.is_empty());
        names.reverse();
        names.join(&b'/')
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<OwnedFd>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reopen(&self) -> Result<Arc<OwnedFd>, Fault> {
        let mut closed = Vec::new();
        let mut at = self;
        let mut outer = loop {
            if let Some(open) = &*at.lock() {
                break Arc::clone(open);
            }
            closed.push(at);
            match &at.parent {
                Some(parent) => at = parent,
                None => return Err(Fault::Gone), // a root stays open
            }
        };
        closed.reverse();
        let (passed, kept) = closed.split_at(closed.len().saturating_sub(WINDOW));
        let mut passed = passed;
        while !passed.is_empty() {
            let (path, names) = longest_path(passed);
            let directory = open_path(&outer, &path, OFlags::RDONLY | OFlags::DIRECTORY)
                .map_err(looking("open"))?;
            passed[names - 1].check(&directory)?;
            outer = Arc::new(directory);
            passed = &passed[names..];
        }
        for place in kept {
            let directory = open_directory(outer.as_fd(), &place.name).map_err(looking("open"))?;
            place.check(&directory)?;
            outer = Arc::clone(place.lock().get_or_insert(Arc::new(directory)));
            place.opened.note(&place.me);
        }
        Ok(outer)
    }

    fn check(&self, directory: &OwnedFd) -> Result<(), Fault> {
        let found = Meta::from(fstat(directory).map_err(system("fstat"))?).id;
        if found == self.id {
            Ok(())
        } else {
            Err(Fault::Changed)
        }
    }
}

impl Drop for Place {
    /// One by one: a chain of thousands of parents would overflow the stack.
    fn drop(&mut self) {
        let mut next = self.parent.take();
        while let Some(mut last) = next.and_then(Arc::into_inner) {
            next = last.parent.take();
        }
    }
}

/// As many of `places`, each in the one before, as one path may have, and how many those are: at least one.
fn longest_path(places: &[&Place]) -> (RelativePath, usize) {
    let mut bytes = Vec::with_capacity(PATH_MAX);
    let mut names = 0;
    for place in places {
        let name = place.name.to_bytes();
        if names > 0 && bytes.len() + 1 + name.len() >= PATH_MAX {
            break;
        }
        if names > 0 {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name);
        names += 1;
    }
    // Names that directories have told: none of them is empty, "." or "..".
    (
        RelativePath::parse(&bytes).unwrap_or_else(|_| RelativePath::root()),
        names,
    )
}

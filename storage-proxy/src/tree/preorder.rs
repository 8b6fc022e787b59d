//! The way through a tree in a fixed order: of each directory the entries in byte order, each directory followed by what is
//! in it. It can be left anywhere and gone on with later, also when the place where it was left is gone by then.
//!
//! Memory is bounded in the tree's width by what one reading keeps ([`Names`]), and in its depth by what a path may have in
//! it; what is kept of the outer directories is dropped when it becomes too much, and read again on the way back. Of the
//! directories on the way down, a bounded number is open ([`Place`]).

use std::{
    ffi::{CStr, CString},
    os::fd::AsFd as _,
    sync::Arc,
};

use rustix::fs::fstat;

use super::{
    Entry, Fault, FileKind, Meta, Names, Order, Position, Reading, RelativePath, TreeError,
    TreeRoot,
    entry::describe,
    error::{looking, system},
    names::MOST,
    open::open_directory,
    path::PATH_MAX,
    walk::Place,
};

/// Bytes at most that the names of all directories on the way down take, those of the innermost apart.
const ROOM: usize = 2 * MOST;

/// Somebody on the way.
#[derive(Debug)]
pub struct Preorder<'a> {
    reading: Reading<'a>,
    max_depth: usize,
    levels: Vec<Level>,
    /// Of the entry told last, from the tree's root.
    path: Vec<u8>,
    /// The entry told last may be a directory, to be entered now.
    inner: Option<CString>,
}

/// A directory on the way down.
#[derive(Debug)]
struct Level {
    place: Arc<Place>,
    path_bytes: usize,
    /// The name told last.
    last: Option<Position>,
    /// The names from `at` on come next. Nothing: they are to be read.
    names: Option<Arc<Names>>,
    at: usize,
}

/// An entry on the way: [`Preorder::path`] says where.
#[derive(Debug)]
pub struct Spot {
    /// Its name.
    pub name: CString,
}

impl<'a> Preorder<'a> {
    /// Begins with what is in the directory at `base`, or goes on after the entry at `after`, which is below `base`. Enters
    /// `max_depth` levels at most: 1 is `base` itself.
    ///
    /// # Errors
    /// As [`TreeRoot::directory`].
    pub fn new(
        root: &TreeRoot,
        base: &RelativePath,
        after: Option<&RelativePath>,
        max_depth: usize,
        reading: Reading<'a>,
    ) -> Result<Self, TreeError> {
        let at_base = |fault| TreeError::new(fault, base.as_bytes());
        let directory = root.directory(base).map_err(at_base)?;
        let place = Place::root(directory).map_err(|errno| at_base(system("fstat")(errno)))?;
        let mut walk = Self {
            reading,
            max_depth,
            levels: vec![Level::new(place, base.as_bytes().len())],
            path: base.as_bytes().to_vec(),
            inner: None,
        };
        let skipped = base.components().count();
        let names = after.into_iter().flat_map(RelativePath::components);
        for name in names.skip(skipped) {
            let Some(level) = walk.levels.last_mut() else {
                break;
            };
            level.last = Some(Position::named(name.clone()));
            let depth = walk.levels.len();
            walk.set_path(&name);
            // What is gone, or no directory any more, has nothing after it but its neighbours.
            if depth >= walk.max_depth || !walk.enter(&name)? {
                break;
            }
        }
        Ok(walk)
    }

    /// The next entry; nothing at the end. What can't be named in a request, since its path has [`PATH_MAX`] bytes or more,
    /// is passed over.
    ///
    /// # Errors
    /// The fault and where.
    pub fn advance(&mut self) -> Result<Option<Spot>, TreeError> {
        let check = self.reading.control.check();
        check.map_err(|fault| TreeError::new(fault, Vec::new()))?;
        if let Some(name) = self.inner.take() {
            self.enter(&name)?;
        }
        while let Some(level) = self.levels.last_mut() {
            let found = match level.advance(self.reading) {
                Ok(found) => found,
                // Removed meanwhile, or moved away: it has no more entries.
                Err(Fault::Gone | Fault::Changed) => None,
                Err(fault) => {
                    self.path.truncate(level.path_bytes);
                    return Err(TreeError::new(fault, self.path.clone()));
                }
            };
            let Some((name, kind)) = found else {
                self.levels.pop();
                continue;
            };
            self.set_path(&name);
            if self.path.len() >= PATH_MAX {
                continue;
            }
            let may_be_directory = matches!(kind, FileKind::Directory | FileKind::Unknown);
            if may_be_directory && self.levels.len() < self.max_depth {
                self.inner = Some(name.clone());
            }
            return Ok(Some(Spot { name }));
        }
        Ok(None)
    }

    /// Where the entry told last is, from the tree's root.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// What the entry told last is; nothing if it is gone.
    ///
    /// # Errors
    /// The fault and where.
    pub fn describe(&self, spot: &Spot) -> Result<Option<Entry>, TreeError> {
        let Some(level) = self.levels.last() else {
            return Ok(None);
        };
        let described = level.place.open();
        let described = described.and_then(|handle| describe(&*handle, spot.name.clone()));
        match described {
            Ok(entry) => Ok(Some(entry)),
            Err(Fault::Gone | Fault::Changed) => Ok(None),
            Err(fault) => Err(TreeError::new(fault, self.path.clone())),
        }
    }

    /// Keeps what was read for whoever goes on.
    pub fn keep(&self) {
        for level in &self.levels {
            if let Some(names) = &level.names {
                let id = level.place.id();
                let shelf = self.reading.shelf;
                shelf.keep(id, Order::default(), names, level.at);
            }
        }
    }

    fn set_path(&mut self, name: &CStr) {
        let outer = self.levels.last().map_or(0, |level| level.path_bytes);
        self.path.truncate(outer);
        if !self.path.is_empty() {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name.to_bytes());
    }

    /// Goes into the directory `name`, to which the path leads. Answers false if it is none.
    fn enter(&mut self, name: &CStr) -> Result<bool, TreeError> {
        let Some(level) = self.levels.last() else {
            return Ok(false);
        };
        let entered = level.place.open().and_then(|handle| {
            let directory = open_directory(handle.as_fd(), name).map_err(looking("open"))?;
            let id = Meta::from(fstat(&directory).map_err(system("fstat"))?).id;
            Ok(level.place.child(name, id, directory))
        });
        match entered {
            Ok(place) => {
                self.levels.push(Level::new(place, self.path.len()));
                self.make_room();
                Ok(true)
            }
            Err(Fault::Gone | Fault::Changed) => Ok(false),
            Err(fault) => Err(TreeError::new(fault, self.path.clone())),
        }
    }

    /// The outermost names are needed last.
    fn make_room(&mut self) {
        let bytes = |level: &Level| level.names.as_ref().map_or(0, |names| names.bytes());
        let mut all: usize = self.levels.iter().map(bytes).sum();
        for level in &mut self.levels {
            if all <= ROOM {
                break;
            }
            all -= bytes(level);
            level.names = None;
        }
    }
}

impl Level {
    fn new(place: Arc<Place>, path_bytes: usize) -> Self {
        Self {
            place,
            path_bytes,
            last: None,
            names: None,
            at: 0,
        }
    }

    fn advance(&mut self, reading: Reading<'_>) -> Result<Option<(CString, FileKind)>, Fault> {
        loop {
            let names = match &self.names {
                Some(names) => names,
                None => {
                    let (handle, id) = (self.place.open()?, self.place.id());
                    let (order, last) = (Order::default(), self.last.as_ref());
                    let names = reading.names(handle.as_fd(), id, order, last)?;
                    self.at = names.first_after(last);
                    self.names.insert(names)
                }
            };
            if let Some(name) = names.get(self.at) {
                self.at += 1;
                self.last = Some(name.position());
                return Ok(Some((name.name.to_owned(), name.kind)));
            }
            let Some(rest) = names.rest_after() else {
                return Ok(None);
            };
            self.last = Some(rest);
            self.names = None;
        }
    }
}

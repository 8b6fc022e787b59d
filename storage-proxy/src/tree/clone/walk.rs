//! The way through the source, directories finished after all that is in them.

use std::{
    ffi::CStr,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::Path,
    sync::Arc,
};

use rustix::{
    fs::{Mode, fstat, mkdirat},
    io::Errno,
};

use super::{
    entry::{Copied, EntryCopier},
    links::Links,
};
use crate::{
    faults::at,
    tree::{
        Control, Fault, FileKind, Meta, TreeError, Workers,
        error::{looking, system},
        open::open_directory,
        walk::{Dir, Entered, Found, Leave, Place, Visitor, walk},
    },
};

/// Where a copy goes. Nobody but the caller may have access to either directory until the copy is complete.
#[derive(Clone, Copy, Debug)]
pub struct CloneTarget<'a> {
    /// The directory that will contain the copy.
    pub parent: BorrowedFd<'a>,
    /// The copy's name in it; must be free.
    pub name: &'a CStr,
    /// An empty directory on the same filesystem, for the names that hard-linked files have meanwhile. Empty again
    /// after success. Open for reading.
    pub links: BorrowedFd<'a>,
}

/// Copies the tree below `source`, a directory open for reading, to `target`. Nothing is synced.
///
/// # Errors
/// The first fault and where. What was copied until then stays for the caller to remove.
pub fn clone_tree(
    source: BorrowedFd<'_>,
    target: CloneTarget<'_>,
    workers: Workers,
    control: &Control,
) -> Result<(), TreeError> {
    let at_root = |fault| TreeError::new(fault, Vec::new());
    if !Path::new("/proc/self/fd").exists() {
        return Err(at_root(Fault::NoProc));
    }
    let clone = Clone {
        links: Links::new(target.links).map_err(at_root)?,
        control,
    };
    let root = clone.root(source, &target).map_err(at_root)?;
    walk(&clone, root, workers, control)?;
    clone.links.forget().map_err(at_root)
}

struct Clone<'a> {
    links: Links,
    control: &'a Control,
}

/// The copy of a directory.
#[derive(Debug)]
struct Target {
    place: Arc<Place>,
}

impl Clone<'_> {
    fn root(
        &self,
        source: BorrowedFd<'_>,
        target: &CloneTarget<'_>,
    ) -> Result<Entered<Target>, Fault> {
        let source = open_directory(source, c".").map_err(system("open"))?;
        let meta = describe(&source)?;
        mkdirat(target.parent, target.name, Mode::RWXU).map_err(system("mkdirat"))?;
        let made = open_directory(target.parent, target.name).map_err(system("open"))?;
        Ok(Entered {
            directory: source,
            meta,
            data: Target {
                place: Place::root(made).map_err(system("fstat"))?,
            },
        })
    }
}

impl Visitor for Clone<'_> {
    type Worker = EntryCopier;
    type Data = Target;

    fn worker(&self) -> EntryCopier {
        EntryCopier::default()
    }

    /// Makes the copy of the directory `name` and goes into both.
    fn enter(
        &self,
        copier: &mut EntryCopier,
        parent: &Dir<Target>,
        handle: BorrowedFd<'_>,
        name: &CStr,
    ) -> Result<Option<Entered<Target>>, Fault> {
        at("clone.copying").map_err(system("write"))?;
        let to = parent.data.place.open()?;
        let hint = FileKind::Directory;
        let copied = copier.copy(handle, to.as_fd(), name, hint, &self.links, self.control)?;
        let source = match copied {
            Copied::Done => {
                self.control.entry_done();
                return Ok(None);
            }
            Copied::Directory(source) => source,
        };
        let meta = describe(&source)?;
        match mkdirat(&to, name, Mode::RWXU) {
            // A directory that a writer changes may show a name twice.
            Err(Errno::EXIST) => return Ok(None),
            done => done.map_err(system("mkdirat"))?,
        }
        let made = open_directory(&to, name).map_err(system("open"))?;
        let id = describe(&made)?.id;
        Ok(Some(Entered {
            directory: source,
            meta,
            data: Target {
                place: parent.data.place.child(name, id, made),
            },
        }))
    }

    fn entry(
        &self,
        copier: &mut EntryCopier,
        dir: &Dir<Target>,
        handle: BorrowedFd<'_>,
        name: &CStr,
        hint: FileKind,
    ) -> Result<Found, Fault> {
        at("clone.copying").map_err(system("write"))?;
        let to = dir.data.place.open()?;
        match copier.copy(handle, to.as_fd(), name, hint, &self.links, self.control)? {
            Copied::Directory(_) => Ok(Found::Directory),
            Copied::Done => {
                self.control.entry_done();
                Ok(Found::Done)
            }
        }
    }

    /// Nothing will be made in the directory any more: it gets its owner, mode and times.
    fn leave(&self, copier: &mut EntryCopier, dir: &Dir<Target>) -> Result<Leave, Fault> {
        let source = match dir.place.open() {
            // Removed meanwhile.
            Err(Fault::Gone) => None,
            found => Some(found?),
        };
        let target = dir.data.place.open()?;
        let source = source.as_ref().map(|source| source.as_fd());
        copier
            .attributes
            .copy_open(source, target.as_fd(), &dir.meta)?;
        self.control.entry_done();
        Ok(Leave::Done)
    }
}

fn describe(directory: &OwnedFd) -> Result<Meta, Fault> {
    fstat(directory).map(Meta::from).map_err(looking("fstat"))
}

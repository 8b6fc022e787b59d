//! Puts what is in a tree into an archive.

use std::{
    ffi::CStr,
    fs::File,
    io::{self, Read},
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::{
    fs::{AtFlags, fstat, readlinkat, statat},
    io::Errno,
};
use vfolder_common::{
    error::{Reason, Refusal},
    path::shown,
};

use super::{
    links::Links,
    sink::{Sink, Unsent},
};
use crate::{
    archive::{Entry, Format, What, Writer, is_too_large},
    refuse,
    tree::{
        Control, Fault, FileKind, Meta, RelativePath, TreeError, TreeRoot, Workers,
        error::{looking, named, system},
        open::{open_directory, open_regular},
        walk::{Dir, Entered, Found, Leave, Visitor, walk},
    },
};

/// What is to be put into the archive: a tree, and paths in it.
pub(super) struct Chosen {
    tree: TreeRoot,
    paths: Vec<RelativePath>,
}

impl Chosen {
    /// Once there is something at each of `paths`.
    pub fn look(tree: &TreeRoot, paths: Vec<RelativePath>) -> Result<Self, Refusal> {
        let refused = |path: &RelativePath| {
            let path = path.to_string();
            move |fault| refuse::by_fault(fault, &path)
        };
        let root = RelativePath::root();
        let own = tree.directory(&root).map_err(refused(&root))?;
        for path in &paths {
            if let Some((above, name)) = path.split_last() {
                let parent = tree.directory(&above).map_err(refused(path))?;
                statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(named("fstatat"))
                    .map_err(refused(path))?;
            }
        }
        Ok(Self {
            tree: TreeRoot::new(own),
            paths,
        })
    }
}

/// Why there is no whole archive.
pub(super) enum Failure {
    /// The reader has gone or does not read, or the tree was taken away.
    Unsent,
    Refused(Refusal),
}

/// Makes the archive and sends it.
pub(super) fn pack(
    chosen: &Chosen,
    format: Format,
    sink: Sink<'_>,
    control: &Control,
) -> Result<(), Failure> {
    let writer = Writer::new(format, sink).map_err(|error| failure(error, b""))?;
    let pack = Pack {
        control,
        state: Mutex::new(State {
            writer,
            links: Links::default(),
            prefix: Vec::new(),
            failed: None,
        }),
    };
    for path in &chosen.paths {
        let packed = pack.path(&chosen.tree, path);
        if let Some(failed) = pack.state().failed.take() {
            return Err(failed);
        }
        packed.map_err(|error| Failure::Refused(refuse::by_tree(&error)))?;
    }
    let state = pack.state.into_inner();
    let writer = state.unwrap_or_else(PoisonError::into_inner).writer;
    let sent = writer.finish().and_then(Sink::finish);
    sent.map_err(|error| failure(error, b""))
}

struct Pack<'a> {
    control: &'a Control,
    state: Mutex<State<'a>>,
}

struct State<'a> {
    writer: Writer<Sink<'a>>,
    links: Links,
    /// The path of the directory that is walked.
    prefix: Vec<u8>,
    /// Why the walk ended, where it was not for the tree.
    failed: Option<Failure>,
}

impl<'a> Pack<'a> {
    fn path(&self, tree: &TreeRoot, path: &RelativePath) -> Result<(), TreeError> {
        let at = |fault| TreeError::new(fault, path.as_bytes());
        self.control.check().map_err(at)?;
        let directory = match path.split_last() {
            None => Some(tree.directory(path).map_err(at)?),
            Some((above, name)) => {
                let parent = tree.directory(&above).map_err(at)?;
                match self
                    .put(parent.as_fd(), &name, path.as_bytes())
                    .map_err(at)?
                {
                    Found::Directory => {
                        let opened = open_directory(&parent, &name).map_err(looking("open"));
                        let directory = opened.map_err(at)?;
                        self.put_directory(&directory, path.as_bytes())
                            .map_err(at)?;
                        Some(directory)
                    }
                    _ => None,
                }
            }
        };
        let Some(directory) = directory else {
            return Ok(());
        };
        self.state().prefix = path.as_bytes().to_vec();
        let root = entered(directory).map_err(at)?;
        // One thread: an archive is one after the other.
        walk(self, root, Workers::ONE, self.control)
    }

    /// Puts anything but a directory.
    fn put(&self, parent: BorrowedFd<'_>, name: &CStr, path: &[u8]) -> Result<Found, Fault> {
        let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).map_err(looking("fstatat"))?;
        let meta = Meta::from(stat);
        match meta.kind {
            FileKind::Directory => return Ok(Found::Directory),
            FileKind::Regular => self.put_file(parent, name, path)?,
            FileKind::Symlink => {
                let target = readlinkat(parent, name, Vec::new()).map_err(looking("readlinkat"))?;
                self.write(
                    path,
                    &meta,
                    What::Symlink(target.to_bytes()),
                    &mut io::empty(),
                )?;
            }
            FileKind::Fifo => self.write(path, &meta, What::Fifo, &mut io::empty())?,
            // Of this machine, and of no use elsewhere.
            FileKind::Socket
            | FileKind::CharacterDevice
            | FileKind::BlockDevice
            | FileKind::Unknown => {}
        }
        Ok(Found::Done)
    }

    fn put_file(&self, parent: BorrowedFd<'_>, name: &CStr, path: &[u8]) -> Result<(), Fault> {
        let (file, meta) = match open_regular(parent, name, self.control) {
            // Something else than a moment ago.
            Err(Fault::Changed) => return Err(self.fail(changed(path))),
            opened => opened?,
        };
        let first = {
            let mut state = self.state();
            let links = state.writer.has_hard_links() && meta.links > 1;
            links.then(|| state.links.find(&meta)).flatten()
        };
        if let Some(first) = first {
            return self.write(path, &meta, What::HardLink(&first), &mut io::empty());
        }
        let file = File::from(file);
        let mut body = Body {
            file: &file,
            control: self.control,
        };
        let what = What::File { size: meta.size };
        self.write(path, &meta, what, &mut body)?;
        let now = Meta::from(fstat(&file).map_err(system("fstat"))?);
        if (now.size, now.modified, now.changed) != (meta.size, meta.modified, meta.changed) {
            return Err(self.fail(changed(path)));
        }
        if meta.links > 1 {
            self.state().links.note(&meta, path);
        }
        Ok(())
    }

    fn put_directory(&self, directory: &OwnedFd, path: &[u8]) -> Result<(), Fault> {
        let meta = Meta::from(fstat(directory).map_err(system("fstat"))?);
        self.write(path, &meta, What::Directory, &mut io::empty())
    }

    fn write(
        &self,
        path: &[u8],
        meta: &Meta,
        what: What<'_>,
        data: &mut dyn Read,
    ) -> Result<(), Fault> {
        let entry = Entry {
            name: path,
            what,
            mode: meta.mode,
            uid: meta.uid,
            gid: meta.gid,
            modified: meta.modified,
        };
        let written = self.state().writer.entry(&entry, data);
        written.map_err(|error| self.fail(failure(error, path)))
    }

    /// Notes why, and ends the walk.
    fn fail(&self, failure: Failure) -> Fault {
        self.state().failed.get_or_insert(failure);
        Fault::Cancelled
    }

    fn state(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path_of(&self, dir: &Dir<()>, name: &CStr) -> Vec<u8> {
        let below = dir.place.path_of(name);
        let mut path = self.state().prefix.clone();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend(below);
        path
    }
}

impl Visitor for Pack<'_> {
    type Worker = ();
    type Data = ();

    fn worker(&self) {}

    fn enter(
        &self,
        (): &mut (),
        parent: &Dir<()>,
        handle: BorrowedFd<'_>,
        name: &CStr,
    ) -> Result<Option<Entered<()>>, Fault> {
        let path = self.path_of(parent, name);
        let directory = match open_directory(handle, name).map_err(looking("open")) {
            Err(Fault::Changed) => return Err(self.fail(changed(&path))),
            opened => opened?,
        };
        self.put_directory(&directory, &path)?;
        entered(directory).map(Some)
    }

    fn entry(
        &self,
        (): &mut (),
        dir: &Dir<()>,
        handle: BorrowedFd<'_>,
        name: &CStr,
        _: FileKind,
    ) -> Result<Found, Fault> {
        self.put(handle, name, &self.path_of(dir, name))
    }

    fn leave(&self, (): &mut (), _: &Dir<()>) -> Result<Leave, Fault> {
        Ok(Leave::Done)
    }
}

/// A file's data. It may end too soon, which whoever writes it tells.
struct Body<'a> {
    file: &'a File,
    control: &'a Control,
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Nobody is told: either the reader has gone, or the tree was taken away.
        let stopped = |_| io::Error::other(Unsent::Gone);
        self.control.check().map_err(stopped)?;
        self.file.read(buffer)
    }
}

fn entered(directory: OwnedFd) -> Result<Entered<()>, Fault> {
    let meta = Meta::from(fstat(&directory).map_err(system("fstat"))?);
    Ok(Entered {
        directory,
        meta,
        data: (),
    })
}

/// What came of writing the entry at `path`.
fn failure(error: io::Error, path: &[u8]) -> Failure {
    let shown = shown(path);
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return changed(path);
    }
    if is_too_large(&error) {
        let text = format!("the archive {error}");
        return Failure::Refused(Refusal::new(Reason::ArchiveTooLarge, text));
    }
    match error.downcast::<Unsent>() {
        Ok(_) => Failure::Unsent,
        Err(error) => {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            Failure::Refused(refuse::by_fault(Fault::System("read", errno), &shown))
        }
    }
}

fn changed(path: &[u8]) -> Failure {
    let shown = shown(path);
    let text = format!(
        "\"{shown}\" was changed while it was put into the archive, which is no use now; ask for it again when nobody writes there"
    );
    Failure::Refused(
        Refusal::new(Reason::FileChanged, text).with_resource("file", shown, "changed"),
    )
}

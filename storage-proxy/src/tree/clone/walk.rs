//! The way through the source, directories finished after all that is in them.

use std::{
    ffi::CStr,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use rustix::{
    fs::{Mode, fstat, mkdirat},
    io::{Errno, fcntl_dupfd_cloexec},
    process::{getegid, geteuid},
};

use super::{
    alike::shown_twice,
    checkpoint::{Checkpoint, Ongoing, Resume},
    digest::CopyDigest,
    entry::{Copied, Copying, Destination, EntryCopier, PutOff},
    habits::Habits,
    links::Links,
    resume::{discard, remove_what_vanished, undress},
};
use crate::{
    faults::at,
    tree::{
        Control, Fault, FileKind, Meta, TreeError, Workers,
        digest::{Digester, PathDigest, Scratch, TreeDigest},
        error::{looking, system},
        meta::FileId,
        open::open_directory,
        walk::{Dir, Entered, Found, Leave, Place, Visitor, walk},
    },
};

/// Where a copy goes. Nobody but the caller may have access to either directory until the copy is complete.
#[derive(Clone, Copy)]
pub struct CloneTarget<'a> {
    /// The directory that will contain the copy.
    pub parent: BorrowedFd<'a>,
    /// The copy's name in it; must be free, but for what is gone on with.
    pub name: &'a CStr,
    /// A directory on the same filesystem, for the names that hard-linked files have meanwhile. What is in it is removed.
    /// Empty after success. Open for reading.
    pub links: BorrowedFd<'a>,
    /// The copy's root, open, where the caller has made it, in this life or an earlier one: `links` may be in it.
    pub root: Option<BorrowedFd<'a>>,
    /// To go on with what an earlier attempt at the same copy has left, if anything: what is known of that.
    pub resume: Option<&'a Checkpoint>,
    /// Will tell how far the large files are.
    pub ongoing: &'a Ongoing,
    /// To digest the copy while it is made ([`Cloned::digest`]): what `digest` is given, too. Not of a copy that is gone on
    /// with.
    pub digest: Option<&'a Scratch<'a>>,
}

/// What was done for a copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cloned {
    /// Entries that an earlier attempt had left and that were kept.
    pub kept_entries: u64,
    /// Entries that it had left and that had to be copied again, at least in part.
    pub redone_entries: u64,
    /// Bytes of file data in them.
    pub kept_bytes: u64,
    /// The copy's digest, if it was asked for and all of it was copied now.
    pub digest: Option<TreeDigest>,
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
) -> Result<Cloned, TreeError> {
    let at_root = |fault| TreeError::new(fault, Vec::new());
    if !Path::new("/proc/self/fd").exists() {
        return Err(at_root(Fault::NoProc));
    }
    let around = fstat(target.parent).map_err(system("fstat"));
    let clone = Clone {
        around: Meta::from(around.map_err(at_root)?).id,
        job: Copying {
            links: Links::new(target.links).map_err(at_root)?,
            resume: target.resume.map(Resume::from),
            ongoing: target.ongoing,
            habits: Habits::on(target.parent),
            control,
        },
        put_off: match workers.get() {
            1 => PutOff::Nothing,
            _ => PutOff::Large,
        },
        us: (geteuid().as_raw(), getegid().as_raw()),
        // What is kept was not read.
        digester: match (target.resume, target.digest) {
            (None, Some(scratch)) => Some(Arc::new(Digester::new(scratch))),
            _ => None,
        },
        kept_entries: AtomicU64::new(0),
        redone_entries: AtomicU64::new(0),
        kept_bytes: AtomicU64::new(0),
    };
    // What they lead to was not looked at yet.
    clone.job.links.forget(control).map_err(at_root)?;
    let root = clone.root(source, &target).map_err(at_root)?;
    walk(&clone, root, workers, control)?;
    clone.job.links.forget(control).map_err(at_root)?;
    let digester = clone.digester.as_ref();
    let digest = digester.map(|of| of.finish(control)).transpose();
    let digest = digest.map_err(at_root)?;
    Ok(Cloned {
        kept_entries: clone.kept_entries.into_inner(),
        redone_entries: clone.redone_entries.into_inner(),
        kept_bytes: clone.kept_bytes.into_inner(),
        digest,
    })
}

struct Clone<'a> {
    /// The directory that the copy is in: by way of a bind mount it can be in the source, where no path tells.
    around: FileId,
    job: Copying<'a>,
    put_off: PutOff,
    /// Our effective user and group.
    us: (u32, u32),
    /// Takes in what is copied, where that is wanted.
    digester: Option<Arc<Digester<'a>>>,
    kept_entries: AtomicU64,
    redone_entries: AtomicU64,
    kept_bytes: AtomicU64,
}

/// The copy of a directory.
#[derive(Debug)]
struct Target {
    place: Arc<Place>,
    /// Whose it is until it is left, user and group: nobody but us can have changed it.
    owner: (u32, u32),
    /// See [`Destination`].
    files_owner: Option<(u32, u32)>,
    /// Where it is in the copy, if that is digested.
    path: Option<PathDigest>,
    /// An earlier life has made it.
    resumed: bool,
}

impl Target {
    fn destination<'a>(&self, open: &'a OwnedFd) -> Destination<'a> {
        Destination {
            directory: open.as_fd(),
            owner: self.files_owner,
            path: self.path,
        }
    }
}

impl Clone<'_> {
    fn root(
        &self,
        source: BorrowedFd<'_>,
        target: &CloneTarget<'_>,
    ) -> Result<Entered<Target>, Fault> {
        let source = open_directory(source, c".").map_err(system("open"))?;
        let meta = describe(&source)?;
        let (made, resumed) = match target.root {
            Some(root) => {
                if target.resume.is_some() {
                    undress(root)?;
                }
                let root = fcntl_dupfd_cloexec(root, 0).map_err(system("dup"))?;
                (root, target.resume.is_some())
            }
            None => self
                .make(target.parent, target.name)?
                .ok_or(Fault::Exists)?,
        };
        let owner = describe(&made)?;
        let owner = (owner.uid, owner.gid);
        Ok(Entered {
            directory: source,
            meta,
            data: Target {
                place: Place::root(made).map_err(system("fstat"))?,
                owner,
                files_owner: self.owner_in(owner),
                path: self.digester.as_ref().map(|of| CopyDigest::new(of).root()),
                resumed,
            },
        })
    }

    /// Makes the directory `name` in `to`, or takes the one that an earlier life has made: then the answer says so.
    /// Nothing, if it has been made in this life.
    fn make(&self, to: BorrowedFd<'_>, name: &CStr) -> Result<Option<(OwnedFd, bool)>, Fault> {
        let made = mkdirat(to, name, Mode::RWXU);
        match (made, &self.job.resume) {
            (Err(Errno::EXIST), None) => return Ok(None),
            (Err(Errno::EXIST), Some(_)) => match open_directory(to, name) {
                Ok(directory) => {
                    undress(directory.as_fd())?;
                    return Ok(Some((directory, true)));
                }
                Err(_) => {
                    discard(to, name, self.job.control)?;
                    mkdirat(to, name, Mode::RWXU).map_err(system("mkdirat"))?;
                }
            },
            (made, _) => made.map_err(system("mkdirat"))?,
        }
        let made = open_directory(to, name).map_err(system("open"))?;
        Ok(Some((made, false)))
    }

    /// Whose the files will be that we make in a directory of the copy. They are ours, and their group is ours or the
    /// directory's (mount(8), bsdgroups): so it is known where the directory was made ours in both.
    fn owner_in(&self, directory: (u32, u32)) -> Option<(u32, u32)> {
        (directory == self.us).then_some(directory)
    }

    fn done(&self, copied: Copied) -> Found {
        match copied {
            Copied::Directory(_) => return Found::Directory,
            Copied::Long => return Found::Long,
            Copied::Done => {}
            Copied::Redone => {
                self.redone_entries.fetch_add(1, Relaxed);
            }
            Copied::Kept(bytes) => {
                self.kept_entries.fetch_add(1, Relaxed);
                self.kept_bytes.fetch_add(bytes, Relaxed);
                self.job.control.bytes_done(bytes);
            }
        }
        self.job.control.entry_done();
        Found::Done
    }
}

impl<'a> Visitor for Clone<'a> {
    type Worker = EntryCopier<'a>;
    type Data = Target;

    fn worker(&self) -> EntryCopier<'a> {
        EntryCopier {
            digest: self.digester.as_ref().map(CopyDigest::new),
            ..EntryCopier::default()
        }
    }

    fn shares_directories(&self) -> bool {
        self.job.habits.shares_directories
    }

    /// Makes the copy of the directory `name` and goes into both.
    fn enter(
        &self,
        copier: &mut EntryCopier<'a>,
        parent: &Dir<Target>,
        handle: BorrowedFd<'_>,
        name: &CStr,
    ) -> Result<Option<Entered<Target>>, Fault> {
        at("clone.copying").map_err(system("write"))?;
        let open = parent.data.place.open()?;
        let to = parent.data.destination(&open);
        let hint = FileKind::Directory;
        // A writer may have put a file in its place: there is no later time for that one.
        let source = match copier.copy(handle, to, name, hint, PutOff::Nothing, &self.job)? {
            Copied::Directory(source) => source,
            copied => {
                self.done(copied);
                return Ok(None);
            }
        };
        let meta = describe(&source)?;
        if meta.id == self.around {
            return Err(Fault::Inside);
        }
        let Some((made, resumed)) = self.make(to.directory, name)? else {
            shown_twice(to.directory, name, self.job.control)?;
            return Ok(None);
        };
        let made_meta = describe(&made)?;
        let path = match (&mut copier.digest, &parent.data.path) {
            (Some(digest), Some(parent)) => Some(digest.path(parent, name)),
            _ => None,
        };
        Ok(Some(Entered {
            directory: source,
            meta,
            data: Target {
                place: parent.data.place.child(name, made_meta.id, made),
                owner: (made_meta.uid, made_meta.gid),
                files_owner: self.owner_in((made_meta.uid, made_meta.gid)),
                path,
                resumed,
            },
        }))
    }

    fn entry(
        &self,
        copier: &mut EntryCopier<'a>,
        dir: &Dir<Target>,
        handle: BorrowedFd<'_>,
        name: &CStr,
        hint: FileKind,
    ) -> Result<Found, Fault> {
        at("clone.copying").map_err(system("write"))?;
        let open = dir.data.place.open()?;
        let to = dir.data.destination(&open);
        let copied = copier.copy(handle, to, name, hint, self.put_off, &self.job)?;
        Ok(self.done(copied))
    }

    fn late(
        &self,
        copier: &mut EntryCopier<'a>,
        dir: &Dir<Target>,
        handle: BorrowedFd<'_>,
        name: &CStr,
    ) -> Result<(), Fault> {
        let open = dir.data.place.open()?;
        let to = dir.data.destination(&open);
        let hint = FileKind::Regular;
        let copied = copier.copy(handle, to, name, hint, PutOff::Nothing, &self.job)?;
        if self.done(copied) == Found::Done {
            return Ok(());
        }
        // A writer has put a directory in its place since.
        Err(Fault::Changed)
    }

    /// Nothing will be made in the directory any more: it gets its owner, mode and times.
    fn leave(&self, copier: &mut EntryCopier<'a>, dir: &Dir<Target>) -> Result<Leave, Fault> {
        let source = match dir.place.open() {
            // Removed meanwhile.
            Err(Fault::Gone) => None,
            found => Some(found?),
        };
        let target = dir.data.place.open()?;
        let source = source.as_ref().map(|source| source.as_fd());
        if let (Some(resume), Some(source), true) = (&self.job.resume, source, dir.data.resumed)
            && resume.has_changed(&dir.meta)
        {
            remove_what_vanished(source, &target, self.job.control)?;
        }
        let attributes = &mut copier.attributes;
        let mut dress = |source| {
            let owner = Some(dir.data.owner);
            attributes.copy_open(source, target.as_fd(), &dir.meta, owner)
        };
        match dress(source) {
            // Removed just now: on some filesystems even an open one tells nothing more then.
            Err(Fault::Gone) => dress(None)?,
            done => done?,
        }
        if let (Some(digest), Some(path)) = (&mut copier.digest, &dir.data.path) {
            digest.add_directory(path, &target)?;
        }
        if dir.data.resumed {
            self.kept_entries.fetch_add(1, Relaxed);
        }
        self.job.control.entry_done();
        Ok(Leave::Done)
    }
}

fn describe(directory: &OwnedFd) -> Result<Meta, Fault> {
    fstat(directory).map(Meta::from).map_err(looking("fstat"))
}

//! btrfs: each tree is a subvolume, a clone is a snapshot, and both come and go whole, whatever is in them.
//!
//! What isn't a subvolume (a tree from before, or from elsewhere) or has others within it (a snapshot shows those as empty
//! directories) is walked like on any filesystem, into a new subvolume. Subvolumes within a tree are directories to the
//! walk: they are no mounts, and the clone has plain directories for them.
//!
//! Durability, as of Linux 4.18 and later: creating a snapshot writes out what is dirty in its source and ends with the
//! commit of the transaction (`create_snapshot`, fs/btrfs/ioctl.c). Creating a subvolume does not, but makes the next
//! fsync(2) of its parent commit one (`btrfs_record_new_subvolume`), and so does renaming a subvolume
//! (`btrfs_set_log_full_commit` in `btrfs_rename`): syncing the directories after a rename is enough, here too.

use std::{
    ffi::{CStr, CString},
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use rustix::{
    fs::{AtFlags, Mode, fchmod, fstat, fsync, futimens, mkdirat, unlinkat},
    io::Errno,
};
use uuid::Uuid;
use vfolder_ioctl::{
    btrfs::{
        create_subvolume, destroy_subvolume, has_nested_subvolumes, is_subvolume, make_writable,
        snapshot,
    },
    qgroup,
};

use super::{Backend, Capabilities, Cloned, Method, Plain, Quota, QuotaError, QuotaUse};
use crate::{
    faults::at,
    tree::{
        CloneTarget, Control, Fault, FileKind, Meta, NameLock, TreeError, Usage, Workers,
        dirents::Dirents,
        error::system,
        open::open_directory,
        remove::{Force, remove_tree_by},
    },
};

/// Tried out under these names.
const PROBE: [&CStr; 2] = [c".subvolume-probe-1", c".subvolume-probe-2"];

/// Trees as subvolumes.
#[derive(Debug)]
pub(super) struct Btrfs {
    plain: Plain,
    /// Somebody has enabled quotas on the filesystem.
    quota: bool,
    refused_snapshot: AtomicBool,
    refused_destruction: AtomicBool,
}

impl Btrfs {
    /// Nothing if subvolumes and snapshots can't be made here (in a container, perhaps).
    pub fn probe(staging: BorrowedFd<'_>, plain: Plain) -> Option<Self> {
        let mut btrfs = Self {
            plain,
            quota: false,
            refused_snapshot: AtomicBool::default(),
            refused_destruction: AtomicBool::default(),
        };
        let clear = |btrfs: &Self| {
            for name in PROBE {
                if let Err(error) = btrfs.remove(staging, name, &Control::default()) {
                    tracing::warn!(%error, "can't remove what the snapshots were tried with");
                }
            }
        };
        // Left by a crash.
        clear(&btrfs);
        let [first, second] = PROBE;
        let tried = create_subvolume(staging, first)
            .and_then(|()| open_directory(staging, first))
            .and_then(|made| snapshot(made.as_fd(), staging, second).map(|()| made));
        // Where quotas are off, there is nothing to limit (ENOTCONN).
        btrfs.quota = tried
            .as_ref()
            .is_ok_and(|made| qgroup::limit(made, Some(1 << 30)).is_ok());
        clear(&btrfs);
        match tried {
            Ok(_) => Some(btrfs),
            Err(Errno::NOSPC | Errno::DQUOT) => {
                tracing::warn!(
                    "this btrfs is full: whether it keeps quotas is found out when it is opened again with room"
                );
                Some(btrfs)
            }
            Err(errno) => {
                tracing::warn!(
                    %errno,
                    "this btrfs refuses subvolumes or snapshots; trees are directories, and clones share blocks file by file"
                );
                None
            }
        }
    }

    /// Answers false where the tree has to be walked.
    fn snapshot(
        &self,
        source: BorrowedFd<'_>,
        target: &CloneTarget<'_>,
        control: &Control,
    ) -> Result<bool, Fault> {
        if !is_subvolume(source).map_err(system("fstat"))? {
            return Ok(false);
        }
        // Nobody makes one in between: those who write have been cut off.
        if has_nested_subvolumes(source) != Ok(false) {
            return Ok(false);
        }
        at("clone.copying").map_err(system("BTRFS_IOC_SNAP_CREATE_V2"))?;
        let taken = match snapshot(source, target.parent, target.name) {
            // An earlier life has left something there. It is quicker to begin anew than to look what it is.
            Err(Errno::EXIST) if target.resume.is_some() => {
                self.remove(target.parent, target.name, control)
                    .map_err(|error| error.fault)?;
                snapshot(source, target.parent, target.name)
            }
            done => done,
        };
        match taken {
            // A file in it is used for swapping.
            Err(Errno::TXTBSY) => Ok(false),
            Err(errno) if is_refusal(errno) => {
                tell_once(&self.refused_snapshot, "a snapshot", errno);
                Ok(false)
            }
            done => done
                .map(|()| true)
                .map_err(system("BTRFS_IOC_SNAP_CREATE_V2")),
        }
    }

    /// Into a subvolume. A hard link doesn't cross the border of one, so the names that hard-linked files have meanwhile
    /// are in there too, and not in the target's own directory for them. That only says what theirs is called.
    fn walk(
        &self,
        source: BorrowedFd<'_>,
        target: CloneTarget<'_>,
        control: &Control,
    ) -> Result<Cloned, TreeError> {
        let at_root = |call| move |errno| TreeError::new(Fault::System(call, errno), Vec::new());
        let name = links_name(target.links).map_err(|fault| TreeError::new(fault, Vec::new()))?;
        let made = match self.create(target.parent, target.name) {
            Err(Errno::EXIST) if target.resume.is_some() => {
                open_directory(target.parent, target.name)
            }
            made => made,
        }
        .map_err(at_root("BTRFS_IOC_SUBVOL_CREATE_V2"))?;
        match mkdirat(&made, &name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(at_root("mkdirat")(errno)),
        }
        let links = open_directory(&made, &name).map_err(at_root("open"))?;
        let within = CloneTarget {
            links: links.as_fd(),
            root: Some(made.as_fd()),
            ..target
        };
        let cloned = self.plain.clone_tree(source, within, control)?;
        // The root has its times already.
        let root = fstat(&made).map(Meta::from).map_err(at_root("fstat"))?;
        match unlinkat(&made, &name, AtFlags::REMOVEDIR) {
            // A resumed walk removes what the source doesn't have.
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(at_root("unlinkat")(errno)),
        }
        futimens(&made, &root.times()).map_err(at_root("futimens"))?;
        unlinkat(target.links, &name, AtFlags::REMOVEDIR).map_err(at_root("unlinkat"))?;
        Ok(cloned)
    }

    /// Answers false where there is more to do.
    fn destroy(&self, parent: BorrowedFd<'_>, name: &CStr) -> Result<bool, Fault> {
        match open_directory(parent, name).and_then(is_subvolume) {
            Ok(true) => {}
            Err(Errno::NOENT) => return Ok(true),
            // What it is, and why it can't be opened, the walk will tell.
            Ok(false) | Err(_) => return Ok(false),
        }
        at("remove.entry").map_err(system("BTRFS_IOC_SNAP_DESTROY_V2"))?;
        match destroy_subvolume(parent, name) {
            Ok(()) | Err(Errno::NOENT) => Ok(true),
            // Others are within it.
            Err(Errno::NOTEMPTY) => Ok(false),
            Err(errno) if is_refusal(errno) => {
                tell_once(&self.refused_destruction, "to destroy a subvolume", errno);
                Ok(false)
            }
            Err(errno) => Err(Fault::System("BTRFS_IOC_SNAP_DESTROY_V2", errno)),
        }
    }

    /// Destroys the subvolumes right below `name`, which is none itself: the staging of a clone has its tree there.
    fn destroy_children(
        &self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        control: &Control,
    ) -> Result<(), Fault> {
        let Ok(directory) = open_directory(parent, name) else {
            return Ok(());
        };
        let mut dirents = Dirents::default();
        let mut more = true;
        while more {
            let batch = dirents.batch(directory.as_fd(), |child, kind| {
                control.check()?;
                if matches!(kind, FileKind::Directory | FileKind::Unknown)
                    && is_subvolume_at(directory.as_fd(), child)
                    && self.destroy(directory.as_fd(), child)?
                {
                    control.entry_done();
                }
                Ok(())
            });
            more = batch.map_err(|(fault, _)| fault)?.is_some();
        }
        Ok(())
    }
}

impl Backend for Btrfs {
    fn name(&self) -> &'static str {
        "btrfs"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            method: Method::Snapshot,
            quota: self.quota,
            ..self.plain.capabilities()
        }
    }

    fn create(&self, parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
        create_subvolume(parent, name)?;
        let made = open_directory(parent, name)?;
        fchmod(&made, Mode::RWXU).map(|()| made)
    }

    fn clone_tree(
        &self,
        source: BorrowedFd<'_>,
        target: CloneTarget<'_>,
        control: &Control,
    ) -> Result<Cloned, TreeError> {
        let snapped = control
            .check()
            .and_then(|()| self.snapshot(source, &target, control))
            .map_err(|fault| TreeError::new(fault, Vec::new()))?;
        match snapped {
            true => Ok(Cloned {
                durable: true,
                walked: None,
            }),
            false => self.walk(source, target, control),
        }
    }

    fn remove(
        &self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        control: &Control,
    ) -> Result<(), TreeError> {
        let at_root = |fault| TreeError::new(fault, Vec::new());
        if self.destroy(parent, name).map_err(at_root)? {
            control.entry_done();
            return Ok(());
        }
        self.destroy_children(parent, name, control)
            .map_err(at_root)?;
        let workers = self.plain.capabilities().remove_workers;
        remove_tree_and_subvolumes(Force::Overcome, parent, name, workers, control)
    }

    fn removes_at_once(&self, tree: BorrowedFd<'_>) -> bool {
        is_subvolume(tree) == Ok(true) && has_nested_subvolumes(tree) == Ok(false)
    }

    fn usage(
        &self,
        root: BorrowedFd<'_>,
        workers: Workers,
        control: &Control,
    ) -> Result<Usage, TreeError> {
        self.plain.usage(root, workers, control)
    }

    /// Of bytes only: qgroups count no entries.
    fn set_quota(&self, tree: BorrowedFd<'_>, quota: Quota) -> Result<(), QuotaError> {
        if !self.quota || is_subvolume(tree) != Ok(true) {
            return Err(QuotaError::NotSupported);
        }
        qgroup::limit(tree, quota.bytes)
            .map_err(|errno| QuotaError::System("BTRFS_IOC_QGROUP_LIMIT", errno))
    }

    fn quota_use(&self, tree: BorrowedFd<'_>) -> Result<QuotaUse, QuotaError> {
        if !self.quota || is_subvolume(tree) != Ok(true) {
            return Err(QuotaError::NotSupported);
        }
        let referenced = qgroup::referenced(tree);
        let bytes =
            referenced.map_err(|errno| QuotaError::System("BTRFS_IOC_TREE_SEARCH", errno))?;
        Ok(QuotaUse {
            bytes,
            entries: None,
        })
    }

    fn make_movable(&self, tree: BorrowedFd<'_>) -> Result<bool, Errno> {
        match is_subvolume(tree)? {
            true => make_writable(tree),
            false => Ok(false),
        }
    }
}

/// What says that the filesystem, or whoever has started us, doesn't let us; not that something is wrong.
fn is_refusal(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::PERM
            | Errno::ACCESS
            | Errno::NOTTY
            | Errno::NOSYS
            | Errno::OPNOTSUPP
            | Errno::INVAL
            | Errno::XDEV
    )
}

/// The name for a directory of links within a copy: the one that an earlier life has noted in `notes`, or a new one, which
/// nobody can have guessed and put into the source. Durable before anything has that name.
fn links_name(notes: BorrowedFd<'_>) -> Result<CString, Fault> {
    let mut noted = None;
    let (mut dirents, mut more) = (Dirents::default(), true);
    while more {
        let batch = dirents.batch(notes, |name, _| {
            noted = Some(name.to_owned());
            Ok(())
        });
        more = batch.map_err(|(fault, _)| fault)?.is_some();
    }
    if let Some(noted) = noted {
        return Ok(noted);
    }
    let name = CString::new(format!(".links-{}", Uuid::new_v4())).unwrap_or_default();
    mkdirat(notes, &name, Mode::RWXU)
        .and_then(|()| fsync(notes))
        .map_err(system("mkdirat"))?;
    Ok(name)
}

fn is_subvolume_at(parent: BorrowedFd<'_>, name: &CStr) -> bool {
    open_directory(parent, name).and_then(is_subvolume) == Ok(true)
}

/// As [`remove_tree_by`], read-only subvolumes within it included.
///
/// # Errors
/// As [`remove_tree_by`].
pub fn remove_tree_and_subvolumes(
    force: Force,
    parent: BorrowedFd<'_>,
    name: &CStr,
    workers: Workers,
    control: &Control,
) -> Result<(), TreeError> {
    let name_lock = NameLock::default();
    loop {
        match remove_tree_by(force, parent, name, &name_lock, workers, control) {
            Err(error)
                if matches!(error.fault, Fault::System(_, Errno::ROFS))
                    && make_writable_along(parent, name, &error.path) => {}
            done => return done,
        }
    }
}

/// Makes all subvolumes on the way from the root of the tree `name` along `path` writable again. Answers whether one was
/// not.
fn make_writable_along(parent: BorrowedFd<'_>, name: &CStr, path: &[u8]) -> bool {
    let (mut next, mut lifted) = (open_directory(parent, name), false);
    let mut rest = path.split(|byte| *byte == b'/');
    while let Ok(directory) = next {
        if is_subvolume(&directory) == Ok(true) {
            lifted |= make_writable(&directory) == Ok(true);
        }
        let Some(component) = rest.next() else { break };
        let Ok(component) = CString::new(component) else {
            break;
        };
        next = open_directory(&directory, &component);
    }
    lifted
}

/// Each time would fill the log: the same is refused for every tree.
fn tell_once(told: &AtomicBool, what: &str, errno: Errno) {
    if !told.swap(true, Relaxed) {
        tracing::warn!(%errno, "this btrfs refuses {what}; trees are walked instead");
    }
}

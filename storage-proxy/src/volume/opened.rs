//! A volume that is open: its handles and its lock.

use std::{
    collections::HashMap,
    ffi::CString,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, StatVfsMountFlags, fstatvfs, open, statat},
    io::Errno,
};
use uuid::Uuid;

use super::{
    Description, Holder, LAYOUT, OpenError, VolumeError,
    durable::{make_directory, read_file, sweep_parts},
    error::on,
    layout::{
        DESCRIPTION, EPOCHS, FAN_OUT_MODE, JOURNAL, QUOTAS, STAGING, TRASH, TREE, UPLOADS, fan_out,
        tree_path,
    },
    lock::{self, LockError},
};
use crate::{
    backend::{Backend, probe},
    faults::at,
    tree::{
        Meta, NameLock, RelativePath, TreeRoot,
        meta::FileId,
        open::{open_directory, open_path},
    },
};

/// Who owns the root directory of a new vfolder, and its permission bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewTrees {
    /// The owner. None: the user that the storage-proxy runs as.
    pub uid: Option<u32>,
    /// The group. None: the group that the storage-proxy runs as.
    pub gid: Option<u32>,
    /// Permission bits, setgid and sticky included.
    pub mode: u32,
}

impl Default for NewTrees {
    fn default() -> Self {
        Self {
            uid: None,
            gid: None,
            mode: 0o755,
        }
    }
}

static OPENINGS: AtomicU64 = AtomicU64::new(1);

/// An open volume. Its lock is held until this is dropped.
#[derive(Debug)]
pub struct OpenVolume {
    pub(super) description: Description,
    pub(super) root: OwnedFd,
    pub(super) tree: OwnedFd,
    pub(super) staging: OwnedFd,
    pub(super) trash: OwnedFd,
    pub(super) journal: OwnedFd,
    /// None on a volume that was opened read-only and has none.
    pub(super) uploads: Option<OwnedFd>,
    pub(super) backend: Box<dyn Backend>,
    /// Whose new trees are.
    pub new_trees: NewTrees,
    identity: FileId,
    opened_read_only: bool,
    lock: Option<OwnedFd>,
    opening: u64,
    /// Of the trees that somebody has open.
    name_locks: Mutex<HashMap<Uuid, Weak<NameLock>>>,
}

impl OpenVolume {
    /// Opens the volume `name` at `path`, of this `id` if one is said, and locks it.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(
        path: &Path,
        name: &str,
        id: Option<Uuid>,
        holder: &Holder,
    ) -> Result<Self, OpenError> {
        let system = |call| {
            move |errno| OpenError::System {
                path: path.to_owned(),
                call,
                errno,
            }
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = open(path, flags, Mode::empty())
            .map_err(|errno| OpenError::Missing(path.to_owned(), errno))?;
        let description = describe(&root, path)?;
        if description.layout != LAYOUT {
            return Err(OpenError::OtherLayout {
                path: path.to_owned(),
                found: description.layout,
                known: LAYOUT,
            });
        }
        if description.name != name {
            let (found, wanted) = (description.name, name.to_owned());
            return Err(OpenError::OtherName {
                path: path.to_owned(),
                found,
                wanted,
            });
        }
        // Before it is locked: it is not ours to touch.
        if let Some(wanted) = id.filter(|id| *id != description.volume_id) {
            return Err(OpenError::OtherVolume {
                path: path.to_owned(),
                found: description.volume_id,
                wanted,
            });
        }
        let identity =
            statat(&root, DESCRIPTION, AtFlags::SYMLINK_NOFOLLOW).map_err(system("stat"))?;
        let read_only = is_read_only(&root).map_err(system("statvfs"))?;
        let lock = lock::take(&root, holder, read_only).map_err(|error| match error {
            LockError::Held(holder) => OpenError::Held {
                path: path.to_owned(),
                holder,
            },
            LockError::System(call, errno) => system(call)(errno),
        })?;
        let directory = |name: &str| {
            open_path(
                &root,
                &RelativePath::parse(name.as_bytes()).unwrap_or(RelativePath::root()),
                flags,
            )
            .map_err(|errno| OpenError::System {
                path: path.join(name),
                call: "open",
                errno,
            })
        };
        let staging = directory(STAGING)?;
        let journal = directory(JOURNAL)?;
        if !read_only {
            let inner = [EPOCHS, QUOTAS]
                .map(|name| open_directory(&journal, &CString::new(name).unwrap_or_default()).ok());
            for directory in inner.iter().flatten().chain([&journal]) {
                if let Err(error) = sweep_parts(directory) {
                    tracing::warn!(volume = name, %error, "can't look for half-written files in the journal");
                }
            }
        }
        let uploads = CString::new(UPLOADS).unwrap_or_default();
        let uploads = if read_only {
            open_directory(&root, &uploads).ok()
        } else {
            match make_directory(&root, &uploads, 0o700) {
                // Nobody can upload to it now; all else works.
                Err(errno @ (Errno::NOSPC | Errno::DQUOT)) => {
                    tracing::warn!(volume = name, %errno, "can't make the directory for uploads");
                    None
                }
                made => Some(made.map_err(system("mkdir"))?),
            }
        };
        at("open.opened").map_err(system("open"))?;
        Ok(Self {
            tree: directory(TREE)?,
            trash: directory(TRASH)?,
            journal,
            uploads,
            backend: probe(staging.as_fd(), read_only),
            new_trees: NewTrees::default(),
            staging,
            description,
            root,
            identity: Meta::from(identity).id,
            opened_read_only: read_only,
            lock,
            opening: OPENINGS.fetch_add(1, Ordering::Relaxed),
            name_locks: Mutex::default(),
        })
    }

    /// Its filesystem's own ways with trees.
    #[must_use]
    pub fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    /// What volume.json says.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Differs from one opening to the next: in between, the volume may have been somebody else's.
    #[must_use]
    pub fn opening(&self) -> u64 {
        self.opening
    }

    /// Whether `path` still leads here, and as writable as it was: after an unmount it leads to what was below. And whether
    /// the lock is still ours: once its file is removed or replaced, another storage-proxy can take the new one.
    pub(super) fn is_still_at(&self, path: &Path) -> bool {
        let found = statat(CWD, path.join(DESCRIPTION), AtFlags::SYMLINK_NOFOLLOW);
        found.is_ok_and(|stat| Meta::from(stat).id == self.identity)
            && is_read_only(&self.root).is_ok_and(|now| now || !self.opened_read_only)
            && self
                .lock
                .as_ref()
                .is_none_or(|lock| lock::is_in_place(&self.root, lock))
    }

    /// Whether it can't be written now.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        is_read_only(&self.root).unwrap_or(true)
    }

    /// The tree of a vfolder, if it has one.
    ///
    /// # Errors
    /// [`VolumeError::NotATree`], and what open(2) says.
    pub fn tree(&self, vfolder: Uuid) -> Result<Option<TreeRoot>, VolumeError> {
        let whole = tree_path(vfolder);
        let [yy, zz] = fan_out(vfolder);
        let path = RelativePath::parse(format!("{yy}/{zz}/{vfolder}").as_bytes())
            .map_err(|_| VolumeError::NotATree(whole.clone()))?;
        match open_path(&self.tree, &path, OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(directory) => {
                let tree = TreeRoot::new(directory);
                Ok(Some(tree.with_name_lock(self.name_lock(vfolder))))
            }
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => Err(VolumeError::NotATree(whole)),
            Err(errno) => Err(on(&whole, "open")(errno)),
        }
    }

    /// The same for all who have its tree open.
    fn name_lock(&self, vfolder: Uuid) -> Arc<NameLock> {
        let mut all = self
            .name_locks
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(names) = all.get(&vfolder).and_then(Weak::upgrade) {
            return names;
        }
        // Each time there are twice as many: those that nobody has any more.
        if all.len().is_power_of_two() {
            all.retain(|_, names| names.strong_count() > 0);
        }
        let names = Arc::default();
        all.insert(vfolder, Arc::downgrade(&names));
        names
    }

    /// The directory that contains a vfolder's tree, if it is there.
    pub(super) fn tree_parent(&self, vfolder: Uuid) -> Result<Option<OwnedFd>, VolumeError> {
        let mut directory = None::<OwnedFd>;
        for name in fan_out(vfolder) {
            let parent = directory
                .as_ref()
                .map_or_else(|| self.tree.as_fd(), AsFd::as_fd);
            match open_directory(parent, &CString::new(name).unwrap_or_default()) {
                Ok(opened) => directory = Some(opened),
                Err(Errno::NOENT) => return Ok(None),
                Err(errno) => return Err(on(&tree_path(vfolder), "open")(errno)),
            }
        }
        Ok(directory)
    }

    /// The directory that contains a vfolder's tree; made if it is missing.
    pub(super) fn make_tree_parent(&self, vfolder: Uuid) -> Result<OwnedFd, VolumeError> {
        let [yy, zz] = fan_out(vfolder).map(|name| CString::new(name).unwrap_or_default());
        let failed = on(TREE, "mkdir");
        let outer = make_directory(&self.tree, &yy, FAN_OUT_MODE).map_err(&failed)?;
        make_directory(outer, &zz, FAN_OUT_MODE).map_err(failed)
    }
}

fn describe(root: &OwnedFd, path: &Path) -> Result<Description, OpenError> {
    let unreadable = |why: String| OpenError::Unreadable(PathBuf::from(path), why);
    let content = read_file(root, DESCRIPTION)
        .map_err(|errno| unreadable(errno.to_string()))?
        .ok_or_else(|| OpenError::NotInitialised(path.to_owned()))?;
    serde_json::from_slice(&content).map_err(|error| unreadable(error.to_string()))
}

fn is_read_only(root: &OwnedFd) -> Result<bool, Errno> {
    Ok(fstatvfs(root)?.f_flag.contains(StatVfsMountFlags::RDONLY))
}

//! ext4 and XFS that are mounted with project quotas: each tree is a project of its own, so that the filesystem counts it
//! and keeps it within its limits, whoever writes.
//!
//! A new tree's root is given a number that nobody has, before anything is in it; all that is made below inherits it. The
//! number stays with the root through renames, restarts and restores: it is written down nowhere else. No inode has the
//! number of a tree that is gone, so it is free for another.
//!
//! Nothing of another project can be renamed or linked into such a directory (`EXDEV`). Into the places where trees come
//! from and go to, anything can: they belong to no project. A tree without a number, from before quotas were turned on,
//! stays without: its files can't be given one all at once, and until the last has it none could be moved to where others
//! have it already. A clone of it has a number.

use std::{
    collections::HashSet,
    ffi::CStr,
    fs,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use rustix::io::Errno;
use uuid::Uuid;
use vfolder_ioctl::{
    project::{self, Project},
    quota,
};

use super::{Backend, Capabilities, Cloned, Plain, Quota, QuotaError, QuotaUse};
use crate::tree::{
    CloneTarget, Control, Fault, FileKind, Filesystem, TreeError, Usage, Workers, dirents::Dirents,
    error::system, open::open_directory,
};

/// Ours are from here to [`LAST`]. Kubernetes, Docker and Podman count up from 1,048,577 and below, administrators from 1;
/// some tools take numbers for signed.
const FIRST: u32 = 0x4000_0000;
const LAST: u32 = 0x7fff_ffff;
/// So many numbers are tried before a tree stays without one.
const ATTEMPTS: usize = 64;
/// What has more entries is no staging: there, a tree is in a directory with a few others.
const IN_STAGING: usize = 16;
/// Tried out under this name.
const PROBE: &CStr = c".project-probe";
/// Where administrators note their projects: projid(5).
const NAMES: &str = "/etc/projid";

/// Trees as projects.
#[derive(Debug)]
pub(super) struct Projects {
    plain: Plain,
    filesystem: Filesystem,
    /// The number to try next. Held until a number is somebody's.
    next: Mutex<u32>,
    /// Numbers of ours that have a name, and so are not ours.
    named: HashSet<u32>,
    refused: AtomicBool,
}

impl Projects {
    /// Nothing unless the filesystem keeps to limits of projects, as it is mounted, and lets us set them.
    pub fn probe(staging: BorrowedFd<'_>, plain: Plain) -> Option<Self> {
        let filesystem = Filesystem::of(staging).unwrap_or_default();
        if !(filesystem.is_ext4() || filesystem.is_xfs()) || !quota::enforces_projects(staging) {
            return None;
        }
        match project::of(staging) {
            Ok(Project {
                id: 0,
                inherit: false,
            }) => {}
            Ok(Project { id, .. }) => {
                tracing::warn!(
                    project = id,
                    "the volume's own directories belong to a project already, which trees would have to leave; \
                     what sessions write is not limited vfolder by vfolder"
                );
                return None;
            }
            Err(_) => return None,
        }
        let named = fs::read_to_string(NAMES).unwrap_or_default();
        let projects = Self {
            plain,
            filesystem,
            next: Mutex::new(anywhere()),
            named: named.lines().filter_map(named_number).collect(),
            refused: AtomicBool::default(),
        };
        let clear = || {
            if let Err(error) = projects.remove(staging, PROBE, &Control::default()) {
                tracing::warn!(%error, "can't remove what project quotas were tried with");
            }
        };
        // Left by a crash.
        clear();
        let tried = projects.plain.create(staging, PROBE).and_then(|tree| {
            let id = projects.assign(tree.as_fd())?;
            quota::limit(&tree, id, Some(1 << 30), Some(1 << 20))
        });
        clear();
        match tried {
            Ok(()) => Some(projects),
            Err(errno) => {
                tracing::warn!(
                    %errno,
                    "this filesystem has project quotas and does not let us set them; what sessions write is not \
                     limited (it takes CAP_SYS_ADMIN, no user namespace, and Linux 5.14)"
                );
                None
            }
        }
    }

    /// Makes the empty directory `tree` a project of its own.
    fn assign(&self, tree: BorrowedFd<'_>) -> Result<u32, Errno> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..ATTEMPTS {
            let id = *next;
            let free =
                !self.named.contains(&id) && quota::account(tree, id)? == quota::Account::default();
            // One after the other, so that their records lie close together; elsewhere, where others are.
            *next = match free && id < LAST {
                true => id + 1,
                false => anywhere(),
            };
            if !free {
                continue;
            }
            project::set(tree, Project { id, inherit: true })?;
            // Somebody with another volume on this filesystem may have come to the same number, at the same moment.
            if quota::account(tree, id)?.inodes == 1 {
                return Ok(id);
            }
        }
        project::set(tree, Project::default())?;
        Err(Errno::AGAIN)
    }

    /// As [`Projects::assign`]. A tree that can't have a number is as good as on any other filesystem.
    fn try_assign(&self, tree: BorrowedFd<'_>) {
        if let Err(errno) = self.assign(tree)
            && !self.refused.swap(true, Relaxed)
        {
            tracing::warn!(%errno, "a new tree gets no project quota; what sessions write into it is not limited");
        }
    }

    /// Ends the limits of what is about to be removed, so that no record of them stays: of a tree, or of those right in a
    /// directory (the staging of a clone).
    fn end_limits(&self, parent: BorrowedFd<'_>, name: &CStr) -> Result<(), Fault> {
        let Ok(directory) = open_directory(parent, name) else {
            return Ok(());
        };
        if let Some(id) = number_of(directory.as_fd()) {
            return quota::limit(&directory, id, None, None).map_err(system("quotactl_fd"));
        }
        let mut seen = 0;
        let looked = Dirents::default().batch(directory.as_fd(), |child, kind| {
            seen += 1;
            if seen <= IN_STAGING
                && matches!(kind, FileKind::Directory | FileKind::Unknown)
                && let Ok(tree) = open_directory(&directory, child)
                && let Some(id) = number_of(tree.as_fd())
            {
                quota::limit(&tree, id, None, None).map_err(system("quotactl_fd"))?;
            }
            Ok(())
        });
        looked.map(drop).map_err(|(fault, _)| fault)
    }
}

impl Backend for Projects {
    fn name(&self) -> &'static str {
        "projects"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            quota: true,
            ..self.plain.capabilities()
        }
    }

    fn create(&self, parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
        let made = self.plain.create(parent, name)?;
        self.try_assign(made.as_fd());
        Ok(made)
    }

    fn clone_tree(
        &self,
        source: BorrowedFd<'_>,
        target: CloneTarget<'_>,
        control: &Control,
    ) -> Result<Cloned, TreeError> {
        let at_root = |call| move |errno| TreeError::new(Fault::System(call, errno), Vec::new());
        // Before anything is in it.
        let made = match self.plain.create(target.parent, target.name) {
            Err(Errno::EXIST) if target.resume.is_some() => {
                let made = open_directory(target.parent, target.name).map_err(at_root("open"))?;
                // An earlier life may have died before it gave it a number.
                if number_of(made.as_fd()).is_none() && is_empty(made.as_fd()) {
                    self.try_assign(made.as_fd());
                }
                made
            }
            Err(errno) => return Err(at_root("mkdirat")(errno)),
            Ok(made) => {
                self.try_assign(made.as_fd());
                made
            }
        };
        let within = CloneTarget {
            root: Some(made.as_fd()),
            ..target
        };
        self.plain.clone_tree(source, within, control)
    }

    fn remove(
        &self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        control: &Control,
    ) -> Result<(), TreeError> {
        if let Err(error) = self.end_limits(parent, name) {
            tracing::warn!(%error, "the limits of a tree that is removed stay in the filesystem's records");
        }
        self.plain.remove(parent, name, control)
    }

    fn removes_at_once(&self, tree: BorrowedFd<'_>) -> bool {
        self.plain.removes_at_once(tree)
    }

    fn usage(
        &self,
        root: BorrowedFd<'_>,
        workers: Workers,
        control: &Control,
    ) -> Result<Usage, TreeError> {
        self.plain.usage(root, workers, control)
    }

    fn set_quota(&self, tree: BorrowedFd<'_>, wanted: Quota) -> Result<(), QuotaError> {
        let id = number_of(tree).ok_or(QuotaError::NotSupported)?;
        quota::limit(tree, id, wanted.bytes, wanted.entries)
            .map_err(|errno| QuotaError::System("quotactl_fd", errno))
    }

    fn adopt(&self, tree: BorrowedFd<'_>, file: BorrowedFd<'_>) -> Result<(), Errno> {
        match number_of(tree) {
            Some(id) => {
                let inherit = false;
                project::set(file, Project { id, inherit })
            }
            None => Ok(()),
        }
    }

    /// XFS, of projects only: `xfs_trans_dqresv` and its callers, fs/xfs/xfs_trans_dquot.c.
    fn quota_looks_full(&self) -> bool {
        self.filesystem.is_xfs()
    }

    fn quota_use(&self, tree: BorrowedFd<'_>) -> Result<QuotaUse, QuotaError> {
        let id = number_of(tree).ok_or(QuotaError::NotSupported)?;
        let found =
            quota::account(tree, id).map_err(|errno| QuotaError::System("quotactl_fd", errno))?;
        Ok(QuotaUse {
            bytes: found.bytes,
            entries: Some(found.inodes),
        })
    }
}

/// The number of a tree, if it has one of ours.
fn number_of(tree: BorrowedFd<'_>) -> Option<u32> {
    let found = project::of(tree).ok()?;
    (found.inherit && (FIRST..=LAST).contains(&found.id)).then_some(found.id)
}

/// A number of ours, by chance.
fn anywhere() -> u32 {
    let chance = Uuid::new_v4().as_u128() & u128::from(LAST - FIRST);
    FIRST + u32::try_from(chance).unwrap_or(0)
}

/// Of a line of /etc/projid, `name:number`.
fn named_number(line: &str) -> Option<u32> {
    let (_, number) = line.split_once(':')?;
    number.trim().parse().ok()
}

fn is_empty(directory: BorrowedFd<'_>) -> bool {
    let mut empty = true;
    let read = Dirents::default().batch(directory, |_, _| {
        empty = false;
        Ok(())
    });
    read.is_ok() && empty
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_within_ours() {
        for _ in 0..1_000 {
            assert!((FIRST..=LAST).contains(&anywhere()));
        }
    }

    #[test]
    fn what_administrators_have_named_is_theirs() {
        assert_eq!(named_number("web:1073741830"), Some(1_073_741_830));
        for line in ["", "# a comment", "web", "web:", "web:x", "web:-1"] {
            assert_eq!(named_number(line), None, "{line}");
        }
    }
}

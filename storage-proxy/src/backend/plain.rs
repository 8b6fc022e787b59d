//! Any filesystem: directories, and the tree engine.

use std::{
    ffi::CStr,
    os::fd::{BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{AtFlags, Mode, OFlags, ioctl_ficlone, mkdirat, openat, unlinkat},
    io::{Errno, Result as IoResult, write},
};

use vfolder_ioctl::xfs::can_share_blocks;

use super::{Backend, Capabilities, Cloned, Method};
use crate::tree::{
    CloneTarget, Control, Fault, Filesystem, TreeError, Usage, Workers, clone_tree,
    open::open_directory, remove_tree, sync, usage,
};

/// What works everywhere.
#[derive(Clone, Copy, Debug)]
pub struct Plain {
    capabilities: Capabilities,
}

impl Plain {
    /// Tries in `staging` whether files can share their blocks.
    #[must_use]
    pub fn probe(staging: BorrowedFd<'_>, filesystem: Filesystem) -> Self {
        let mut plain = Self::without_trying(filesystem);
        if can_reflink(staging, filesystem) {
            plain.capabilities.method = Method::Reflink;
        }
        plain
    }

    pub(super) fn without_trying(filesystem: Filesystem) -> Self {
        // Measured on 100,000 small files: a second thread halves the time of a clone everywhere, and that of a removal
        // on ext4. On XFS it saves an eighth (2.43 s became 2.13 s): the kernel frees inodes on the processor that has
        // unlinked them. On btrfs it costs a tenth (2.7 s became 3.1 s), and half as much processor time again.
        let remove_workers = match filesystem.is_btrfs() {
            true => Workers::ONE,
            false => Workers::all_cores(),
        };
        Self {
            capabilities: Capabilities {
                method: Method::Copy,
                clone_workers: Workers::all_cores(),
                remove_workers,
                quota: false,
            },
        }
    }
}

impl Backend for Plain {
    fn name(&self) -> &'static str {
        "plain"
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn create(&self, parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
        mkdirat(parent, name, Mode::RWXU)?;
        open_directory(parent, name)
    }

    fn clone_tree(
        &self,
        source: BorrowedFd<'_>,
        target: CloneTarget<'_>,
        control: &Control,
    ) -> Result<Cloned, TreeError> {
        if self.capabilities.method == Method::Reflink {
            write_out(source, control).map_err(|fault| TreeError::new(fault, Vec::new()))?;
        }
        let walked = clone_tree(source, target, self.capabilities.clone_workers, control)?;
        Ok(Cloned {
            durable: false,
            walked: Some(walked),
        })
    }

    fn remove(
        &self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        control: &Control,
    ) -> Result<(), TreeError> {
        remove_tree(parent, name, self.capabilities.remove_workers, control)
    }

    fn removes_at_once(&self, _tree: BorrowedFd<'_>) -> bool {
        false
    }

    fn usage(
        &self,
        root: BorrowedFd<'_>,
        workers: Workers,
        control: &Control,
    ) -> Result<Usage, TreeError> {
        usage(root, workers, control)
    }
}

/// Sees to it that what is shared is on disk: FICLONE writes out what is not of each file, one after the other, and hears no
/// wish to stop meanwhile.
///
/// # Errors
/// [`Fault::Cancelled`]. A write that fails is told to whoever shares the file or syncs the copy.
pub fn write_out(source: BorrowedFd<'_>, control: &Control) -> Result<(), Fault> {
    // Opened anew: the error of a write is told once to each.
    let written = open_directory(source, c".")
        .map_err(|errno| Fault::System("open", errno))
        .and_then(|handle| sync(handle, control));
    match written {
        Err(Fault::Cancelled) => Err(Fault::Cancelled),
        _ => Ok(()),
    }
}

/// Tries it with two small files. Where there is no room for them, the filesystem is asked.
fn can_reflink(staging: BorrowedFd<'_>, filesystem: Filesystem) -> bool {
    let names = [".reflink-probe-1", ".reflink-probe-2"];
    let attempt = || -> IoResult<()> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let [from, to] = names.map(|name| openat(staging, name, flags, Mode::RUSR | Mode::WUSR));
        let (from, to) = (from?, to?);
        write(&from, &[1; 4096])?;
        ioctl_ficlone(to, from)
    };
    let can = match attempt() {
        Err(Errno::NOSPC | Errno::DQUOT) => {
            filesystem.is_btrfs() || filesystem.is_xfs() && can_share_blocks(staging) == Ok(true)
        }
        tried => tried.is_ok(),
    };
    for name in names {
        let _ = unlinkat(staging, name, AtFlags::empty());
    }
    can
}

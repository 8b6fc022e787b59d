//! Which filesystem it is.

use std::{fmt, os::fd::AsFd};

use rustix::{fs::fstatfs, io::Result};
use vfolder_ioctl::btrfs;

/// linux/magic.h: ext4, and what it has grown out of.
const EXT4: u64 = 0xef53;
/// linux/magic.h.
const XFS: u64 = 0x5846_5342;

/// A filesystem's type, by its magic number: statfs(2) and linux/magic.h.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filesystem(u64);

impl Filesystem {
    /// That of an open file or directory.
    ///
    /// # Errors
    /// Those of statfs(2).
    pub fn of(file: impl AsFd) -> Result<Self> {
        let found = fstatfs(file)?;
        #[allow(
            clippy::cast_sign_loss,
            clippy::unnecessary_cast,
            reason = "f_type's type differs between architectures"
        )]
        let magic = found.f_type as u64;
        Ok(Self(magic & 0xffff_ffff))
    }

    /// btrfs.
    #[must_use]
    pub fn is_btrfs(self) -> bool {
        self.0 == btrfs::SUPER_MAGIC
    }

    /// ext4, ext3 or ext2.
    #[must_use]
    pub fn is_ext4(self) -> bool {
        self.0 == EXT4
    }

    /// XFS.
    #[must_use]
    pub fn is_xfs(self) -> bool {
        self.0 == XFS
    }
}

/// Its name; the number in hexadecimal where that is not known.
impl fmt::Display for Filesystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            EXT4 => "ext4",
            XFS => "xfs",
            btrfs::SUPER_MAGIC => "btrfs",
            0x0102_1994 => "tmpfs",
            0x6969 => "nfs",
            0x00c3_6400 => "ceph",
            0x794c_7630 => "overlay",
            0x2fc1_2fc1 => "zfs",
            0x6573_5546 => "fuse",
            0x0bd0_0bd0 => "lustre",
            0x4750_4653 => "gpfs",
            0xf2f5_2010 => "f2fs",
            0xca45_1a4e => "bcachefs",
            0xff53_4d42 | 0xfe53_4d42 => "cifs",
            other => return write!(f, "0x{other:x}"),
        })
    }
}

//! How a volume is, and how much it holds.

use rustix::fs::{fstatfs, fstatvfs};

use super::{OpenVolume, VolumeError, error::on};

/// Whether a volume can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Reads and writes.
    Serving,
    /// Mounted read-only.
    ReadOnly,
}

/// How a volume is.
#[derive(Clone, Debug)]
pub struct Capacity {
    /// Whether it can be written.
    pub health: Health,
    /// The filesystem's type.
    pub filesystem: String,
    /// Size in bytes.
    pub total_bytes: u64,
    /// Bytes that can still be written.
    pub available_bytes: u64,
    /// Inodes in all; 0 where there is no such limit.
    pub total_inodes: u64,
    /// Inodes that can still be used; 0 where there is no such limit.
    pub available_inodes: u64,
    /// Files can share their blocks.
    pub reflink: bool,
}

impl OpenVolume {
    /// How the volume is now.
    ///
    /// # Errors
    /// Those of statvfs(3) and statfs(2).
    pub fn capacity(&self) -> Result<Capacity, VolumeError> {
        let name = &self.description.name;
        let space = fstatvfs(&self.root).map_err(on(name, "statvfs"))?;
        let filesystem = fstatfs(&self.root).map_err(on(name, "statfs"))?;
        #[allow(
            clippy::cast_sign_loss,
            clippy::unnecessary_cast,
            reason = "f_type's type differs between architectures"
        )]
        let magic = filesystem.f_type as u64;
        Ok(Capacity {
            health: if self.is_read_only() {
                Health::ReadOnly
            } else {
                Health::Serving
            },
            filesystem: filesystem_name(magic & 0xffff_ffff),
            total_bytes: space.f_blocks.saturating_mul(space.f_frsize),
            available_bytes: space.f_bavail.saturating_mul(space.f_frsize),
            total_inodes: space.f_files,
            available_inodes: space.f_favail,
            reflink: self.reflink,
        })
    }
}

/// Magic numbers: statfs(2) and linux/magic.h.
fn filesystem_name(magic: u64) -> String {
    match magic {
        0xef53 => "ext4",
        0x5846_5342 => "xfs",
        0x9123_683e => "btrfs",
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
        other => return format!("0x{other:x}"),
    }
    .to_owned()
}

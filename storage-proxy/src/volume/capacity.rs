//! How a volume is, and how much it holds.

use rustix::fs::fstatvfs;

use super::{OpenVolume, VolumeError, error::on};
use crate::{backend::Method, tree::Filesystem};

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
    /// How trees are cloned.
    pub method: Method,
}

impl OpenVolume {
    /// How the volume is now.
    ///
    /// # Errors
    /// Those of statvfs(3) and statfs(2).
    pub fn capacity(&self) -> Result<Capacity, VolumeError> {
        let name = &self.description.name;
        let space = fstatvfs(&self.root).map_err(on(name, "statvfs"))?;
        let filesystem = Filesystem::of(&self.root).map_err(on(name, "statfs"))?;
        Ok(Capacity {
            health: if self.is_read_only() {
                Health::ReadOnly
            } else {
                Health::Serving
            },
            filesystem: filesystem.to_string(),
            total_bytes: space.f_blocks.saturating_mul(space.f_frsize),
            available_bytes: space.f_bavail.saturating_mul(space.f_frsize),
            total_inodes: space.f_files,
            available_inodes: space.f_favail,
            method: self.backend.capabilities().method,
        })
    }
}

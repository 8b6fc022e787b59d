//! What an XFS can do: xfs/xfs_fs.h.

use std::os::fd::AsFd;

use rustix::{
    io::Result,
    ioctl::{Getter, Opcode, ioctl, opcode},
};

/// `XFS_FSOP_GEOM_FLAGS_REFLINK`.
const REFLINK: u32 = 1 << 20;

/// `struct xfs_fsop_geom`, of which only the flags are read.
#[repr(C)]
struct Geometry {
    sizes: [u32; 8],
    blocks: [u64; 4],
    uuid: [u8; 16],
    stripes: [u32; 2],
    version: i32,
    flags: u32,
    rest: [u64; 20],
}

const FSGEOMETRY: Opcode = opcode::read::<Geometry>(b'X', 126);

/// Whether the XFS that `file` is on was made so that files can share their blocks. Nothing is tried: the filesystem may be
/// full.
///
/// # Errors
/// `ENOTTY` before Linux 5.2, and where it is no XFS.
pub fn can_share_blocks(file: impl AsFd) -> Result<bool> {
    // SAFETY: the kernel fills one `struct xfs_fsop_geom` for this number, of which any bytes are valid.
    let getter = unsafe { Getter::<FSGEOMETRY, Geometry>::new() };
    // SAFETY: as above.
    let geometry = unsafe { ioctl(file, getter) }?;
    Ok(geometry.flags & REFLINK != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structure_and_the_number_are_those_of_the_header() {
        assert_eq!(size_of::<Geometry>(), 256);
        assert_eq!(std::mem::offset_of!(Geometry, flags), 92);
        // _IOR('X', 126, struct xfs_fsop_geom)
        assert_eq!(FSGEOMETRY, 0x8100_587e);
    }

    #[test]
    fn other_filesystems_refuse_the_call() -> std::io::Result<()> {
        let directory = std::fs::File::open("/proc/self")?;
        assert!(can_share_blocks(&directory).is_err());
        Ok(())
    }
}

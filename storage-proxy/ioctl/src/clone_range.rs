//! Sharing a part of one file's blocks with another: `FICLONERANGE`, ioctl_ficlonerange(2).

use std::os::fd::{AsFd, AsRawFd};

use rustix::{
    io::Result,
    ioctl::{Opcode, Setter, ioctl, opcode},
};

/// linux/fs.h: `struct file_clone_range`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct FileCloneRange {
    src_fd: i64,
    src_offset: u64,
    src_length: u64,
    dest_offset: u64,
}

const FICLONERANGE: Opcode = opcode::write::<FileCloneRange>(0x94, 13);

/// Makes `length` bytes of `to` from `to_offset` on share the blocks of those of `from` from `from_offset` on. A length
/// of 0: to the end of `from`. Cloning a huge file in steps lets a wish to stop be heard in between.
///
/// # Errors
/// Those of ioctl_ficlonerange(2): `EINVAL` where offsets or length are not whole blocks (but at the end of `from`),
/// `EXDEV`, `EOPNOTSUPP` or `ENOTTY` where files can't share blocks.
pub fn clone_range(
    to: impl AsFd,
    to_offset: u64,
    from: impl AsFd,
    from_offset: u64,
    length: u64,
) -> Result<()> {
    let range = FileCloneRange {
        src_fd: from.as_fd().as_raw_fd().into(),
        src_offset: from_offset,
        src_length: length,
        dest_offset: to_offset,
    };
    // SAFETY: the kernel reads one `struct file_clone_range` for this number, and writes nothing.
    let setter = unsafe { Setter::<FICLONERANGE, FileCloneRange>::new(range) };
    // SAFETY: both handles are borrowed for as long as the call lasts.
    unsafe { ioctl(to, setter) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use rustix::fs::{MemfdFlags, memfd_create};

    use super::*;

    #[test]
    fn the_structure_is_that_of_the_header() {
        assert_eq!(size_of::<FileCloneRange>(), 32);
        assert_eq!(FICLONERANGE, 0x4020_940d);
    }

    #[test]
    fn a_filesystem_without_shared_blocks_refuses() {
        let [from, to] =
            ["from", "to"].map(|name| memfd_create(name, MemfdFlags::CLOEXEC).unwrap());
        assert!(clone_range(to, 0, from, 0, 4096).is_err());
    }
}

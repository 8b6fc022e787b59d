//! What is put into an archive.

/// An entry.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Its path, without a '/' at either end.
    pub name: &'a [u8],
    /// What it is.
    pub what: What<'a>,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last change of its data; seconds and nanoseconds since 1970.
    pub modified: (i64, i64),
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What<'a> {
    /// A regular file of so many bytes.
    File {
        /// How many.
        size: u64,
    },
    /// A directory.
    Directory,
    /// A symlink, and where it points.
    Symlink(&'a [u8]),
    /// Another name of the file that is under this name in the archive.
    HardLink(&'a [u8]),
    /// A named pipe.
    Fifo,
}

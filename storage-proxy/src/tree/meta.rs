//! What stat(2) says, in one shape on every architecture.

use rustix::fs::{FileType, Gid, Mode, Stat, Timespec, Timestamps, Uid};

/// Which file on a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    /// Device number.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
}

/// What a directory entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// Regular file.
    Regular,
    /// Directory.
    Directory,
    /// Symbolic link.
    Symlink,
    /// Named pipe.
    Fifo,
    /// Socket.
    Socket,
    /// Character device.
    CharacterDevice,
    /// Block device.
    BlockDevice,
    /// Not told, or unknown to us.
    Unknown,
}

impl From<FileType> for FileKind {
    fn from(file_type: FileType) -> Self {
        match file_type {
            FileType::RegularFile => Self::Regular,
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Symlink,
            FileType::Fifo => Self::Fifo,
            FileType::Socket => Self::Socket,
            FileType::CharacterDevice => Self::CharacterDevice,
            FileType::BlockDevice => Self::BlockDevice,
            FileType::Unknown => Self::Unknown,
        }
    }
}

/// A file's inode, as stat(2) tells it.
#[derive(Clone, Copy, Debug)]
pub struct Meta {
    /// Which file.
    pub id: FileId,
    /// What it is.
    pub kind: FileKind,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// How many names it has.
    pub links: u64,
    /// Size in bytes.
    pub size: u64,
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// Of a device node: which device.
    pub device: u64,
    /// Last read; seconds and nanoseconds since 1970.
    pub accessed: (i64, i64),
    /// Last change of its data; seconds and nanoseconds since 1970.
    pub modified: (i64, i64),
    /// Last change of anything in the inode, by the filesystem's clock; seconds and nanoseconds since 1970.
    pub changed: (i64, i64),
}

impl From<Stat> for Meta {
    #[allow(
        clippy::unnecessary_cast,
        clippy::cast_lossless,
        clippy::cast_sign_loss,
        clippy::cast_possible_wrap,
        reason = "the fields' types differ between architectures; none is negative where unsigned here"
    )]
    fn from(stat: Stat) -> Self {
        Self {
            id: FileId {
                dev: stat.st_dev as u64,
                ino: stat.st_ino as u64,
            },
            kind: FileType::from_raw_mode(stat.st_mode as _).into(),
            mode: stat.st_mode as u32 & 0o7777,
            uid: stat.st_uid as u32,
            gid: stat.st_gid as u32,
            links: stat.st_nlink as u64,
            size: stat.st_size as u64,
            disk_bytes: stat.st_blocks as u64 * 512,
            device: stat.st_rdev as u64,
            accessed: (stat.st_atime as i64, stat.st_atime_nsec as i64),
            modified: (stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            changed: (stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        }
    }
}

impl Meta {
    /// The mode as chmod(2) takes it.
    #[must_use]
    pub fn mode_bits(&self) -> Mode {
        Mode::from_bits_truncate(self.mode)
    }

    /// The bytes that go with this name: those of a file without another one.
    #[must_use]
    pub fn bytes_of_its_own(&self) -> u64 {
        match self.kind {
            FileKind::Regular if self.links == 1 => self.size,
            _ => 0,
        }
    }

    /// The owner as chown(2) takes it.
    #[must_use]
    pub fn owner(&self) -> (Uid, Gid) {
        (Uid::from_raw(self.uid), Gid::from_raw(self.gid))
    }

    /// The times as utimensat(2) takes them.
    #[must_use]
    pub fn times(&self) -> Timestamps {
        let spec = |(tv_sec, tv_nsec)| Timespec { tv_sec, tv_nsec };
        Timestamps {
            last_access: spec(self.accessed),
            last_modification: spec(self.modified),
        }
    }
}

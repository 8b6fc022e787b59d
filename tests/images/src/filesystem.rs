//! The filesystems that every fact about trees is tried on.

use std::{fmt, path::Path};

use crate::{Disk, is_root, keeper::Keeper, not_checked};

const MIB: u64 = 1 << 20;

/// A kind of filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filesystem {
    /// With a journal.
    Ext4,
    /// With reflinks.
    Xfs,
    /// One device, metadata once.
    Btrfs,
    /// A directory where the images would lie, mostly a tmpfs. Needs no root.
    Plain,
}

impl Filesystem {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Ext4, Self::Xfs, Self::Btrfs, Self::Plain];

    /// A new one of `bytes`, or of the least that its mkfs takes. Sparse: what isn't written takes no memory. Nothing, and
    /// a word on stderr, where this process can't mount it.
    ///
    /// # Panics
    ///
    /// Where it can't be mounted and [must be](not_checked).
    #[must_use]
    pub fn make(self, bytes: u64) -> Option<Disk> {
        if self == Self::Plain {
            return Some(Disk::plain());
        }
        if !is_root() {
            not_checked(&format!("not root, so nothing on {self}"));
            return None;
        }
        let mounted = Keeper::mount(self, bytes.max(self.least()));
        mounted
            .map(Disk::kept)
            .map_err(|why| not_checked(&format!("no {self} here: {why}")))
            .ok()
    }

    /// The least size of an image, in bytes.
    const fn least(self) -> u64 {
        match self {
            Self::Ext4 => 4 * MIB,
            // mkfs.xfs(8), since xfsprogs 5.19.
            Self::Xfs => 300 * MIB,
            Self::Btrfs => 32 * MIB,
            Self::Plain => 0,
        }
    }

    /// The command that makes it in `image`. None of them discards or zeroes what a new file doesn't have anyway.
    pub(crate) fn mkfs(self, image: &Path, bytes: u64) -> Vec<String> {
        let options: &[&str] = match self {
            Self::Ext4 => &[
                "mkfs.ext4",
                "-q",
                "-F",
                "-O",
                "has_journal",
                "-E",
                "nodiscard,lazy_itable_init=1,lazy_journal_init=1",
            ],
            Self::Xfs => &["mkfs.xfs", "-q", "-f", "-K", "-m", "reflink=1"],
            // Metadata have no place of their own there, to be full while there is space (mkfs.btrfs(8), --mixed).
            Self::Btrfs if bytes < 512 * MIB => &["mkfs.btrfs", "-q", "-f", "-K", "--mixed"],
            Self::Btrfs => &[
                "mkfs.btrfs",
                "-q",
                "-f",
                "-K",
                "-m",
                "single",
                "-d",
                "single",
            ],
            Self::Plain => &["true"],
        };
        let image = image.to_str().expect("images have plain names");
        let words = options.iter().chain([&image]);
        words.map(|word| (*word).to_owned()).collect()
    }

    /// The options that it is mounted with.
    pub(crate) const fn mount_options(self) -> &'static str {
        match self {
            // No thread that zeroes inode tables while somebody measures.
            Self::Ext4 => "loop,noinit_itable",
            Self::Xfs | Self::Btrfs | Self::Plain => "loop",
        }
    }
}

impl fmt::Display for Filesystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "XFS",
            Self::Btrfs => "btrfs",
            Self::Plain => "plain directory",
        })
    }
}

/// Makes of each `fn name(filesystem: Filesystem)` the tests `name::ext4`, `name::xfs`, `name::btrfs` and `name::plain`.
#[macro_export]
macro_rules! on_each_filesystem {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            $crate::on_each_filesystem!(@on $name ext4 Ext4);
            $crate::on_each_filesystem!(@on $name xfs Xfs);
            $crate::on_each_filesystem!(@on $name btrfs Btrfs);
            $crate::on_each_filesystem!(@on $name plain Plain);
        }
    )+};
    (@on $name:ident $test:ident $filesystem:ident) => {
        #[test]
        fn $test() {
            super::$name($crate::Filesystem::$filesystem);
        }
    };
}

/// Makes of each `fn name(filesystem: Filesystem)` the tests `name::ext4`, `name::xfs` and `name::btrfs`: for what needs a
/// filesystem of one's own.
#[macro_export]
macro_rules! on_each_image {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            $crate::on_each_filesystem!(@on $name ext4 Ext4);
            $crate::on_each_filesystem!(@on $name xfs Xfs);
            $crate::on_each_filesystem!(@on $name btrfs Btrfs);
        }
    )+};
}

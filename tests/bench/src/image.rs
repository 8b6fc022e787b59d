//! Filesystems of our own: images in memory, mounted.

use std::{
    fs::{self, File},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use rustix::fs::{Mode, OFlags, open, syncfs};
use serde::{Deserialize, Serialize};

use crate::Told;

/// The filesystems that volumes are on.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub enum Filesystem {
    /// With a journal.
    Ext4,
    /// With reflinks.
    Xfs,
    /// With reflinks and snapshots.
    Btrfs,
}

impl Filesystem {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Ext4, Self::Xfs, Self::Btrfs];

    /// As mount(8) calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }

    /// Bytes that a file takes besides its data, for as long as it takes most.
    const fn inode(self) -> u64 {
        match self {
            Self::Ext4 | Self::Btrfs => INODE,
            Self::Xfs => INODE + XFS_SET_ASIDE,
        }
    }

    /// Makes it on `image`, with room for so many files.
    fn make(self, image: &Path, inodes: u64) -> Command {
        let mut command = Command::new(format!("mkfs.{}", self.name()));
        match self {
            Self::Ext4 => command
                .args(["-q", "-F", "-O", "has_journal", "-N"])
                .arg(inodes.to_string()),
            Self::Xfs => command.args(["-q", "-f", "-m", "reflink=1"]),
            Self::Btrfs => command.args(["-q", "-f"]),
        };
        command.arg(image);
        command
    }
}

/// How much room an image needs.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// For data.
    pub bytes: u64,
    /// For files.
    pub inodes: u64,
}

/// `mkfs.xfs` refuses less than 300 MB; small btrfs images are full of metadata.
const LEAST: u64 = 768 << 20;
/// An inode with its names, on the filesystem that needs most for one.
const INODE: u64 = 2048;
/// What XFS sets aside for the extents of each file that is written and not on disk yet. Where that is not there, creating
/// the next file waits until all others are on disk: that would measure a full volume. It is of an image with holes, and
/// costs no memory.
const XFS_SET_ASIDE: u64 = 32 << 10;
/// How long it may take until what was mounted is no longer in use.
const PATIENCE: Duration = Duration::from_secs(60);

/// A mounted image. Nothing is left of it when it is dropped.
#[derive(Debug)]
pub struct Image {
    root: OwnedFd,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Image {
    /// Makes and mounts one.
    ///
    /// # Errors
    /// What mkfs and mount say.
    pub fn new(filesystem: Filesystem, place: &Path, room: Room) -> Told<Self> {
        let failed = |e: std::io::Error| format!("{}: {e}", place.display());
        let folder = tempfile::Builder::new()
            .prefix("vfolder-bench-")
            .tempdir_in(place)
            .map_err(failed)?;
        let (image, path) = (folder.path().join("image"), folder.path().join("mounted"));
        fs::create_dir(&path).map_err(failed)?;
        let size = LEAST + room.bytes + room.inodes * filesystem.inode();
        let file = File::create(&image).map_err(failed)?;
        file.set_len(size).map_err(failed)?;
        run(&mut filesystem.make(&image, room.inodes + 1024))?;
        // noatime: else reading a tree costs writes, of which the first reader would pay most.
        let mut mount = Command::new("mount");
        run(mount.args(["-o", "loop,noatime"]).arg(&image).arg(&path))?;
        // The mount holds it; now it can't outlive us.
        fs::remove_file(&image).map_err(failed)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = open(&path, flags, Mode::empty()).map_err(|e| format!("open: {e}"))?;
        Ok(Self {
            root,
            path,
            _folder: folder,
        })
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until what was written before is on its way no longer.
    pub fn settle(&self) -> Told<()> {
        // Twice: the first may start what XFS and btrfs do in the background, inodes to be freed.
        syncfs(&self.root)
            .and_then(|()| syncfs(&self.root))
            .map_err(|e| format!("syncfs: {e}"))
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let begun = Instant::now();
        if let Ok(elsewhere) = open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
            self.root = elsewhere;
        }
        while begun.elapsed() < PATIENCE {
            match run(Command::new("umount").arg(&self.path)) {
                Ok(()) => return,
                Err(_) => thread::sleep(Duration::from_millis(100)),
            }
        }
        eprintln!("bench-tree: {} can't be unmounted", self.path.display());
    }
}

/// Runs a command that is to succeed.
///
/// # Errors
/// What it says.
pub fn run(command: &mut Command) -> Told<()> {
    let output = command.output();
    let output = output.map_err(|e| format!("{}: {e}", command.get_program().display()))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!(
            "{command:?}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
    }
}

//! upload.json: what an upload is, and how it ends.

use rustix::{
    fs::{AtFlags, statat},
    io::Errno,
};
use serde::{Deserialize, Serialize};

use super::{RangeSet, UploadFolder, arrivals};
use crate::{
    tree::{FileKind, Meta, meta::FileId},
    volume::durable::{read_file, replace_file},
};

const NAME: &str = "upload.json";

/// What is to become of an upload, and what has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadRecord {
    /// Where the file is to appear, from the tree's root.
    pub path: Vec<u8>,
    /// It may replace a regular file.
    pub replace: bool,
    /// Missing directories above it are made.
    pub parents: bool,
    /// Its permission bits.
    pub mode: u32,
    /// The last change of its data; seconds and nanoseconds since 1970. None: when the last of it arrived.
    pub modified: Option<(i64, u32)>,
    /// How large it is to be, where that is known.
    pub size: Option<u64>,
    /// It is of one request, and of nobody once that has ended.
    pub passing: bool,
    /// What whoever began it wants to know later.
    pub note: String,
    /// Whoever sees that all of it has arrived commits it.
    #[serde(default)]
    pub completes: bool,
    /// When it was begun; milliseconds since 1970.
    pub created: u64,
    /// Which bytes were synced before this was written.
    pub durable: RangeSet,
    /// How it goes into the tree; written before it does.
    pub landing: Option<Landing>,
    /// It is in the tree.
    pub committed: Option<Committed>,
}

/// How an upload goes into its tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Landing {
    /// The file, as it is then.
    pub file: LandedFile,
    /// A copy goes into the tree, since the file itself can't; under a name of its own first, where it replaces another.
    pub copied: bool,
    /// What its bytes are known to be.
    #[serde(default)]
    pub digests: KnownDigests,
}

/// Digests that were computed of a file, for whoever wants to know later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownDigests {
    /// SHA-256.
    pub sha256: Option<[u8; 32]>,
    /// BLAKE3.
    pub blake3: Option<[u8; 32]>,
}

/// An upload that is in its tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    /// Since when; milliseconds since 1970.
    pub at: u64,
    /// The file, as it was then.
    pub file: LandedFile,
}

/// What there is to tell of a regular file, on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "as in `Meta`")]
pub struct LandedFile {
    pub ino: u64,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    pub disk_bytes: u64,
    pub modified: (i64, i64),
    pub changed: (i64, i64),
}

impl From<&Meta> for LandedFile {
    fn from(meta: &Meta) -> Self {
        Self {
            ino: meta.id.ino,
            mode: meta.mode,
            uid: meta.uid,
            gid: meta.gid,
            size: meta.size,
            disk_bytes: meta.disk_bytes,
            modified: meta.modified,
            changed: meta.changed,
        }
    }
}

impl From<LandedFile> for Meta {
    fn from(file: LandedFile) -> Self {
        Self {
            id: FileId {
                dev: 0,
                ino: file.ino,
            },
            kind: FileKind::Regular,
            mode: file.mode,
            uid: file.uid,
            gid: file.gid,
            links: 1,
            size: file.size,
            disk_bytes: file.disk_bytes,
            device: 0,
            accessed: file.modified,
            modified: file.modified,
            changed: file.changed,
        }
    }
}

impl UploadRecord {
    /// What is written in `folder`. None: nothing.
    ///
    /// # Errors
    /// Those of the calls; `EBADMSG` for what does not read, perhaps since a newer version has written it.
    pub fn read(folder: &UploadFolder) -> Result<Option<Self>, Errno> {
        match read_file(folder, NAME)? {
            None => Ok(None),
            Some(content) => serde_json::from_slice(&content).map_err(|_| Errno::BADMSG),
        }
    }

    /// Writes it in `folder`, in place of what was there. Durable when it returns.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn write(&self, folder: &UploadFolder) -> Result<(), Errno> {
        let content = serde_json::to_vec(self).map_err(|_| Errno::INVAL)?;
        replace_file(folder, NAME, &content)
    }

    /// When somebody last wrote to the upload; milliseconds since 1970.
    #[must_use]
    pub fn last_written(&self, folder: &UploadFolder) -> u64 {
        let written = statat(folder, arrivals::NAME, AtFlags::SYMLINK_NOFOLLOW)
            .map(|stat| Meta::from(stat).modified);
        let written = written.map_or(0, |(seconds, nanos)| seconds * 1000 + nanos / 1_000_000);
        u64::try_from(written).unwrap_or(0).max(self.created)
    }
}

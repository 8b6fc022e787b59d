//! What a task is to do.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Done, Failure, FailureKind, Receipt};
use crate::{
    account::Exceeded,
    archive::Format,
    tree::{Progress, RelativePath},
};

/// A task, but for its id. The same id must always come with the same one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// The volume's name.
    pub volume: String,
    /// The vfolder's epoch at the operation's start.
    pub epoch: i64,
    /// The work.
    pub work: Work,
}

/// Kinds of work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Make an empty tree.
    Create {
        /// Whose.
        vfolder: Uuid,
    },
    /// Copy a tree.
    Clone {
        /// Whose.
        source: Uuid,
        /// For whom.
        vfolder: Uuid,
        /// The source's epoch while it is copied. (0 in the journals of earlier versions.)
        #[serde(default)]
        source_epoch: i64,
        /// Digest the copy.
        #[serde(default)]
        receipt: bool,
    },
    /// Destroy a tree.
    Purge {
        /// Whose.
        vfolder: Uuid,
    },
    /// Digest a tree.
    Verify {
        /// Whose.
        vfolder: Uuid,
    },
    /// Count a tree, for its account.
    Recount {
        /// Whose.
        vfolder: Uuid,
    },
    /// Unpack an archive inside a tree.
    Extract(Box<Extraction>),
    /// Remove what is in a tree.
    Remove(Removal),
}

/// Unpacking an archive inside a tree. Paths are from the tree's root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extraction {
    /// Whose.
    pub vfolder: Uuid,
    /// The archive.
    pub archive: RelativePath,
    /// The directory to unpack into.
    pub destination: RelativePath,
    /// How it is written; nothing: to be found out.
    pub format: Option<Format>,
    /// What to do with what is there already.
    pub existing: Existing,
    /// At most so many bytes of file data.
    pub max_bytes: u64,
    /// At most so many entries, and so many directory entries made.
    pub max_files: u64,
}

/// What to do with what is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Existing {
    /// Unpack nothing at all.
    Fail,
    /// Leave it.
    Skip,
    /// Replace it.
    Replace,
}

/// Removing what is in a tree. Paths are from the tree's root.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// Whose.
    pub vfolder: Uuid,
    /// What; not the root.
    pub paths: Vec<RelativePath>,
    /// What is not there counts as removed.
    pub missing_ok: bool,
}

/// For the log: a request may name a megabyte of paths.
impl fmt::Debug for Removal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Removal")
            .field("vfolder", &self.vfolder)
            .field("first", &self.paths.first())
            .field("paths", &self.paths.len())
            .field("missing_ok", &self.missing_ok)
            .finish()
    }
}

impl Work {
    /// The vfolder whose tree appears or disappears, is read or worked in.
    #[must_use]
    pub fn vfolder(&self) -> Uuid {
        match self {
            Self::Create { vfolder }
            | Self::Clone { vfolder, .. }
            | Self::Purge { vfolder }
            | Self::Verify { vfolder }
            | Self::Recount { vfolder }
            | Self::Remove(Removal { vfolder, .. }) => *vfolder,
            Self::Extract(extraction) => extraction.vfolder,
        }
    }

    /// Whether anything changes. What only reads keeps no journal and leaves nothing: after a restart it is done anew, if
    /// it is asked for.
    #[must_use]
    pub fn publishes(&self) -> bool {
        !matches!(self, Self::Verify { .. } | Self::Recount { .. })
    }

    /// Whether it works inside a tree that is there before and after, so that only the journal knows whether it is done.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        matches!(self, Self::Extract(_) | Self::Remove(_))
    }

    /// Whether the vfolder has a tree once the work is published.
    #[must_use]
    pub fn leaves_a_tree(&self) -> bool {
        !matches!(self, Self::Purge { .. })
    }
}

/// A task in the journal: written before it touches anything else on disk, removed when it is forgotten.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    /// The task.
    pub spec: TaskSpec,
    /// What was done, as of right before publication.
    pub totals: Option<Totals>,
    /// Why it failed for good. It is never done again.
    #[serde(default)]
    pub verdict: Option<Verdict>,
    /// Of what works in place: how far it is.
    #[serde(default)]
    pub progress: Option<InPlace>,
}

/// How far work inside a tree is. There once all was looked at that can make it fail before it has changed anything: from
/// then on, what is there may be its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct InPlace {
    /// Of an extraction: so many entries are unpacked, and durable.
    #[serde(default)]
    pub durable: u64,
}

impl Record {
    pub fn new(spec: &TaskSpec) -> Self {
        Self {
            spec: spec.clone(),
            totals: None,
            verdict: None,
            progress: None,
        }
    }

    /// Whether it is the task that is asked for now.
    pub fn is_of(&self, asked: &TaskSpec) -> bool {
        let mut noted = self.spec.clone();
        if let (
            Work::Clone { source_epoch, .. },
            Work::Clone {
                source_epoch: now, ..
            },
        ) = (&mut noted.work, &asked.work)
            && *source_epoch == 0
        {
            *source_epoch = *now;
        }
        noted == *asked
    }
}

/// A [`Failure`] that lasts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Verdict {
    kind: FailureKind,
    message: String,
    #[serde(default)]
    exceeded: Option<Box<Exceeded>>,
}

impl From<&Failure> for Verdict {
    fn from(failure: &Failure) -> Self {
        Self {
            kind: failure.kind,
            message: failure.message.clone(),
            exceeded: failure.exceeded.clone(),
        }
    }
}

impl From<Verdict> for Failure {
    fn from(verdict: Verdict) -> Self {
        Self {
            exceeded: verdict.exceeded,
            ..Self::lasting(verdict.kind, verdict.message)
        }
    }
}

/// Entries and bytes done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Totals {
    pub entries: u64,
    pub bytes: u64,
    /// The digest of what was made, if it was asked for.
    #[serde(default)]
    pub receipt: Option<Receipt>,
}

impl Totals {
    /// Of a tree that was digested.
    pub fn of(receipt: Receipt) -> Self {
        Self {
            entries: receipt.entries,
            bytes: receipt.bytes,
            receipt: Some(receipt),
        }
    }
}

impl From<Totals> for Done {
    fn from(totals: Totals) -> Self {
        let Totals {
            entries,
            bytes,
            receipt,
        } = totals;
        let progress = Progress {
            entries_done: entries,
            entries_total: entries,
            bytes_done: bytes,
            bytes_total: bytes,
        };
        Self { progress, receipt }
    }
}

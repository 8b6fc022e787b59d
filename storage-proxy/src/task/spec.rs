//! What a task is to do.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::tree::Progress;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    },
    /// Destroy a tree.
    Purge {
        /// Whose.
        vfolder: Uuid,
    },
}

impl Work {
    /// The vfolder whose tree appears or disappears.
    #[must_use]
    pub fn vfolder(self) -> Uuid {
        match self {
            Self::Create { vfolder } | Self::Clone { vfolder, .. } | Self::Purge { vfolder } => {
                vfolder
            }
        }
    }

    /// Whether the vfolder has a tree once the work is published.
    #[must_use]
    pub fn leaves_a_tree(self) -> bool {
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
}

/// Entries and bytes done.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Totals {
    pub entries: u64,
    pub bytes: u64,
}

impl From<Totals> for Progress {
    fn from(Totals { entries, bytes }: Totals) -> Self {
        Self {
            entries_done: entries,
            entries_total: entries,
            bytes_done: bytes,
            bytes_total: bytes,
        }
    }
}

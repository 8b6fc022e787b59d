//! What is asked of uploads and told of them.

use uuid::Uuid;

use super::live::{Phase, State};
use crate::tree::RelativePath;

/// A file that is to be uploaded.
#[derive(Clone, Debug)]
pub struct NewUpload {
    /// Where it is to appear.
    pub path: RelativePath,
    /// It may replace a regular file.
    pub replace: bool,
    /// Make the directories above it that are missing.
    pub parents: bool,
    /// Its permission bits, 07777 at most.
    pub mode: u32,
    /// The last change of its data; seconds and nanoseconds since 1970. None: when the last of it arrived.
    pub modified: Option<(i64, u32)>,
    /// How large it will be, where that is known.
    pub size: Option<u64>,
    /// Kept for whoever asks, and looked at by nobody.
    pub note: String,
    /// To be committed, unchecked, by whoever sees that all of it has arrived.
    pub completes: bool,
}

/// From where on an upload is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Where everything before has arrived.
    Next,
    /// There.
    At(u64),
    /// There, and only if everything before has arrived, and nothing of what comes then. Whoever waits for more there loses
    /// his turn: it is most likely the same client, on a connection that nobody has told us is dead.
    Resumed(u64),
}

/// What a file has to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileCheck {
    /// Its size.
    pub size: Option<u64>,
    /// Its SHA-256.
    pub sha256: Option<[u8; 32]>,
    /// Its BLAKE3.
    pub blake3: Option<[u8; 32]>,
}

/// How far an upload is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadState {
    /// Its id.
    pub id: Uuid,
    /// Whose tree it is for.
    pub vfolder: Uuid,
    /// Where the file is to appear.
    pub path: RelativePath,
    /// How large it is to be, where that is known.
    pub size: Option<u64>,
    /// All before this has arrived.
    pub offset: u64,
    /// What else has arrived, as (begin, end), in order.
    pub received: Vec<(u64, u64)>,
    /// It is in the tree, durably.
    pub committed: bool,
    /// When it was begun; milliseconds since 1970.
    pub created: u64,
    /// When it expires unless more arrives; milliseconds since 1970.
    pub expires: u64,
    /// As [`NewUpload::note`] said.
    pub note: String,
    /// As [`NewUpload::completes`] said.
    pub completes: bool,
}

impl UploadState {
    pub(super) fn of(id: Uuid, vfolder: Uuid, state: &State, expires: u64) -> Self {
        let record = &state.record;
        let committed = matches!(state.phase, Phase::Committed(_));
        let landed = match &state.phase {
            Phase::Committed(committed) => Some(committed.file.size),
            Phase::Landed(file) => Some(file.size),
            _ => None,
        };
        let offset = landed.unwrap_or_else(|| state.arrived.prefix());
        let beyond = |one: &&std::ops::Range<u64>| landed.is_none() && one.start > 0;
        Self {
            id,
            vfolder,
            // It parsed when it was written.
            path: RelativePath::parse(&record.path).unwrap_or_else(|_| RelativePath::root()),
            size: record.size.or(landed),
            offset,
            received: state
                .arrived
                .iter()
                .filter(beyond)
                .map(|one| (one.start, one.end))
                .collect(),
            committed,
            created: record.created,
            expires,
            note: record.note.clone(),
            completes: record.completes,
        }
    }
}

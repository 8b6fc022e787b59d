//! What the clients asked and what they were told.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use uuid::Uuid;
use vfolder_proto::v1::VFolderStatus;

use super::trees::Digest;

/// Microseconds since the storm began, by the monotonic clock.
pub type Micros = u64;

/// Later than everything.
pub const NEVER: Micros = Micros::MAX;

/// What time it is.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    wall: SystemTime,
}

impl Clock {
    /// Starts now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
            wall: SystemTime::now(),
        }
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Micros {
        micros(self.start.elapsed())
    }

    /// A time of the wall clock, which the database goes by. Before the start: 0.
    #[must_use]
    pub fn at(&self, time: &prost_types::Timestamp) -> Micros {
        let start = self.wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = Duration::new(
            u64::try_from(time.seconds).unwrap_or_default(),
            u32::try_from(time.nanos).unwrap_or_default(),
        );
        micros(time.saturating_sub(start))
    }
}

/// A duration in our unit.
#[must_use]
pub fn micros(duration: Duration) -> Micros {
    Micros::try_from(duration.as_micros()).unwrap_or(NEVER)
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the requests")]
pub enum Deed {
    /// CreateVFolder. The tag is in the description, and leads from the vfolder back to the call.
    Create { tag: String, name: String },
    /// CloneVFolder.
    Clone {
        source: Uuid,
        tag: String,
        name: String,
    },
    /// DeleteVFolder.
    Trash {
        vfolder: Uuid,
        etag: Option<i64>,
        retention: Option<Duration>,
    },
    /// RestoreVFolder.
    Restore { vfolder: Uuid, name: Option<String> },
    /// PurgeVFolder.
    Purge { vfolder: Uuid, skip_trash: bool },
    /// UpdateVFolder: the name, or else a label.
    Update {
        vfolder: Uuid,
        etag: Option<i64>,
        name: Option<String>,
    },
    /// Mount.
    Mount {
        vfolder: Uuid,
        session: String,
        write: bool,
        ttl: Duration,
    },
    /// RenewMount.
    Renew {
        vfolder: Uuid,
        mount: Uuid,
        ttl: Duration,
    },
    /// Unmount, with `allow_missing`.
    Unmount { vfolder: Uuid, mount: Uuid },
    /// GetVFolder.
    Get { vfolder: Uuid },
    /// ListVFolders.
    List,
    /// FileService.ListFiles.
    ListFiles { vfolder: Uuid },
    /// FileService.CreateDirectory.
    CreateDirectory { vfolder: Uuid, path: String },
    /// FileService.ReadFile.
    ReadFile { vfolder: Uuid, path: String },
    /// FileService.CreateUpload.
    CreateUpload { vfolder: Uuid, path: String },
    /// FileService.WriteFile, into an upload.
    WriteFile { vfolder: Uuid, path: String },
    /// FileService.CommitUpload.
    CommitUpload { vfolder: Uuid, path: String },
    /// ExtractArchive into a bundle, which then has this digest.
    Extract {
        vfolder: Uuid,
        bundle: String,
        value: Digest,
    },
    /// RemoveTree of a bundle.
    RemoveTree { vfolder: Uuid, bundle: String },
    /// CancelOperation.
    Cancel { operation: Uuid },
    /// GetOperation.
    GetOperation { operation: Uuid },
}

impl Deed {
    /// What the RPC is called.
    #[must_use]
    pub const fn rpc(&self) -> &'static str {
        match self {
            Self::Create { .. } => "CreateVFolder",
            Self::Clone { .. } => "CloneVFolder",
            Self::Trash { .. } => "DeleteVFolder",
            Self::Restore { .. } => "RestoreVFolder",
            Self::Purge { .. } => "PurgeVFolder",
            Self::Update { .. } => "UpdateVFolder",
            Self::Mount { .. } => "Mount",
            Self::Renew { .. } => "RenewMount",
            Self::Unmount { .. } => "Unmount",
            Self::Get { .. } => "GetVFolder",
            Self::List => "ListVFolders",
            Self::ListFiles { .. } => "ListFiles",
            Self::CreateDirectory { .. } => "CreateDirectory",
            Self::ReadFile { .. } => "ReadFile",
            Self::CreateUpload { .. } => "CreateUpload",
            Self::WriteFile { .. } => "WriteFile",
            Self::CommitUpload { .. } => "CommitUpload",
            Self::Extract { .. } => "ExtractArchive",
            Self::RemoveTree { .. } => "RemoveTree",
            Self::Cancel { .. } => "CancelOperation",
            Self::GetOperation { .. } => "GetOperation",
        }
    }

    /// The vfolder that the request names, if it names one.
    #[must_use]
    pub const fn target(&self) -> Option<Uuid> {
        match self {
            Self::Clone { source: id, .. }
            | Self::Trash { vfolder: id, .. }
            | Self::Restore { vfolder: id, .. }
            | Self::Purge { vfolder: id, .. }
            | Self::Update { vfolder: id, .. }
            | Self::Mount { vfolder: id, .. }
            | Self::Renew { vfolder: id, .. }
            | Self::Unmount { vfolder: id, .. }
            | Self::Get { vfolder: id }
            | Self::ListFiles { vfolder: id }
            | Self::CreateDirectory { vfolder: id, .. }
            | Self::ReadFile { vfolder: id, .. }
            | Self::CreateUpload { vfolder: id, .. }
            | Self::WriteFile { vfolder: id, .. }
            | Self::CommitUpload { vfolder: id, .. }
            | Self::Extract { vfolder: id, .. }
            | Self::RemoveTree { vfolder: id, .. } => Some(*id),
            Self::Create { .. } | Self::List | Self::Cancel { .. } | Self::GetOperation { .. } => {
                None
            }
        }
    }
}

/// A vfolder as an answer shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the message")]
pub struct Seen {
    pub id: Uuid,
    pub name: String,
    pub status: VFolderStatus,
    /// The number in the etag.
    pub revision: i64,
}

/// How far an operation is, as an answer shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Progress {
    Live,
    Succeeded,
    Failed,
    Cancelled,
}

/// What an acknowledged call was told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the answers")]
pub enum Told {
    Nothing,
    VFolder(Seen),
    VFolders(Vec<Seen>),
    Operation {
        operation: Uuid,
        vfolder: Uuid,
        progress: Progress,
    },
    Mount {
        mount: Uuid,
    },
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Acknowledged.
    Done(Told),
    /// Refused for a reason of the service's: it has had no effect.
    Refused {
        /// The reason for programs.
        reason: String,
        /// The status that the refusal names.
        status: Option<VFolderStatus>,
        /// For people.
        text: String,
    },
    /// No answer, or one that leaves it open: it may have had its effect, or have it yet.
    Unknown(String),
}

/// A call, from the first attempt to the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Which client.
    pub client: usize,
    /// What for.
    pub deed: Deed,
    /// When the first attempt was sent.
    pub start: Micros,
    /// When the last one was answered, or given up.
    pub end: Micros,
    /// How many attempts were left open before the last.
    pub open_attempts: u32,
    /// How it ended.
    pub outcome: Outcome,
}

impl Call {
    /// What it was told, if it was acknowledged.
    #[must_use]
    pub const fn told(&self) -> Option<&Told> {
        match &self.outcome {
            Outcome::Done(told) => Some(told),
            _ => None,
        }
    }

    /// When its effect can have come at the latest.
    #[must_use]
    pub const fn latest(&self) -> Micros {
        match self.outcome {
            Outcome::Done(_) => self.end,
            _ => NEVER,
        }
    }

    /// Every attempt was answered, the last with a refusal: it has had no effect.
    #[must_use]
    pub const fn is_without_effect(&self) -> bool {
        matches!(self.outcome, Outcome::Refused { .. }) && self.open_attempts == 0
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "[{:>11.6} … {:>11.6}] c{} {:?} → {:?}",
            seconds(self.start),
            seconds(self.end),
            self.client,
            self.deed,
            self.outcome
        )?;
        if self.open_attempts > 0 {
            write!(
                f,
                " after {} attempts without an answer",
                self.open_attempts
            )?;
        }
        Ok(())
    }
}

/// For people.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "for people")]
pub fn seconds(time: Micros) -> f64 {
    time as f64 / 1e6
}

/// All calls of all clients, in the order in which they ended.
#[derive(Debug, Default)]
pub struct History(Mutex<Vec<Call>>);

impl History {
    /// Adds a call that has ended.
    pub fn add(&self, call: Call) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(call);
    }

    /// Takes what was written down.
    #[must_use]
    pub fn take(&self) -> Vec<Call> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

//! Reaching the managers, and reading what they answer.

use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;
use vfolder_common::error::DOMAIN;
use vfolder_proto::{
    google::longrunning::{Operation, operation::Result as Ended},
    v1::{OperationMetadata, OperationState, VFolder, VFolderStatus},
};

use crate::{
    User,
    storm::{
        history::{Outcome, Progress, Seen, Told},
        world::World,
    },
};

/// The project that all vfolders of the storm belong to, so that every client may do everything with each.
pub const OWNER: &str = "storm";

/// A user with a connection to each manager.
pub struct Caller {
    users: Vec<User>,
}

impl Caller {
    /// Client `number`, by way of the relays.
    pub fn new(number: usize, world: &World) -> Self {
        let token = world.tokens.member(&format!("c{number}"), &[OWNER]);
        let managers = world.managers.iter();
        Self {
            users: managers
                .map(|manager| User::new(manager.channel(), &token))
                .collect(),
        }
    }

    /// By way of manager `index`, whatever the number.
    pub fn via(&self, index: usize) -> &User {
        &self.users[index % self.users.len()]
    }
}

/// What an error says: a refusal with its reason, or that nothing is known.
pub fn outcome_of(status: &Status) -> Outcome {
    let info = status
        .get_details_error_info()
        .filter(|info| info.domain == DOMAIN);
    let open = matches!(
        status.code(),
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown
    );
    match info {
        Some(info) if !open => Outcome::Refused {
            status: info
                .metadata
                .get("status")
                .and_then(|text| VFolderStatus::from_str_name(text)),
            reason: info.reason,
            text: status.message().to_owned(),
        },
        info => Outcome::Unknown(format!(
            "{:?} {} {}",
            status.code(),
            info.map(|info| info.reason).unwrap_or_default(),
            status.message()
        )),
    }
}

/// The number in an etag.
fn revision_of(etag: &str) -> i64 {
    etag.trim_matches('"').parse().unwrap_or(-1)
}

/// A vfolder as it was shown.
#[must_use]
pub fn seen(vfolder: &VFolder) -> Seen {
    Seen {
        id: vfolder.id.parse().unwrap_or_default(),
        name: vfolder.name.clone(),
        status: vfolder.status(),
        revision: revision_of(&vfolder.etag),
    }
}

/// An operation's metadata.
#[must_use]
pub fn metadata_of(operation: &Operation) -> OperationMetadata {
    let any = operation.metadata.as_ref();
    any.and_then(|any| OperationMetadata::decode(any.value.as_slice()).ok())
        .unwrap_or_default()
}

/// An operation as it was shown.
#[must_use]
pub fn told_of_operation(operation: &Operation) -> Told {
    let metadata = metadata_of(operation);
    let id = operation.name.strip_prefix("operations/");
    Told::Operation {
        operation: id.and_then(|id| id.parse().ok()).unwrap_or_default(),
        vfolder: metadata.vfolder_id.parse().unwrap_or_else(|_| Uuid::nil()),
        progress: match (metadata.state(), &operation.result) {
            (OperationState::Succeeded, Some(Ended::Response(_))) => Progress::Succeeded,
            (OperationState::Cancelled, Some(Ended::Error(_))) => Progress::Cancelled,
            (OperationState::Failed, Some(Ended::Error(_))) => Progress::Failed,
            _ => Progress::Live,
        },
    }
}

//! What a request was admitted with, to be checked again where it counts.

use super::{Access, Caller, Permission, Status, admission, admission::Conditions};

/// What the request itself says that takes part in the decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// No more than reading.
    pub read_only: bool,
    /// Without the trash.
    pub skip_trash: bool,
    /// An absent vfolder is fine.
    pub allow_missing: bool,
}

/// Who wants what, by the rule of the RPC. The gate checks it once, cheaply; whoever changes a status checks it again
/// under the row lock, with the same table.
#[derive(Clone, Debug)]
pub struct Warrant {
    /// Who calls.
    pub caller: Caller,
    /// What the status has to be good for.
    pub access: Access,
    /// The least permission needed.
    pub permission: Permission,
    /// What the request says.
    pub asked: Asked,
    /// Where a request with `allow_missing` has nothing left to do.
    pub settled: Vec<Status>,
}

impl Warrant {
    /// For what runs by itself.
    #[must_use]
    pub fn system(access: Access) -> Self {
        Self {
            caller: Caller::system(),
            access,
            permission: Permission::Own,
            asked: Asked::default(),
            settled: Vec::new(),
        }
    }

    /// Whether a status admits it.
    #[must_use]
    pub const fn admitted_in(&self, status: Status, write_mounts: i64) -> bool {
        admission::admits(
            self.access,
            status,
            Conditions {
                read_only: self.asked.read_only,
                skip_trash: self.asked.skip_trash,
                mounts_read_only: write_mounts == 0,
            },
        )
    }
}

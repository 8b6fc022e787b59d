//! How much may be in a tree, as the manager tells it to whoever writes there.

use serde::{Deserialize, Serialize};

/// How much at most. 0: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Bytes of file data, each hard-linked file once.
    #[serde(rename = "b", skip_serializing_if = "is_zero")]
    pub bytes: u64,
    /// Directory entries, the root not counted.
    #[serde(rename = "f", skip_serializing_if = "is_zero")]
    pub files: u64,
}

impl Limits {
    /// Whether there is one.
    #[must_use]
    pub const fn any(self) -> bool {
        self.bytes > 0 || self.files > 0
    }
}

/// The limits of a vfolder and of its owner, as of two records of the manager. Who has seen later ones keeps those.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Quota {
    /// Whose the vfolder is: `user:<id>` or `project:<id>`.
    pub owner: String,
    /// The revision of the vfolder's record that this is as of.
    #[serde(rename = "rev")]
    pub revision: i64,
    /// The vfolder's.
    #[serde(rename = "own")]
    pub vfolder: Limits,
    /// The revision of the vfolder's record with which sessions last gave up their mounts: what was counted before that is
    /// no longer what is there. 0: never.
    #[serde(rename = "mounted", skip_serializing_if = "is_none")]
    pub mounted: i64,
    /// The revision of the owner's limits. 0: there have never been any.
    #[serde(rename = "all_rev", skip_serializing_if = "is_none")]
    pub owner_revision: i64,
    /// Those of all the owner's vfolders on the volume together.
    #[serde(rename = "all")]
    pub all: Limits,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_none(number: &i64) -> bool {
    *number == 0
}

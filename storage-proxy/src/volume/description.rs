//! volume.json.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The layout that this version reads and writes.
pub const LAYOUT: u32 = 1;

/// What volume.json says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The volume's id, wherever it is mounted.
    pub volume_id: Uuid,
    /// The name by which the configuration must call it.
    pub name: String,
    /// The version of the layout.
    pub layout: u32,
}

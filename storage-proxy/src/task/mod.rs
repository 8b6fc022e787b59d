//! Work on whole trees: tasks, keyed by the id of the manager's operation.
//!
//! Each step of a task may be repeated. Asking for a task again attaches to it while it runs (`registry`), answers with
//! its outcome once it has ended, and, after a restart, decides from what is on disk whether it is done, and else does
//! it (`work`), step by step (`supervise`). Whether a wish to cancel or the publication came first is decided under one lock (`phase`). What has
//! failed for good stays failed (`verdicts`), and who is older than the tree's epoch stays out of it (`fence`).

mod activity;
mod cancel;
mod fence;
mod lane;
mod leftovers;
mod outcome;
mod phase;
mod rates;
mod reclaim;
mod registry;
mod rest;
mod running;
mod slots;
mod spec;
mod supervise;
mod verdicts;
mod work;

pub use fence::{EnterError, Fences, Guard, OUTLIVES_ITS_TREE, PATIENCE, RaiseError, Stay};
pub use lane::{ARCHIVES, FENCES, LOOKS, VolumeConfig};
use outcome::Done;
pub use outcome::{Failure, FailureKind, Outcome, Receipt};
pub use reclaim::Pending;
pub use registry::{Refused, Tasks};
pub use running::{Attachment, End};
pub use spec::{Existing, Extraction, Removal, TaskSpec, Work};

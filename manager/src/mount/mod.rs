//! Mounts: leases by which sessions use vfolders. One verb a file; expiry is swept where a row is locked
//! ([`crate::vfolder::Locked::take`]).

pub mod list;
pub mod release;
pub mod renew;
pub mod take;

use vfolder_common::error::{Reason, Refusal};

use crate::store::Id;

/// No such mount on that vfolder, or it has expired.
fn not_found(id: Id) -> Refusal {
    Refusal::new(
        Reason::MountNotFound,
        format!(
            "there is no mount {id} on this vfolder, or it has expired; stop using the tree and mount it anew"
        ),
    )
    .with_resource("vfolder.v1.Mount", id.to_string(), "not found")
}

//! What the gate found, for the handler.

use tonic::{Extensions, Request, Status};
use vfolder_common::{error::Refusal, token::Quota};

use crate::{
    model::{Caller, Warrant},
    store::{Id, Vfolder},
};

/// The vfolder that a request was admitted to, and with what. Handlers take the vfolder from here, so that one that
/// was not gated does not run.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// The vfolder, as the gate saw it, with the status that counts.
    pub vfolder: Vfolder,
    /// What to check again under the row lock.
    pub warrant: Warrant,
    /// For the storage-proxy: how much may be in the tree. Of what writes there by being forwarded.
    pub quota: Option<Quota>,
}

/// In place of [`Admitted`] for a request with `allow_missing`: there is nothing left to do.
#[derive(Clone, Debug)]
pub struct Absent {
    /// The id that was asked for.
    pub id: Id,
    /// The vfolder, where there is one that the caller may see.
    pub vfolder: Option<Vfolder>,
}

/// A handler that was reached without the gate: a fault of ours.
#[derive(Debug, thiserror::Error)]
#[error("a handler ran without {0} from the gate")]
struct NotGated(&'static str);

/// What the gate attached to a request.
pub fn admitted<T>(request: &Request<T>) -> Result<Admitted, Status> {
    find(request.extensions(), "an admission")
}

/// Who calls.
pub fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    find(request.extensions(), "a caller")
}

/// Whether there is nothing left to do.
pub fn absent<T>(request: &Request<T>) -> Option<Absent> {
    request.extensions().get().cloned()
}

fn find<T: Clone + Send + Sync + 'static>(
    extensions: &Extensions,
    what: &'static str,
) -> Result<T, Status> {
    extensions
        .get::<T>()
        .cloned()
        .ok_or_else(|| Refusal::internal(&NotGated(what)).into())
}

//! Why nothing can be set aside.

use thiserror::Error;
use uuid::Uuid;
use vfolder_common::error::{Exceeded, Reason, Refusal};

/// Why nothing is set aside.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotReserved {
    /// A limit is in the way.
    #[error(transparent)]
    Exceeded(#[from] Exceeded),
    /// What is there is not known, and can't be found out.
    #[error(
        "what is in the vfolder {vfolder} can't be counted ({why}), so nothing can be added within its limits; have the \
         tree mended, remove what can't be read, or have the limits lifted"
    )]
    Uncountable {
        /// Whose tree.
        vfolder: Uuid,
        /// What the count has met.
        why: String,
    },
}

impl From<NotReserved> for Refusal {
    fn from(why: NotReserved) -> Self {
        let text = why.to_string();
        match why {
            NotReserved::Exceeded(exceeded) => exceeded.into(),
            NotReserved::Uncountable { .. } => Self::new(Reason::IoError, text),
        }
    }
}

//! The kinds of operations and how far one is.

use super::{Status, text::text_enum};

text_enum! {
    /// What an operation does.
    Kind {
        /// Makes an empty tree.
        Create = "CREATE",
        /// Copies a tree.
        Clone = "CLONE",
        /// Destroys a tree.
        Purge = "PURGE",
    }
}

impl Kind {
    /// The status that it backs on the vfolder it makes or destroys.
    #[must_use]
    pub const fn backs(self) -> Status {
        match self {
            Self::Create | Self::Clone => Status::Creating,
            Self::Purge => Status::Deleting,
        }
    }

    /// It can be undone until its result is published. A purge publishes at once: there is nothing to undo.
    #[must_use]
    pub const fn is_cancellable(self) -> bool {
        matches!(self, Self::Create | Self::Clone)
    }
}

text_enum! {
    /// How far an operation is.
    State {
        /// Waits for a manager.
        Pending = "PENDING",
        /// A manager has it.
        Running = "RUNNING",
        /// Ended as asked.
        Succeeded = "SUCCEEDED",
        /// Ended with an error.
        Failed = "FAILED",
        /// Ended because somebody cancelled it.
        Cancelled = "CANCELLED",
    }
}

impl State {
    /// It backs a status.
    #[must_use]
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Pending | Self::Running)
    }
}

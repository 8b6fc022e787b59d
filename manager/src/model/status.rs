//! Statuses.

use super::text::text_enum;

text_enum! {
    /// What is happening to a vfolder now. What each means to a user is said in `annotations.proto`.
    Status {
        /// The tree is not whole yet.
        Creating = "CREATING",
        /// At rest.
        Ready = "READY",
        /// A long operation works inside the tree.
        Performing = "PERFORMING",
        /// Source of one or more running clones.
        Cloning = "CLONING",
        /// One or more sessions hold a mount.
        Mounted = "MOUNTED",
        /// In the trash.
        Trashed = "TRASHED",
        /// The tree is being destroyed.
        Deleting = "DELETING",
        /// A tombstone.
        Deleted = "DELETED",
        /// Needs a decision.
        Error = "ERROR",
    }
}

impl Status {
    /// It ends by itself, because a live operation backs it.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Creating | Self::Performing | Self::Cloning | Self::Deleting
        )
    }

    /// It is listed only on demand.
    #[must_use]
    pub const fn is_put_away(self) -> bool {
        matches!(self, Self::Trashed | Self::Deleted)
    }
}

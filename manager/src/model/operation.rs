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
        /// Reads a tree, to say what it is.
        Verify = "VERIFY",
        /// Unpacks an archive inside a tree.
        Extract = "EXTRACT",
        /// Removes what is in a tree.
        Remove = "REMOVE",
        /// Counts a tree.
        Recount = "RECOUNT",
    }
}

impl Kind {
    /// The status that it backs on the vfolder it makes, destroys or works in; none, if it only reads: then the vfolder may do
    /// meanwhile what it does, and even go away.
    #[must_use]
    pub const fn backs(self) -> Option<Status> {
        match self {
            Self::Create | Self::Clone => Some(Status::Creating),
            Self::Purge => Some(Status::Deleting),
            Self::Extract | Self::Remove => Some(Status::Performing),
            Self::Verify | Self::Recount => None,
        }
    }

    /// It works in a tree that is there before and after: cancelled, it leaves what it has done.
    #[must_use]
    pub const fn is_in_place(self) -> bool {
        matches!(self.backs(), Some(Status::Performing))
    }

    /// It can be stopped until its result is published. A purge publishes at once: there is nothing to undo.
    #[must_use]
    pub const fn is_cancellable(self) -> bool {
        !matches!(self, Self::Purge)
    }
}

/// Operations of one lane queue for a volume together; each lane has turns of its own, so that what is quick never
/// waits for what is long, and giving space back never waits for what needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Milliseconds, and somebody waits.
    Quick,
    /// Reads or writes a whole tree, most often to copy it.
    Copy,
    /// Destroys one, or what is in it.
    Destroy,
}

impl Lane {
    /// Every lane.
    pub const ALL: [Self; 3] = [Self::Quick, Self::Copy, Self::Destroy];

    /// The kinds of operations in it.
    #[must_use]
    pub const fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Quick => &[Kind::Create],
            Self::Copy => &[Kind::Clone, Kind::Verify, Kind::Extract, Kind::Recount],
            Self::Destroy => &[Kind::Purge, Kind::Remove],
        }
    }
}

impl Kind {
    /// Where it queues.
    #[must_use]
    pub const fn lane(self) -> Lane {
        match self {
            Self::Create => Lane::Quick,
            Self::Clone | Self::Verify | Self::Extract | Self::Recount => Lane::Copy,
            Self::Purge | Self::Remove => Lane::Destroy,
        }
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

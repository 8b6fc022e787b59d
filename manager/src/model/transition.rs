//! Transitions: every way in which a status may change. Each owns its sources and its targets.

use super::{Status, text::text_enum};
use Status::{Cloning, Creating, Deleted, Deleting, Error, Mounted, Performing, Ready, Trashed};

text_enum! {
    /// What happens to a vfolder. The text is the `action` of the event it writes, unless an RPC's name says it better.
    Transition {
        /// The row is inserted, with the operation that makes the tree.
        Create = "creation",
        /// The tree is whole.
        Created = "creation ended",
        /// The tree will not be: failed or cancelled.
        CreationUndone = "creation undone",
        /// Whether there is a tree, and whether it is whole, can't be known: its storage-proxy was given up.
        CreationLost = "creation given up",
        /// One more clone of it begins.
        CloneStart = "clone started",
        /// One clone of it has ended.
        CloneEnd = "clone ended",
        /// A session takes a mount.
        Mount = "mount",
        /// A mount was released or has expired.
        MountEnd = "mount ended",
        /// An operation begins to work inside the tree.
        PerformStart = "in-place work started",
        /// It has ended well, or was undone.
        PerformEnd = "in-place work ended",
        /// It has ended in a way that needs a decision.
        PerformFail = "in-place work failed",
        /// To the trash.
        Trash = "trash",
        /// Out of the trash.
        Restore = "restore",
        /// The tree is being destroyed.
        PurgeStart = "purge started",
        /// The tree is gone.
        PurgeEnd = "purge ended",
        /// The tree could not be destroyed.
        PurgeFail = "purge failed",
        /// The record changes, the status does not.
        Edit = "edit",
        /// In ERROR: whoever may still be at work on the tree is cut off.
        TakeOver = "take-over",
        /// An administrator reconciles an ERROR with the disk.
        Reset = "reset",
    }
}

impl Transition {
    /// The statuses from which it may happen. Empty: the row doesn't exist yet.
    #[must_use]
    pub const fn sources(self) -> &'static [Status] {
        match self {
            Self::Create => &[],
            Self::Created | Self::CreationUndone | Self::CreationLost => &[Creating],
            Self::CloneStart => &[Ready, Cloning, Mounted],
            Self::CloneEnd => &[Cloning],
            Self::Mount => &[Ready, Mounted, Performing, Cloning],
            Self::MountEnd => &[Mounted, Performing, Cloning],
            Self::PerformStart | Self::Edit => &[Ready],
            Self::PerformEnd | Self::PerformFail => &[Performing],
            Self::Trash => &[Ready, Error],
            Self::Restore => &[Trashed],
            Self::PurgeStart => &[Trashed, Error, Ready],
            Self::PurgeEnd | Self::PurgeFail => &[Deleting],
            Self::TakeOver | Self::Reset => &[Error],
        }
    }

    /// Whether it may lead from one status to another (the same one, where what backs it keeps it there).
    #[must_use]
    pub fn allows(self, from: Option<Status>, to: Status) -> bool {
        let Some(from) = from else {
            return self == Self::Create && to == Creating;
        };
        if !self.sources().contains(&from) {
            return false;
        }
        match self {
            Self::Create => false,
            Self::Created | Self::Restore => to == Ready,
            Self::CreationUndone | Self::PurgeEnd => to == Deleted,
            Self::CloneStart => to == Cloning,
            Self::CloneEnd => matches!(to, Cloning | Mounted | Ready),
            // A mount beside an operation changes nothing: the operation's status comes first.
            Self::Mount => to == if from == Ready { Mounted } else { from },
            Self::MountEnd => to == from || (from == Mounted && to == Ready),
            Self::PerformStart => to == Performing,
            // A session may have mounted it read-only meanwhile.
            Self::PerformEnd => matches!(to, Ready | Mounted),
            Self::PerformFail | Self::PurgeFail | Self::CreationLost | Self::TakeOver => {
                to == Error
            }
            Self::Trash => to == Trashed,
            Self::PurgeStart => to == Deleting,
            Self::Edit => to == from,
            Self::Reset => matches!(to, Ready | Deleted),
        }
    }
}

/// Whether a change of status raises the vfolder's epoch.
///
/// Whoever held the tree before holds it no more: for writing, or at all. That an operation gives it back counts, since
/// its work, should it still go on, is cut off by the first who comes with the new epoch; that a creation was undone
/// counts, since the storage-proxy then refuses the epoch it began with.
#[must_use]
pub fn raises_epoch(from: Status, to: Status) -> bool {
    let is_taken = |status| matches!(status, Cloning | Performing);
    from != to
        && (is_taken(from) || is_taken(to) || matches!(to, Trashed | Deleting | Deleted | Error))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every pair that may happen, by hand. A pair that isn't here is impossible.
    const PAIRS: &[(Option<Status>, Status)] = &[
        (None, Creating),
        (Some(Creating), Ready),
        (Some(Creating), Deleted),
        (Some(Creating), Error), // given up: nobody knows what is on the volume
        (Some(Ready), Ready),    // an edit of the record
        (Some(Ready), Cloning),
        (Some(Ready), Mounted),
        (Some(Ready), Performing),
        (Some(Ready), Trashed),
        (Some(Ready), Deleting),
        (Some(Cloning), Cloning), // one more clone, or one less of several; a read-only mount
        (Some(Cloning), Ready),
        (Some(Cloning), Mounted),
        (Some(Mounted), Mounted), // one more mount, or one less of several
        (Some(Mounted), Ready),
        (Some(Mounted), Cloning),
        (Some(Performing), Performing), // a read-only mount
        (Some(Performing), Ready),
        (Some(Performing), Mounted),
        (Some(Performing), Error),
        (Some(Trashed), Ready),
        (Some(Trashed), Deleting),
        (Some(Deleting), Deleted),
        (Some(Deleting), Error),
        (Some(Error), Error), // ResetStatus takes the tree over before it decides
        (Some(Error), Trashed),
        (Some(Error), Deleting),
        (Some(Error), Ready),   // ResetStatus
        (Some(Error), Deleted), // ResetStatus
    ];

    #[test]
    fn every_pair_of_statuses_is_possible_or_impossible_as_written_down() {
        let expected: BTreeSet<_> = PAIRS.iter().copied().collect();
        assert_eq!(expected.len(), PAIRS.len());
        let sources = std::iter::once(None).chain(Status::ALL.iter().copied().map(Some));
        for from in sources {
            for to in Status::ALL {
                let possible = Transition::ALL.iter().any(|t| t.allows(from, *to));
                assert_eq!(
                    possible,
                    expected.contains(&(from, *to)),
                    "{from:?} → {to:?}"
                );
            }
        }
    }

    #[test]
    fn nothing_leaves_the_tombstone() {
        for t in Transition::ALL {
            assert!(!t.sources().contains(&Deleted), "{t}");
        }
    }
}

//! The pieces of the protocol, each of which can be left out.

/// A piece of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Piece {
    /// An outcome is written with owner and attempt in its WHERE.
    LeaseInWhere,
    /// A clone raises its source's fence before it copies.
    SourceFence,
    /// Raising a fence waits until older holders have left the tree.
    Drain,
    /// A clone is cut when a writer enters its source, or the fence of its source rises above it.
    SourceCut,
    /// Publishing checks the target's fence.
    PublishCheck,
    /// Fences outlive the process.
    DurableFences,
    /// A lasting failure is noted in the task's journal.
    DurableVerdict,
    /// Forgetting a task without a tree, or cancelling one, raises its target's fence above it.
    EndFence,
    /// A fence outlives the purge of its vfolder.
    FenceOutlivesPurge,
    /// The epoch rises when a vfolder becomes CLONING.
    EpochAtClone,
    /// The epoch rises when a vfolder becomes TRASHED.
    EpochAtTrash,
    /// The epoch rises when a vfolder becomes DELETING.
    EpochAtPurge,
    /// FenceTree is sent, and answered, before a DeleteVFolder is.
    FenceAfterTrash,
    /// The epoch rises when a vfolder is CLONING no more.
    EpochAfterClone,
    /// Before a vfolder leaves ERROR its epoch rises, and its tree is fenced with that before the disk is looked at.
    FenceBeforeRepair,
    /// What a cancel finds published is not undone.
    LateCancel,
    /// A task's journal goes only once the outcome is committed.
    CommitBeforeForget,
    /// The epoch rises when a vfolder becomes PERFORMING.
    EpochAtWork,
    /// The epoch rises when a vfolder is PERFORMING no more.
    EpochAfterWork,
    /// Work in a tree raises its fence before it begins.
    WorkFence,
    /// Work in a tree is done as a writer of its epoch: a newer fence keeps it out, cuts it and waits for it.
    WorkEnters,
    /// Forgetting work that is done raises the fence above it as well: no tree that has appeared tells a late request.
    EndFenceOfWork,
    /// Whether work in a tree is done the journal tells, since the tree is there all along.
    WorkAsksJournal,
    /// PERFORMING ends in MOUNTED where a mount is live.
    WorkEndsMounted,
    /// Mounts beside work that is given up end with it.
    MountsEndWithWork,
}

impl Piece {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::LeaseInWhere,
        Self::SourceFence,
        Self::Drain,
        Self::SourceCut,
        Self::PublishCheck,
        Self::DurableFences,
        Self::DurableVerdict,
        Self::EndFence,
        Self::FenceOutlivesPurge,
        Self::EpochAtClone,
        Self::EpochAtTrash,
        Self::EpochAtPurge,
        Self::FenceAfterTrash,
        Self::EpochAfterClone,
        Self::FenceBeforeRepair,
        Self::LateCancel,
        Self::CommitBeforeForget,
        Self::EpochAtWork,
        Self::EpochAfterWork,
        Self::WorkFence,
        Self::WorkEnters,
        Self::EndFenceOfWork,
        Self::WorkAsksJournal,
        Self::WorkEndsMounted,
        Self::MountsEndWithWork,
    ];
}

/// The protocol, whole or with one piece left out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Protocol {
    /// What is left out.
    pub without: Option<Piece>,
}

impl Protocol {
    /// Whether a piece is there.
    #[must_use]
    pub fn has(self, piece: Piece) -> bool {
        self.without != Some(piece)
    }
}

//! One state of everything: rows, managers, messages, a storage-proxy and its disk.

use std::{collections::BTreeSet, fmt};

use vfolder_manager::model::{Kind, State, Status};

use crate::scenario::Bounds;

/// Vfolders and operations are numbered as they come.
pub const VFOLDERS: usize = 4;
/// The most operations.
pub const OPERATIONS: usize = 4;
/// Managers.
pub const MANAGERS: usize = 2;

/// A vfolder's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Row {
    pub status: Status,
    pub epoch: u8,
}

/// An operation's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Operation {
    pub kind: Kind,
    pub target: u8,
    pub source: Option<u8>,
    pub epoch: u8,
    pub source_epoch: u8,
    pub state: State,
    pub attempt: u8,
    /// The manager that has the lease. None in RUNNING: one that has died.
    pub holder: Option<u8>,
    pub lapsed: bool,
    pub cancel: bool,
    /// Not in the row: the source's content when the clone was admitted.
    pub since: u8,
    /// Not in the row: its task was made to fail.
    pub excused: bool,
    /// Not in the row: whoever asked was told that nobody knows what its task still does.
    pub given_up: bool,
}

/// A mount's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mount {
    pub vfolder: u8,
    pub writes: bool,
}

/// Where a manager's worker is with an operation that it claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    Claimed,
    /// RunTask is sent.
    Waiting {
        /// CancelTask too, and it came too late.
        late: bool,
    },
    /// CancelTask is sent.
    Cancelling,
    /// CancelTask came too late: RunTask will tell how the task ended.
    Late,
    /// No answer will come.
    Unreachable,
    Answered(End),
    Committed,
}

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum End {
    Done,
    Failed,
    Cancelled,
}

/// What a worker has in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Work {
    pub operation: u8,
    pub attempt: u8,
    pub phase: Phase,
}

/// A message to the storage-proxy. Those on their way are a set: none is lost by itself, none keeps its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Message {
    Run(u8),
    Cancel(u8),
    Forget(u8),
    /// FenceTree.
    Fence(Fence),
    /// The same once the fence is raised: it waits for older holders to leave.
    Drain(Fence),
}

/// What FenceTree says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fence {
    pub vfolder: u8,
    pub epoch: u8,
    /// Not in the message: which DeleteVFolder waits for the answer.
    pub trash: u8,
}

/// What a running task does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// It has raised a fence and waits for older holders to leave.
    Draining,
    CopyingFirst,
    CopyingSecond,
    Publishing,
    /// A purge's publication.
    Hiding,
    /// In the tree: it changes one file, then the other.
    WorkingFirst,
    WorkingSecond,
    /// All of it is done; next the journal says so.
    Noting,
}

impl Stage {
    /// Whether the task is in the tree as a writer.
    pub fn is_inside(self) -> bool {
        matches!(
            self,
            Self::WorkingFirst | Self::WorkingSecond | Self::Noting
        )
    }

    pub fn is_copying(self) -> bool {
        matches!(self, Self::CopyingFirst | Self::CopyingSecond)
    }
}

/// What the storage-proxy's memory has of a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Slot {
    #[default]
    Unknown,
    Running {
        stage: Stage,
        cut: bool,
    },
    Ended(End),
}

/// What the journal has of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Entry {
    Begun,
    Verdict(End),
}

/// A tree: two files, each of which says how many writes it has seen. A write writes both at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tree {
    pub first: u8,
    pub second: u8,
    /// Which operations have worked on the first file, and on the second: a bit each.
    pub worked: [u8; 2],
}

/// What outlives the storage-proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Disk {
    pub trees: [Option<Tree>; VFOLDERS],
    pub staging: [Option<Tree>; OPERATIONS],
    pub trash: [bool; OPERATIONS],
    pub journal: [Option<Entry>; OPERATIONS],
    /// The least epoch by which a tree is written, copied or published.
    pub fences: [u8; VFOLDERS],
}

/// A write that was admitted, with its grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Write {
    pub vfolder: u8,
    pub epoch: u8,
    /// The storage-proxy has let it in.
    pub entered: bool,
    /// Not in the grant: how often the vfolder had been trashed.
    pub trashes: u8,
}

/// An administrator's request about a vfolder in ERROR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repair {
    pub vfolder: u8,
    pub seen: Row,
    /// Once its disk was looked at.
    pub has_tree: Option<bool>,
    pub to_trash: bool,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub(crate) rows: [Option<Row>; VFOLDERS],
    pub(crate) operations: Vec<Operation>,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) managers: [Vec<Work>; MANAGERS],
    pub(crate) net: BTreeSet<Message>,
    pub(crate) is_up: bool,
    pub(crate) slots: [Slot; OPERATIONS],
    pub(crate) disk: Disk,
    pub(crate) writes: Vec<Write>,
    pub(crate) repair: Option<Repair>,
    /// By vfolder: how often it was trashed, and how many of those the clients were told of.
    pub(crate) trashes: [(u8, u8); VFOLDERS],
    /// How often each thing may still happen.
    pub(crate) left: Bounds,
    /// What must never be, and was.
    pub(crate) wrong: Option<&'static str>,
}

impl World {
    pub(crate) fn new(ready: u8, left: Bounds) -> Self {
        let at_rest = |i: usize| i < usize::from(ready);
        Self {
            rows: std::array::from_fn(|i| {
                at_rest(i).then_some(Row {
                    status: Status::Ready,
                    epoch: 1,
                })
            }),
            operations: Vec::new(),
            mounts: Vec::new(),
            managers: Default::default(),
            net: BTreeSet::new(),
            is_up: true,
            slots: Default::default(),
            disk: Disk {
                trees: std::array::from_fn(|i| at_rest(i).then(Tree::default)),
                ..Disk::default()
            },
            writes: Vec::new(),
            repair: None,
            trashes: Default::default(),
            left,
            wrong: None,
        }
    }

    pub(crate) fn row(&self, vfolder: u8) -> Option<Row> {
        self.rows[usize::from(vfolder)]
    }

    pub(crate) fn operation(&self, operation: u8) -> &Operation {
        &self.operations[usize::from(operation)]
    }

    pub(crate) fn fence(&self, vfolder: u8) -> u8 {
        self.disk.fences[usize::from(vfolder)]
    }

    pub(crate) fn tree(&self, vfolder: u8) -> Option<Tree> {
        self.disk.trees[usize::from(vfolder)]
    }

    /// The first to go wrong is what is told.
    pub(crate) fn blame(&mut self, what: &'static str) {
        self.wrong.get_or_insert(what);
    }

    /// Managers are alike, and so are writes: of states that differ in their order, one stands for all.
    pub(crate) fn canonical(mut self) -> Self {
        self.writes.sort_unstable();
        self.mounts.sort_unstable();
        for works in &mut self.managers {
            works.sort_unstable();
        }
        let key = |world: &Self, m: u8| {
            let held: Vec<bool> = world
                .operations
                .iter()
                .map(|o| o.holder == Some(m))
                .collect();
            (world.managers[usize::from(m)].clone(), held)
        };
        if key(&self, 1) < key(&self, 0) {
            self.managers.swap(0, 1);
            for operation in &mut self.operations {
                operation.holder = operation.holder.map(|m| 1 - m);
            }
        }
        self
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (v, row) in self.rows.iter().enumerate() {
            if let Some(Row { status, epoch }) = row {
                let (fence, tree) = (self.disk.fences[v], self.disk.trees[v]);
                writeln!(
                    f,
                    "  vfolder {v}: {status}, epoch {epoch}; on disk: fence {fence}, {tree:?}"
                )?;
            }
        }
        for (o, op) in self.operations.iter().enumerate() {
            let (slot, journal) = (self.slots[o], self.disk.journal[o]);
            writeln!(
                f,
                "  operation {o}: {op:?}\n    task: {slot:?}; journal: {journal:?}; staging: {:?}",
                self.disk.staging[o]
            )?;
        }
        writeln!(f, "  managers: {:?}", self.managers)?;
        writeln!(
            f,
            "  on their way: {:?}; writes: {:?}; mounts: {:?}",
            self.net, self.writes, self.mounts
        )
    }
}

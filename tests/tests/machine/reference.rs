//! The reference: what is so, and what must therefore be answered. Statuses are never kept: they follow, by the manager's
//! `settle`, from what backs them.

use std::collections::BTreeSet;

use vfolder_common::error::Reason;
use vfolder_manager::model::{
    Access, Backing, Kind, Status,
    admission::{self, Conditions},
    settle::settle,
};

/// A vfolder.
#[derive(Clone, Debug)]
pub struct Vfolder {
    pub id: String,
    pub name: String,
    pub description: String,
    pub resting: Resting,
    pub directories: BTreeSet<String>,
    pub unpacked: Unpacked,
    /// It may hold less than is in it.
    pub tight: bool,
}

/// How much of the archive is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unpacked {
    No,
    Perhaps,
    Whole,
    /// All of it, over what was there: directories stay as they are, and so tell when something was put into them.
    Over,
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Succeeded,
    Cancelled,
    /// It failed for this.
    Failed(Reason),
}

/// What no operation and no mount backs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resting {
    Kept,
    Trashed,
    Deleted,
}

/// An operation. A vfolder that is purged is TRASHED or KEPT until the operation has ended.
#[derive(Clone, Debug)]
pub struct Operation {
    pub name: String,
    pub kind: Kind,
    pub target: usize,
    pub source: Option<usize>,
    pub wished: bool,
    pub ended: bool,
}

/// A mount.
#[derive(Clone, Debug, PartialEq)]
pub struct Mount {
    pub id: String,
    pub vfolder: usize,
    pub session: u8,
    pub writes: bool,
    pub released: bool,
}

/// All there is.
#[derive(Clone, Debug, Default)]
pub struct Reference {
    pub vfolders: Vec<Vfolder>,
    pub operations: Vec<Operation>,
    pub mounts: Vec<Mount>,
}

type Answer = Result<(), Reason>;

impl Reference {
    /// Counted from the newest.
    pub fn vfolder(&self, back: u8) -> Option<usize> {
        from_newest(self.vfolders.len(), back)
    }

    pub fn operation(&self, back: u8) -> Option<usize> {
        from_newest(self.operations.len(), back)
    }

    /// Whether that is an operation which backs no status.
    pub fn is_only_counting(&self, operation: &str) -> bool {
        let mut operations = self.operations.iter();
        operations.any(|o| o.name == operation && o.kind == Kind::Recount)
    }

    pub fn mount(&self, back: u8) -> Option<usize> {
        from_newest(self.mounts.len(), back)
    }

    fn backing(&self, vfolder: usize) -> Backing {
        let mut backing = Backing::default();
        for operation in self.operations.iter().filter(|o| !o.ended) {
            if operation.target == vfolder {
                match operation.kind {
                    Kind::Create | Kind::Clone => backing.creations += 1,
                    Kind::Purge => backing.purges += 1,
                    Kind::Verify | Kind::Recount => {}
                    Kind::Extract | Kind::Remove => backing.in_place += 1,
                }
            }
            backing.clones += i64::from(operation.source == Some(vfolder));
        }
        for mount in self
            .mounts
            .iter()
            .filter(|m| !m.released && m.vfolder == vfolder)
        {
            backing.mounts += 1;
            backing.write_mounts += i64::from(mount.writes);
        }
        backing
    }

    pub fn status(&self, vfolder: usize) -> Status {
        let backing = self.backing(vfolder);
        match self.vfolders[vfolder].resting {
            _ if backing.has_operation() => settle(&backing),
            Resting::Kept => settle(&backing),
            Resting::Trashed => Status::Trashed,
            Resting::Deleted => Status::Deleted,
        }
    }

    fn admits(&self, vfolder: usize, access: Access, read_only: bool, skip_trash: bool) -> Answer {
        let status = self.status(vfolder);
        let conditions = Conditions {
            read_only,
            skip_trash,
            mounts_read_only: self.backing(vfolder).write_mounts == 0,
        };
        if admission::admits(access, status, conditions) {
            Ok(())
        } else if status.is_transient() {
            Err(Reason::VFolderBusy)
        } else {
            Err(Reason::VFolderStatus)
        }
    }

    /// One that is trashed, being destroyed or gone has given its name up.
    pub fn name_is_free(&self, name: &str, except: Option<usize>) -> Answer {
        let holds = |v: usize| {
            let gone = [
                Status::Trashed,
                Status::Deleting,
                Status::Deleted,
                Status::Error,
            ];
            self.vfolders[v].name == name && !gone.contains(&self.status(v))
        };
        match (0..self.vfolders.len()).any(|v| Some(v) != except && holds(v)) {
            true => Err(Reason::NameTaken),
            false => Ok(()),
        }
    }

    pub fn may_update(&self, vfolder: usize, name: Option<&str>) -> Answer {
        self.admits(vfolder, Access::Updatable, false, false)?;
        name.map_or(Ok(()), |name| self.name_is_free(name, Some(vfolder)))
    }

    pub fn may_clone(&self, source: usize, name: &str) -> Answer {
        self.admits(source, Access::Clonable, false, false)?;
        self.name_is_free(name, None)
    }

    pub fn may_mount(&self, vfolder: usize, session: u8, writes: bool) -> Answer {
        self.admits(vfolder, Access::Mountable, !writes, false)?;
        match self.held(vfolder, session) {
            Some(held) if held.writes != writes => Err(Reason::MountExists),
            _ => Ok(()),
        }
    }

    /// The mount that a session has.
    pub fn held(&self, vfolder: usize, session: u8) -> Option<&Mount> {
        let mut mounts = self.mounts.iter();
        mounts.find(|m| !m.released && m.vfolder == vfolder && m.session == session)
    }

    pub fn may_use_mount(&self, mount: usize) -> Answer {
        match self.mounts[mount].released {
            true => Err(Reason::MountNotFound),
            false => Ok(()),
        }
    }

    pub fn may_trash(&self, vfolder: usize) -> Answer {
        self.admits(vfolder, Access::Deletable, false, false)
    }

    pub fn may_restore(&self, vfolder: usize, name: &str) -> Answer {
        self.admits(vfolder, Access::Restorable, false, false)?;
        self.name_is_free(name, Some(vfolder))
    }

    pub fn may_purge(&self, vfolder: usize, skip_trash: bool) -> Answer {
        self.admits(vfolder, Access::Purgable, false, skip_trash)
    }

    pub fn may_make_directory(&self, vfolder: usize, name: &str) -> Answer {
        self.admits(vfolder, Access::Writable, false, false)?;
        let row = &self.vfolders[vfolder];
        match (row.directories.contains(name), row.tight) {
            (true, _) => Err(Reason::FileExists),
            (false, true) => Err(Reason::QuotaExceeded),
            (false, false) => Ok(()),
        }
    }

    /// ExtractArchive or RemoveTree.
    pub fn may_work(&self, vfolder: usize) -> Answer {
        self.admits(vfolder, Access::Updatable, false, false)
    }

    /// Whether an operation goes on that works in the tree.
    pub fn is_worked_in(&self, vfolder: usize) -> bool {
        self.backing(vfolder).in_place > 0
    }

    pub fn may_list(&self, vfolder: usize) -> Answer {
        self.admits(vfolder, Access::Readable, true, false)
    }

    pub fn may_cancel(&self, operation: usize) -> Answer {
        let operation = &self.operations[operation];
        match operation.ended || operation.kind.is_cancellable() {
            true => Ok(()),
            false => Err(Reason::OperationNotCancellable),
        }
    }

    /// Whether that end of a live operation can be.
    pub fn may_end(&self, operation: usize, end: End) -> bool {
        let operation = &self.operations[operation];
        let target = &self.vfolders[operation.target];
        // Every tree has more in it than a tight limit.
        let too_much = match operation.kind {
            Kind::Clone => target.tight,
            Kind::Extract => target.tight && target.unpacked == Unpacked::No,
            _ => false,
        };
        match (operation.kind, end) {
            (_, End::Succeeded) => !too_much,
            (_, End::Cancelled) => operation.wished,
            (Kind::Clone, End::Failed(Reason::QuotaExceeded)) => target.tight,
            // What it replaces may need room for a moment.
            (Kind::Extract, End::Failed(Reason::QuotaExceeded)) => target.tight,
            // Its tree was taken away.
            (Kind::Recount, End::Failed(Reason::GrantStale | Reason::SourceMissing)) => {
                matches!(
                    self.status(operation.target),
                    Status::Trashed | Status::Deleting | Status::Deleted
                )
            }
            _ => false,
        }
    }

    /// An operation has ended.
    pub fn end(&mut self, operation: usize, end: End) {
        let operation = &mut self.operations[operation];
        operation.ended = true;
        let target = &mut self.vfolders[operation.target];
        match (operation.kind, end) {
            (Kind::Create | Kind::Clone, End::Succeeded) => target.resting = Resting::Kept,
            (Kind::Create | Kind::Clone | Kind::Purge, _) => target.resting = Resting::Deleted,
            (Kind::Extract, End::Succeeded) => {
                target.unpacked = match target.unpacked {
                    Unpacked::No => Unpacked::Whole,
                    _ => Unpacked::Over,
                }
            }
            (Kind::Remove, End::Succeeded) => target.unpacked = Unpacked::No,
            // What is replaced stays there all along.
            (Kind::Extract, _) if matches!(target.unpacked, Unpacked::Whole | Unpacked::Over) => {
                target.unpacked = Unpacked::Over;
            }
            (Kind::Remove, _) if target.unpacked == Unpacked::No => {}
            (Kind::Extract | Kind::Remove, _) => target.unpacked = Unpacked::Perhaps,
            (Kind::Verify | Kind::Recount, _) => {}
        }
    }
}

fn from_newest(count: usize, back: u8) -> Option<usize> {
    (count > 0).then(|| count - 1 - usize::from(back) % count)
}

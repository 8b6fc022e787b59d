//! The way through a tree, for any number of threads: clone, remove, count and digest differ only in what they do on it.
//!
//! The unit of work is a directory: threads that change one and the same mostly wait for each other. (Where they don't, an
//! idle one is given a batch of the entries of a wide directory.) What is to be done is a stack, so
//! that the walk goes deep before it goes wide, and what waits stays small: of each directory on the way down at most
//! the subdirectories in one batch of its entries ([`super::dirents`]), however many it has. What takes long in a
//! directory is put on the stack like a subdirectory. A directory is left when all in it is done, by whichever thread
//! was last.
//!
//! `place` knows where a directory is and keeps a bounded number of them open, `queue` is the stack, `step` does the
//! work of one thread.

mod dir;
mod place;
mod queue;
mod step;
mod workers;

use std::{
    ffi::CStr,
    os::fd::{BorrowedFd, OwnedFd},
    sync::{Arc, atomic::AtomicUsize},
    thread,
};

pub use self::{dir::Dir, place::Place, workers::Workers};
use self::{
    queue::{Job, Queue},
    step::Thread,
};
use super::{Control, Fault, FileKind, Meta, TreeError, error::system};

/// What is done on the way. Called by several threads at once, also for the entries of one directory.
///
/// [`Fault::Gone`] from any of these means that a writer was faster: what it is about is passed over.
pub trait Visitor: Sync {
    /// What a thread has for itself: buffers.
    type Worker: Send;
    /// What is kept of a directory while it is on the way.
    type Data: Send + Sync;

    /// For one more thread.
    fn worker(&self) -> Self::Worker;

    /// Whether several threads at once do better than one in a directory with thousands of entries.
    fn shares_directories(&self) -> bool {
        false
    }

    /// Whether the entries of a wide directory are best taken in the order of their inodes.
    fn sorts_wide_directories(&self) -> bool {
        false
    }

    /// Whether it does no harm to be shown an entry twice: else the walk fails where it would have to, in a directory that has
    /// shrunk or grown into another form meanwhile.
    fn may_repeat(&self) -> bool {
        false
    }

    /// Opens the directory `name` of `parent`, which is open as `handle`; nothing, if there is nothing to be done in it.
    ///
    /// # Errors
    /// End the whole walk.
    fn enter(
        &self,
        worker: &mut Self::Worker,
        parent: &Dir<Self::Data>,
        handle: BorrowedFd<'_>,
        name: &CStr,
    ) -> Result<Option<Entered<Self::Data>>, Fault>;

    /// Does what is to be done with the entry `name` of `dir`, which is open as `handle`. Not called for what the
    /// directory says is a directory. `hint` is what the directory says that it is.
    ///
    /// # Errors
    /// End the whole walk.
    fn entry(
        &self,
        worker: &mut Self::Worker,
        dir: &Dir<Self::Data>,
        handle: BorrowedFd<'_>,
        name: &CStr,
        hint: FileKind,
    ) -> Result<Found, Fault>;

    /// Does what takes long with the entry `name` of `dir`. Several threads may be at it in one directory.
    ///
    /// # Errors
    /// End the whole walk.
    fn late(
        &self,
        worker: &mut Self::Worker,
        dir: &Dir<Self::Data>,
        handle: BorrowedFd<'_>,
        name: &CStr,
    ) -> Result<(), Fault> {
        let _ = (worker, dir, handle, name);
        Ok(())
    }

    /// All in `dir` is done, and in what is below it.
    ///
    /// # Errors
    /// End the whole walk.
    fn leave(&self, worker: &mut Self::Worker, dir: &Dir<Self::Data>) -> Result<Leave, Fault>;
}

/// A directory that was just opened.
#[derive(Debug)]
pub struct Entered<D> {
    /// The directory, open for reading.
    pub directory: OwnedFd,
    /// What it is like, looked up on that handle before anything was read.
    pub meta: Meta,
    /// What to keep of it.
    pub data: D,
}

/// What an entry turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is done.
    Done,
    /// It is a directory, to be entered later.
    Directory,
    /// It takes long: to be done by [`Visitor::late`], by any thread.
    Long,
}

/// Whether a directory is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// It is.
    Done,
    /// It is to be read once more from its start.
    Again,
}

/// Walks through the tree below `root` with `workers` threads, this one among them.
///
/// # Errors
/// The first fault and where. All threads have stopped when this returns.
pub fn walk<V: Visitor>(
    visitor: &V,
    root: Entered<V::Data>,
    workers: Workers,
    control: &Control,
) -> Result<(), TreeError> {
    let place = Place::root(root.directory)
        .map_err(system("fstat"))
        .map_err(|fault| TreeError::new(fault, Vec::new()))?;
    let root = Arc::new(Dir {
        place,
        meta: root.meta,
        data: root.data,
        parent: None,
        pending: AtomicUsize::new(1),
    });
    control.halt(false);
    let queue = Queue::new(Job::Read {
        dir: root,
        position: None,
    });
    thread::scope(|scope| {
        for number in 1..workers.get() {
            let run = || Thread::new(visitor, &queue, control).run();
            let spawned = thread::Builder::new()
                .name(format!("tree-{number}"))
                .spawn_scoped(scope, run);
            if let Err(error) = spawned {
                tracing::warn!(%error, "working on a tree with {number} threads: no more can be started");
                break;
            }
        }
        Thread::new(visitor, &queue, control).run();
    });
    control.halt(false);
    queue.outcome()
}

//! The work of one thread.

use std::{
    ffi::{CStr, CString},
    os::fd::{AsFd as _, OwnedFd},
    sync::{Arc, atomic::AtomicUsize},
};

use rustix::{
    fs::{SeekFrom, seek},
    io::Errno,
};

use super::{
    Dir, Entered, Found, Leave, Visitor,
    queue::{EndOnPanic, Job, Queue},
};
use crate::tree::{Control, Fault, FileKind, TreeError, dirents::Dirents, error::system};

pub(super) struct Thread<'a, V: Visitor> {
    visitor: &'a V,
    queue: &'a Queue<V::Data>,
    control: &'a Control,
    worker: V::Worker,
    /// Nothing while it is in use.
    dirents: Option<Dirents>,
}

/// What to do next without asking the queue: nothing, if the thread is free.
type Next<D> = Result<Option<Job<D>>, TreeError>;

impl<'a, V: Visitor> Thread<'a, V> {
    pub fn new(visitor: &'a V, queue: &'a Queue<V::Data>, control: &'a Control) -> Self {
        Self {
            visitor,
            queue,
            control,
            worker: visitor.worker(),
            dirents: None,
        }
    }

    /// Works until the walk ends.
    pub fn run(mut self) {
        let _guard = EndOnPanic(self.queue);
        let mut own = None;
        while let Some(job) = own.take().or_else(|| self.queue.pop()) {
            let done = match job {
                Job::Enter { parent, name } => self.enter(parent, name),
                Job::Late { parent, name } => self.late(parent, &name),
                Job::Entries { parent, entries } => self.entries(parent, entries),
                Job::Read { dir, position } => self.read(dir, position),
            };
            match done {
                Ok(next) => own = next,
                Err(error) => {
                    self.queue.end(Some(error));
                    self.control.halt(true);
                }
            }
        }
    }

    fn enter(&mut self, parent: Arc<Dir<V::Data>>, name: CString) -> Next<V::Data> {
        let entered = self
            .control
            .check()
            .and_then(|()| parent.place.open())
            .and_then(|handle| {
                let handle = handle.as_fd();
                self.visitor.enter(&mut self.worker, &parent, handle, &name)
            });
        match entered {
            Ok(Some(Entered {
                directory,
                meta,
                data,
            })) => {
                let dir = Arc::new(Dir {
                    place: parent.place.child(&name, meta.id, directory),
                    meta,
                    data,
                    parent: Some(parent),
                    pending: AtomicUsize::new(1),
                });
                self.read(dir, None)
            }
            Ok(None) | Err(Fault::Gone) => self.settle(parent),
            Err(fault) => Err(located(&parent, fault, &name)),
        }
    }

    fn late(&mut self, parent: Arc<Dir<V::Data>>, name: &CStr) -> Next<V::Data> {
        let done = self
            .control
            .check()
            .and_then(|()| parent.place.open())
            .and_then(|handle| {
                let handle = handle.as_fd();
                self.visitor.late(&mut self.worker, &parent, handle, name)
            });
        match done {
            Ok(()) | Err(Fault::Gone) => self.settle(parent),
            Err(fault) => Err(located(&parent, fault, name)),
        }
    }

    /// Reads until there are subdirectories to go into, or to the end.
    fn read(&mut self, dir: Arc<Dir<V::Data>>, position: Option<u64>) -> Next<V::Data> {
        let handle = match dir.place.open() {
            Ok(handle) => handle,
            // Removed while we were further down: it has no more entries.
            Err(Fault::Gone) => return self.settle(dir),
            Err(fault) => return Err(located(&dir, fault, c"")),
        };
        if let Some(position) = position {
            let found = match seek(&handle, SeekFrom::Start(position)) {
                // A directory that shrank or grew into another form has no such position any more: once more from the start.
                Err(Errno::INVAL) if self.visitor.may_repeat() => seek(&handle, SeekFrom::Start(0)),
                Err(Errno::INVAL) => return Err(located(&dir, Fault::Changed, c"")),
                found => found,
            };
            found
                .map_err(system("lseek"))
                .map_err(|fault| located(&dir, fault, c""))?;
        }
        let shares = self.visitor.shares_directories();
        // The first batch tells whether it is a wide one.
        let mut sorted = position.is_some() && self.visitor.sorts_wide_directories();
        loop {
            let mut below = Vec::new();
            let read = self.read_batch(&dir, &handle, sorted, &mut below);
            sorted = self.visitor.sorts_wide_directories();
            let mut position = read.map_err(|(fault, name)| located(&dir, fault, &name))?;
            if !below.is_empty() {
                return Ok(self.put_off(dir, position, below));
            }
            if position.is_some() && shares && self.queue.someone_waits() {
                let shared = self.share_batch(&dir, &handle);
                position = shared.map_err(|(fault, name)| located(&dir, fault, &name))?;
            }
            if position.is_none() {
                return self.settle(dir);
            }
        }
    }

    /// Leaves the next batch to whoever waits.
    fn share_batch(
        &mut self,
        dir: &Arc<Dir<V::Data>>,
        handle: &OwnedFd,
    ) -> Result<Option<u64>, (Fault, CString)> {
        let mut entries = Vec::new();
        let dirents = self.dirents.get_or_insert_default();
        let position = dirents.batch(handle.as_fd(), |name, kind| {
            entries.push((name.to_owned(), kind));
            Ok(())
        })?;
        dir.awaits(1);
        self.queue.push([Job::Entries {
            parent: Arc::clone(dir),
            entries,
        }]);
        Ok(position)
    }

    fn entries(
        &mut self,
        dir: Arc<Dir<V::Data>>,
        entries: Vec<(CString, FileKind)>,
    ) -> Next<V::Data> {
        let handle = match dir.place.open() {
            Ok(handle) => handle,
            Err(Fault::Gone) => return self.settle(dir),
            Err(fault) => return Err(located(&dir, fault, c"")),
        };
        let mut below = Vec::new();
        for (name, kind) in entries {
            self.control
                .check()
                .and_then(|()| self.look(&dir, &handle, &name, kind, &mut below))
                .map_err(|fault| located(&dir, fault, &name))?;
        }
        match below.is_empty() {
            false => Ok(self.put_off(dir, None, below)),
            true => self.settle(dir),
        }
    }

    fn read_batch(
        &mut self,
        dir: &Arc<Dir<V::Data>>,
        handle: &OwnedFd,
        sorted: bool,
        below: &mut Vec<Job<V::Data>>,
    ) -> Result<Option<u64>, (Fault, CString)> {
        self.control
            .check()
            .map_err(|fault| (fault, CString::default()))?;
        // Out of the way of what looks at the entries.
        let mut dirents = self.dirents.take().unwrap_or_default();
        let visit = |name: &CStr, kind| {
            self.control.check()?;
            self.look(dir, handle, name, kind, below)
        };
        let read = match sorted {
            true => dirents.sorted_batch(handle.as_fd(), visit),
            false => dirents.batch(handle.as_fd(), visit),
        };
        self.dirents = Some(dirents);
        read
    }

    fn look(
        &mut self,
        dir: &Arc<Dir<V::Data>>,
        handle: &OwnedFd,
        name: &CStr,
        kind: FileKind,
        below: &mut Vec<Job<V::Data>>,
    ) -> Result<(), Fault> {
        let found = match kind {
            FileKind::Directory => Ok(Found::Directory),
            _ => {
                let handle = handle.as_fd();
                self.visitor
                    .entry(&mut self.worker, dir, handle, name, kind)
            }
        };
        let parent = || Arc::clone(dir);
        match found {
            Ok(Found::Directory) => below.push(Job::Enter {
                parent: parent(),
                name: name.to_owned(),
            }),
            Ok(Found::Long) => below.push(Job::Late {
                parent: parent(),
                name: name.to_owned(),
            }),
            Ok(Found::Done) | Err(Fault::Gone) => {}
            Err(fault) => return Err(fault),
        }
        Ok(())
    }

    /// What is below comes before the rest of the directory, in the directory's order: where that is the order in which it was
    /// made, what lies side by side on disk is taken one after the other. The first job is the caller's.
    fn put_off(
        &self,
        dir: Arc<Dir<V::Data>>,
        position: Option<u64>,
        mut below: Vec<Job<V::Data>>,
    ) -> Option<Job<V::Data>> {
        below.reverse();
        let first = below.pop();
        // What was being read is either put off, or makes place for the caller's job.
        dir.awaits(below.len() + usize::from(position.is_some()));
        let rest = position.map(|_| Job::Read { dir, position });
        self.queue.push(rest.into_iter().chain(below));
        first
    }

    /// One thing less to wait for in `dir`. If it was the last, the directory is left, and so on upwards.
    fn settle(&mut self, mut dir: Arc<Dir<V::Data>>) -> Next<V::Data> {
        while dir.one_done() {
            let left = self.control.check().and_then(|()| {
                match self.visitor.leave(&mut self.worker, &dir) {
                    Err(Fault::Gone) => Ok(Leave::Done),
                    left => left,
                }
            });
            if left.map_err(|fault| located(&dir, fault, c""))? == Leave::Again {
                dir.awaits(1);
                return Ok(Some(Job::Read {
                    dir,
                    position: Some(0),
                }));
            }
            match &dir.parent {
                Some(parent) => dir = Arc::clone(parent),
                None => {
                    self.queue.end(None);
                    break;
                }
            }
        }
        Ok(None)
    }
}

fn located<D>(dir: &Dir<D>, fault: Fault, name: &CStr) -> TreeError {
    match fault {
        Fault::Cancelled => TreeError::new(fault, Vec::new()),
        fault => TreeError::new(fault, dir.place.path_of(name)),
    }
}

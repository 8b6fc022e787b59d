//! What is to be done: a stack, shared by the threads of one walk.

use std::{
    ffi::CString,
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use super::Dir;
use crate::tree::{FileKind, TreeError};

/// Something to be done.
#[derive(Debug)]
pub(super) enum Job<D> {
    /// Go into the directory `name` of `parent`.
    Enter { parent: Arc<Dir<D>>, name: CString },
    /// Do what takes long with the entry `name` of `parent`.
    Late { parent: Arc<Dir<D>>, name: CString },
    /// Do what is to be done with these entries of `parent`.
    Entries {
        parent: Arc<Dir<D>>,
        entries: Vec<(CString, FileKind)>,
    },
    /// Read on in `dir`, from `position`, for lseek(2), or from where its handle stands.
    Read {
        dir: Arc<Dir<D>>,
        position: Option<u64>,
    },
}

#[derive(Debug)]
pub(super) struct Queue<D> {
    state: Mutex<State<D>>,
    news: Condvar,
}

#[derive(Debug)]
struct State<D> {
    jobs: Vec<Job<D>>,
    /// Threads that wait for something to do.
    waiting: usize,
    ended: bool,
    fault: Option<TreeError>,
}

impl<D> Queue<D> {
    pub fn new(first: Job<D>) -> Self {
        Self {
            state: Mutex::new(State {
                jobs: vec![first],
                waiting: 0,
                ended: false,
                fault: None,
            }),
            news: Condvar::new(),
        }
    }

    /// Puts `jobs` on top; the last of them will be done first.
    pub fn push(&self, jobs: impl IntoIterator<Item = Job<D>>) {
        let mut state = self.lock();
        state.jobs.extend(jobs);
        if state.waiting > 0 {
            self.news.notify_all();
        }
    }

    /// Whether a thread has nothing to do.
    pub fn someone_waits(&self) -> bool {
        self.lock().waiting > 0
    }

    /// Takes what is on top, and waits for it if need be; nothing once the walk has ended.
    pub fn pop(&self) -> Option<Job<D>> {
        let mut state = self.lock();
        loop {
            if state.ended {
                return None;
            }
            if let Some(job) = state.jobs.pop() {
                return Some(job);
            }
            state.waiting += 1;
            state = self
                .news
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
    }

    /// The walk is done, or can't go on; the first fault counts.
    pub fn end(&self, fault: Option<TreeError>) {
        let mut state = self.lock();
        state.ended = true;
        state.fault = state.fault.take().or(fault);
        let rest = mem::take(&mut state.jobs);
        drop(state);
        self.news.notify_all();
        // Not under the lock: it closes directories.
        drop(rest);
    }

    pub fn outcome(self) -> Result<(), TreeError> {
        let state = self
            .state
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        state.fault.map_or(Ok(()), Err)
    }

    fn lock(&self) -> MutexGuard<'_, State<D>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the walk if the thread that holds it panics: the others would wait for ever.
#[derive(Debug)]
pub(super) struct EndOnPanic<'a, D>(pub &'a Queue<D>);

impl<D> Drop for EndOnPanic<'_, D> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.end(None);
        }
    }
}

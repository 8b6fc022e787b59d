//! Is there one order of all steps of a vfolder, none out of its time, in which each is possible?
//!
//! The search of Wing and Gong (1993) with the memory of Lowe (2017): try as next whatever may come next, go back where
//! nothing can, and never look twice at the same rest from the same state. A step may come next if no other that is sure
//! and still to come was over before it began. One that is not sure may come at any time after its beginning, or never.
//! Steps that change nothing are taken as soon as they fit: that closes no way.

use std::collections::HashSet;

use super::{
    Facts, Violation,
    model::{State, What},
    steps::{Step, Story, stories},
};
use crate::storm::history::{NEVER, seconds};

/// A history that takes more is not decided, which is a violation too: an answer has to be had.
const MOST_STATES: usize = 2_000_000;
/// How many of the steps around the place where the search got stuck are shown.
const SHOWN: usize = 60;

/// Puts every vfolder's steps in order. How many there were.
pub(super) fn check(facts: &Facts<'_>, violations: &mut Vec<Violation>) -> usize {
    let mut count = 0;
    for (vfolder, mut story) in stories(facts) {
        count += story.steps.len();
        story.steps.sort_by_key(|step| (step.start, step.end));
        if let Err(stuck) = order(&story) {
            let what = if stuck.decided {
                "there is no order of its calls in which all answers are right"
            } else {
                "too many orders to try"
            };
            violations.push(Violation {
                check: "linear",
                text: format!("{vfolder}: {what}"),
                evidence: explain(&story, &stuck),
            });
        }
    }
    count
}

/// How far the search came at best.
struct Stuck {
    decided: bool,
    /// In this order.
    taken: Vec<usize>,
    state: State,
}

struct Search<'a> {
    story: &'a Story,
    /// Which steps have been taken.
    done: Vec<bool>,
    taken: Vec<usize>,
    /// Of the sure ones, how many have not.
    left: usize,
    seen: HashSet<(Vec<u64>, State)>,
    best: Stuck,
}

fn order(story: &Story) -> Result<(), Stuck> {
    let mut search = Search {
        story,
        done: vec![false; story.steps.len()],
        taken: Vec::new(),
        left: story.steps.iter().filter(|step| step.sure).count(),
        seen: HashSet::new(),
        best: Stuck {
            decided: true,
            taken: Vec::new(),
            state: State::nothing(),
        },
    };
    if search.run() {
        Ok(())
    } else {
        Err(search.best)
    }
}

/// A state on the way, what may be tried from it, and how many steps had been taken before.
struct Fork {
    state: State,
    ahead: Vec<usize>,
    depth: usize,
}

impl Search<'_> {
    fn run(&mut self) -> bool {
        let first = State::nothing();
        let mut forks = vec![self.fork(first)];
        while let Some(fork) = forks.last_mut() {
            if self.left == 0 {
                return true;
            }
            let (next, state, depth) = (fork.ahead.pop(), fork.state.clone(), fork.depth);
            self.undo(depth);
            let Some(next) = next else {
                forks.pop();
                continue;
            };
            let step = &self.story.steps[next];
            let Some(after) = state.after(&step.what, step.result) else {
                continue;
            };
            self.take(next);
            let fork = self.fork(after);
            if self.left == 0 {
                return true;
            }
            if self.seen.len() > MOST_STATES {
                self.best.decided = false;
                return false;
            }
            if self.seen.insert((self.fingerprint(), fork.state.clone())) {
                forks.push(fork);
            }
        }
        false
    }

    /// Takes what changes nothing and fits, then collects what may come next.
    fn fork(&mut self, state: State) -> Fork {
        loop {
            let horizon = self.horizon();
            let quiet = self.open(horizon).find(|index| {
                let step = &self.story.steps[*index];
                state.fits(&step.what, &self.story.expiries, step.end) == Some(true)
            });
            let Some(quiet) = quiet else {
                if self.taken.len() > self.best.taken.len() {
                    self.best.taken.clone_from(&self.taken);
                    self.best.state = state.clone();
                }
                let mut ahead: Vec<usize> = self
                    .open(horizon)
                    .filter(|index| changes(&self.story.steps[*index].what))
                    .collect();
                // The last is tried first: what is sure, and was over first.
                ahead.sort_by_key(|index| {
                    let step = &self.story.steps[*index];
                    std::cmp::Reverse((!step.sure, step.end, step.start))
                });
                return Fork {
                    state,
                    ahead,
                    depth: self.taken.len(),
                };
            };
            self.take(quiet);
        }
    }

    /// When the first of the sure steps that are still to come was over: what began later comes later.
    fn horizon(&self) -> u64 {
        let open = self.story.steps.iter().zip(&self.done);
        open.filter(|(step, done)| !**done && step.sure)
            .map(|(step, _)| step.end)
            .min()
            .unwrap_or(NEVER)
    }

    fn open(&self, horizon: u64) -> impl Iterator<Item = usize> {
        let steps = &self.story.steps;
        // Sorted by their beginnings.
        let end = steps.partition_point(|step| step.start <= horizon);
        (0..end).filter(|index| !self.done[*index])
    }

    fn take(&mut self, index: usize) {
        self.done[index] = true;
        self.taken.push(index);
        self.left -= usize::from(self.story.steps[index].sure);
    }

    fn undo(&mut self, depth: usize) {
        for index in self.taken.drain(depth..) {
            self.done[index] = false;
            self.left += usize::from(self.story.steps[index].sure);
        }
    }

    fn fingerprint(&self) -> Vec<u64> {
        let word = |bits: &[bool]| {
            bits.iter()
                .enumerate()
                .fold(0, |word, (bit, done)| word | (u64::from(*done) << bit))
        };
        self.done.chunks(64).map(word).collect()
    }
}

const fn changes(what: &What) -> bool {
    !matches!(
        what,
        What::Show { .. }
            | What::RefuseStatus { .. }
            | What::RefuseEtag { .. }
            | What::Admit { .. }
            | What::Absent
            | What::NoTree
            | What::Renew { .. }
            | What::NoMount { .. }
    )
}

fn explain(story: &Story, stuck: &Stuck) -> Vec<String> {
    let line = |mark: &str, step: &Step| {
        let end = if step.end == NEVER {
            "…".to_owned()
        } else {
            format!("{:.6}", seconds(step.end))
        };
        let sure = if step.sure { "" } else { " (maybe)" };
        format!(
            "{mark} [{:.6}, {end}]{sure} {:?}{}   ← {}",
            seconds(step.start),
            step.what,
            step.result
                .map(|r| format!(" → revision {r}"))
                .unwrap_or_default(),
            step.origin
        )
    };
    let mut lines = Vec::new();
    let skipped = stuck.taken.len().saturating_sub(SHOWN);
    lines.push(format!(
        "{} steps in all; the best order has {}, of which the last are:",
        story.steps.len(),
        stuck.taken.len()
    ));
    for index in &stuck.taken[skipped..] {
        lines.push(line("  ", &story.steps[*index]));
    }
    lines.push(format!(
        "and leads to {:?}, where none of these can come next:",
        stuck.state
    ));
    let mut taken = vec![false; story.steps.len()];
    for index in &stuck.taken {
        taken[*index] = true;
    }
    let open: Vec<_> = story
        .steps
        .iter()
        .zip(&taken)
        .filter(|(_, taken)| !**taken)
        .collect();
    let horizon = open
        .iter()
        .filter(|(step, _)| step.sure)
        .map(|(step, _)| step.end)
        .min();
    for (step, _) in open
        .iter()
        .filter(|(step, _)| step.start <= horizon.unwrap_or(NEVER))
        .take(SHOWN)
    {
        lines.push(line("✗ ", step));
    }
    lines
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use vfolder_proto::v1::VFolderStatus;

    use super::*;

    fn step(start: u64, end: u64, what: What) -> Step {
        Step {
            start,
            end,
            sure: true,
            what,
            result: None,
            origin: String::new(),
        }
    }

    fn show(start: u64, end: u64, status: VFolderStatus, revision: i64) -> Step {
        let name = "a".into();
        step(
            start,
            end,
            What::Show {
                status,
                name,
                revision,
            },
        )
    }

    fn is_ordered(steps: Vec<Step>) -> bool {
        let mut steps = steps;
        steps.push(step(0, 9, What::Begin { name: "a".into() }));
        steps.push(step(0, 10, What::Made { whole: true }));
        steps.sort_by_key(|step| (step.start, step.end));
        order(&Story {
            steps,
            ..Story::default()
        })
        .is_ok()
    }

    #[test]
    fn what_was_acknowledged_and_is_not_seen_afterwards_has_no_order() {
        let trash = || step(20, 30, What::Trash { etag: None });
        assert!(is_ordered(vec![
            trash(),
            show(40, 50, VFolderStatus::Trashed, 3)
        ]));
        assert!(is_ordered(vec![
            trash(),
            show(25, 50, VFolderStatus::Ready, 2)
        ]));
        assert!(!is_ordered(vec![
            trash(),
            show(40, 50, VFolderStatus::Ready, 2)
        ]));
        assert!(!is_ordered(vec![
            trash(),
            show(40, 50, VFolderStatus::Trashed, 4)
        ]));
    }

    #[test]
    fn what_was_not_answered_may_come_late_or_never_but_not_twice() {
        let maybe = || Step {
            sure: false,
            end: NEVER,
            ..step(20, 30, What::Trash { etag: None })
        };
        assert!(is_ordered(vec![
            maybe(),
            show(40, 50, VFolderStatus::Ready, 2)
        ]));
        assert!(is_ordered(vec![
            maybe(),
            show(40, 50, VFolderStatus::Ready, 2),
            show(60, 70, VFolderStatus::Trashed, 3),
        ]));
        assert!(!is_ordered(vec![
            maybe(),
            show(40, 50, VFolderStatus::Trashed, 3),
            step(60, 70, What::Restore { name: None }),
            show(80, 90, VFolderStatus::Trashed, 5),
        ]));
    }

    #[test]
    fn a_clone_is_admitted_beside_readers_and_never_beside_a_writer() {
        let mount = |write| What::Mount {
            mount: Uuid::from_u128(1),
            write,
        };
        let clone = || {
            step(
                40,
                50,
                What::CloneBegins {
                    operation: Uuid::from_u128(2),
                },
            )
        };
        assert!(is_ordered(vec![step(20, 30, mount(false)), clone()]));
        assert!(!is_ordered(vec![step(20, 30, mount(true)), clone()]));
        let unmount = What::Unmount {
            mount: Uuid::from_u128(1),
        };
        assert!(is_ordered(vec![
            step(20, 30, mount(true)),
            clone(),
            step(35, 60, unmount)
        ]));
    }
}

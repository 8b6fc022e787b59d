//! Is there one order of all steps of a vfolder, none out of its time, in which each is possible?
//!
//! The search of Wing and Gong (1993) with the memory of Lowe (2017): try as next whatever may come next, go back where
//! nothing can, and never look twice at the same rest from the same state. A step may come next if no other that is sure
//! and still to come was over before it began. One that is not sure may come at any time after its beginning, or never.
//! Steps that change nothing are taken as soon as they fit: that closes no way. A state whose revision is beyond one that
//! still has to be shown leads nowhere: revisions only rise.

use std::collections::HashSet;

use vfolder_proto::v1::VFolderEvent;

use super::{
    Facts, Violation,
    hints::suggests,
    model::{State, What},
    steps::{Step, Story, stories},
};
use crate::storm::history::{NEVER, seconds};

/// A history that takes more is not decided, which is a violation too: an answer has to be had.
const MOST_STATES: usize = 200_000;
/// How many of the steps around the place where the search got stuck are shown.
const SHOWN: usize = 60;

/// Puts every vfolder's steps in order. How many there were.
pub(super) fn check(facts: &Facts<'_>, violations: &mut Vec<Violation>) -> usize {
    let mut count = 0;
    for (vfolder, mut story) in stories(facts) {
        count += story.steps.len();
        story.steps.sort_by_key(|step| (step.start, step.end));
        let events = facts
            .rest
            .events
            .get(&vfolder)
            .map_or(&[][..], Vec::as_slice);
        if let Err(stuck) = order(&story, events) {
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
    /// What the manager says the order was: worth trying first, no more.
    events: &'a [VFolderEvent],
    /// Which steps have been taken.
    done: Vec<bool>,
    taken: Vec<usize>,
    /// Of the sure ones, how many have not.
    left: usize,
    /// The sure ones, by their ends.
    ends: Vec<usize>,
    /// Those that need a revision no higher than a known one, by that revision.
    revisions: Vec<(i64, usize)>,
    seen: HashSet<(Vec<u64>, State)>,
    best: Stuck,
}

fn order(story: &Story, events: &[VFolderEvent]) -> Result<(), Box<Stuck>> {
    let steps = story.steps.iter().enumerate();
    let sure: Vec<usize> = steps
        .filter(|(_, step)| step.sure)
        .map(|(index, _)| index)
        .collect();
    let mut ends = sure.clone();
    ends.sort_by_key(|index| story.steps[*index].end);
    let before = |index: &usize| {
        let step = &story.steps[*index];
        match (&step.what, step.result) {
            (What::Show { revision, .. }, _) => Some((*revision, *index)),
            (_, Some(result)) => Some((result - 1, *index)),
            _ => None,
        }
    };
    let mut revisions: Vec<_> = sure.iter().filter_map(before).collect();
    revisions.sort_unstable();
    let mut search = Search {
        story,
        events,
        done: vec![false; story.steps.len()],
        taken: Vec::new(),
        left: sure.len(),
        ends,
        revisions,
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
        Err(Box::new(search.best))
    }
}

/// A state on the way, what may be tried from it, and where the search stood.
struct Fork {
    state: State,
    ahead: Vec<usize>,
    /// How many steps had been taken.
    depth: usize,
    mark: Mark,
}

/// Everything before these places has been taken: nobody looks there again.
#[derive(Clone, Copy, Default)]
struct Mark {
    end: usize,
    revision: usize,
    step: usize,
}

impl Search<'_> {
    fn run(&mut self) -> bool {
        let mut forks = Vec::new();
        forks.extend(self.fork(State::nothing(), Mark::default()));
        while self.left > 0 {
            let Some(fork) = forks.last_mut() else {
                return false;
            };
            let (next, depth, mark) = (fork.ahead.pop(), fork.depth, fork.mark);
            let after = next.map(|next| {
                let step = &self.story.steps[next];
                (next, fork.state.after(&step.what, step.result))
            });
            self.undo(depth);
            match after {
                None => {
                    forks.pop();
                }
                Some((_, None)) => {}
                // What may have happened, and would have changed nothing, need not have.
                Some((next, Some(after))) if self.is_idle(next, forks.last(), &after) => {}
                Some((next, Some(after))) => {
                    self.take(next);
                    forks.extend(self.fork(after, mark));
                }
            }
            if self.seen.len() > MOST_STATES {
                self.best.decided = false;
                return false;
            }
        }
        true
    }

    fn is_idle(&self, step: usize, from: Option<&Fork>, after: &State) -> bool {
        !self.story.steps[step].sure && from.is_some_and(|fork| fork.state == *after)
    }

    /// Takes what changes nothing and fits, then collects what may come next. None: this leads nowhere, or has been seen.
    fn fork(&mut self, state: State, mut mark: Mark) -> Option<Fork> {
        let horizon = loop {
            self.move_on(&mut mark);
            let horizon = self
                .ends
                .get(mark.end)
                .map_or(NEVER, |index| self.story.steps[*index].end);
            let before = self.taken.len();
            let quiet: Vec<usize> = self
                .open(mark, horizon)
                .filter(|index| {
                    let step = &self.story.steps[*index];
                    state.fits(&step.what, &self.story.expiries, step.end) == Some(true)
                })
                .collect();
            for index in quiet {
                self.take(index);
            }
            if self.taken.len() == before {
                break horizon;
            }
        };
        if self.taken.len() > self.best.taken.len() {
            self.best.taken.clone_from(&self.taken);
            self.best.state = state.clone();
        }
        let lowest = self
            .revisions
            .get(mark.revision)
            .map(|(revision, _)| *revision);
        if lowest.is_some_and(|lowest| state.revision > lowest) {
            return None;
        }
        let mut alike = HashSet::new();
        let mut ahead: Vec<usize> = self
            .open(mark, horizon)
            .filter(|index| {
                let step = &self.story.steps[*index];
                changes(&step.what) && (step.alike == 0 || alike.insert(step.alike))
            })
            .collect();
        let next = usize::try_from(state.revision)
            .ok()
            .and_then(|revision| self.events.get(revision));
        // The last is tried first: what the manager suggests; else what is sure, and was over first.
        ahead.sort_by_key(|index| {
            let step = &self.story.steps[*index];
            let suggested = next.is_some_and(|event| suggests(event, step));
            std::cmp::Reverse((!suggested, !step.sure, step.end, step.start))
        });
        let is_new = self.seen.insert((self.fingerprint(mark), state.clone()));
        is_new.then_some(Fork {
            state,
            ahead,
            depth: self.taken.len(),
            mark,
        })
    }

    fn move_on(&self, mark: &mut Mark) {
        let is_done = |index: Option<&usize>| index.is_some_and(|index| self.done[*index]);
        while is_done(self.ends.get(mark.end)) {
            mark.end += 1;
        }
        while is_done(self.revisions.get(mark.revision).map(|(_, index)| index)) {
            mark.revision += 1;
        }
        while self.done.get(mark.step) == Some(&true) {
            mark.step += 1;
        }
    }

    /// What began before the first of the sure steps that are still to come was over.
    fn open(&self, mark: Mark, horizon: u64) -> impl Iterator<Item = usize> {
        // Sorted by their beginnings.
        let end = self
            .story
            .steps
            .partition_point(|step| step.start <= horizon);
        (mark.step..end).filter(|index| !self.done[*index])
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

    /// Which steps have been taken: all before the mark, and of the others these.
    fn fingerprint(&self, mark: Mark) -> Vec<u64> {
        let word = |bits: &[bool]| {
            bits.iter()
                .enumerate()
                .fold(0, |word, (bit, done)| word | (u64::from(*done) << bit))
        };
        let mut words = vec![mark.step as u64];
        words.extend(self.done[mark.step..].chunks(64).map(word));
        while words.len() > 1 && words.last() == Some(&0) {
            words.pop();
        }
        words
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
mod tests;

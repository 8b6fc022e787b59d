//! The proof: what was asked and answered, what the manager says happened, and what is there in the end, compared.
//!
//! | check | says |
//! | --- | --- |
//! | `effects` | every acknowledged call has had its effect, once; nothing is there that nobody asked for |
//! | `linear` | for each vfolder there is one order of all calls, none before it was made or after it was answered, in which every answer is right |
//! | `events` | the manager's own history has no gap and no impossible step, and has each acknowledged call exactly once, at its time |
//! | `content` | each copy is what its source was when the clone began, and each tree is what was written, uploaded, unpacked and removed |

mod answers;
mod content;
mod effects;
mod events;
mod hints;
mod linear;
mod model;
mod refusals;
mod steps;
mod work;

use std::fmt;

use super::{
    contents::{Look, Write},
    history::{Call, Clock},
    settle::Rest,
};

/// Something that must not be.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which check found it.
    pub check: &'static str,
    /// What.
    pub text: String,
    /// The history that shows it.
    pub evidence: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check, self.text)?;
        for line in &self.evidence {
            write!(f, "\n    {line}")?;
        }
        Ok(())
    }
}

/// All that is known.
pub struct Facts<'a> {
    /// The clock of the calls.
    pub clock: Clock,
    /// What was asked and answered.
    pub calls: &'a [Call],
    /// What is there in the end.
    pub rest: &'a Rest,
    /// What was written into the trees.
    pub writes: &'a [Write],
    /// What was seen there.
    pub looks: &'a [Look],
}

/// How much was checked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Checked {
    /// Steps that were put in order.
    pub steps: usize,
    /// Events that were matched.
    pub events: usize,
    /// Bundles that were compared.
    pub bundles: usize,
    /// Clones whose content was compared.
    pub clones: usize,
}

/// Compares everything.
#[must_use]
pub fn check(facts: &Facts<'_>, violations: &mut Vec<Violation>) -> Checked {
    let mut checked = Checked::default();
    answers::check(facts, violations);
    effects::check(facts, violations);
    checked.steps = linear::check(facts, violations);
    checked.events = events::check(facts, violations);
    (checked.bundles, checked.clones) = content::check(facts, violations);
    checked
}

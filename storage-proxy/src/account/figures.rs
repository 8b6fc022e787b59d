//! One vfolder's figures.

use std::time::{Duration, Instant};

use vfolder_common::token::Quota;

use super::Amount;

/// What can't be counted is not tried again sooner.
const TRY_AGAIN: Duration = Duration::from_secs(60);

/// A vfolder's figures.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// The newest that was told. Its `owner` and limits hold; those of the owner are in the owner's sums.
    pub quota: Quota,
    /// What is in the tree; nothing while that is not known.
    pub used: Option<Amount>,
    /// Whether that was for sure. What was counted while somebody wrote, is not.
    pub exact: bool,
    /// Up to which end of a mount (`quota.mounted`) it was counted.
    as_of: i64,
    /// As of which end of a mount it was told that other sessions still write there.
    pub sessions: Option<i64>,
    /// Set aside.
    pub reserved: Amount,
    /// So many are in the tree to change it.
    pub inside: u32,
    /// Rises with whatever may change the tree, or what is known of it.
    pub changes: u64,
    /// When it last did.
    changed: Option<Instant>,
    /// When anything was last heard of it.
    heard: Option<Instant>,
    /// Why it can't be counted, as of when.
    uncountable: Option<(Instant, String)>,
}

impl Account {
    pub fn hear(&mut self) {
        self.heard = Some(Instant::now());
    }

    pub fn at_work(&mut self) {
        self.changes += 1;
        self.changed = Some(Instant::now());
        self.hear();
    }

    /// Nobody changes the tree. What is set aside for later is not in it yet.
    pub fn is_quiet(&self) -> bool {
        self.inside == 0
    }

    /// Nobody has for so long.
    pub fn is_at_rest(&self, idle: Duration) -> bool {
        self.is_quiet() && self.changed.is_none_or(|at| at.elapsed() >= idle)
    }

    pub fn is_unheard(&self, idle: Duration) -> bool {
        self.is_quiet()
            && self.reserved == Amount::default()
            && self.heard.is_none_or(|at| at.elapsed() >= idle)
    }

    pub fn counted(&mut self, used: Amount, mounted: i64, exact: bool) {
        (self.used, self.exact, self.as_of) = (Some(used), exact, mounted);
        self.uncountable = None;
        self.changes += 1;
    }

    pub fn doubt(&mut self) {
        (self.used, self.exact) = (None, false);
        self.uncountable = None;
        self.changes += 1;
    }

    pub fn cannot_count(&mut self, why: String) {
        self.uncountable = Some((Instant::now(), why));
    }

    pub fn why_uncountable(&self) -> Option<&str> {
        self.uncountable.as_ref().map(|(_, why)| why.as_str())
    }

    /// Whether the figures say nothing as they are, and counting may help. After a session also beside a writer: it may have
    /// brought any amount.
    pub fn must_count(&self) -> bool {
        let just_tried = |(at, _): &(Instant, String)| at.elapsed() < TRY_AGAIN;
        let unsure = self.used.is_none() || !self.is_current() || (!self.exact && self.is_quiet());
        unsure && !self.uncountable.as_ref().is_some_and(just_tried)
    }

    /// What is in the tree, if that is for sure and stays so until somebody comes in.
    pub fn final_figures(&self) -> Option<Amount> {
        let sessions = self
            .sessions
            .is_some_and(|as_of| as_of >= self.quota.mounted);
        let sure = self.exact && self.is_current() && self.is_quiet() && !sessions;
        self.used.filter(|_| sure)
    }

    /// No session has written since it was counted and given up its mount.
    fn is_current(&self) -> bool {
        self.as_of >= self.quota.mounted
    }
}

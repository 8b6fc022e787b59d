//! What was found.

use std::fmt;

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// An invariant doesn't hold.
    Violation,
    /// It could not be looked at.
    Unchecked,
    /// Nothing is wrong: something is still to be cleared away.
    Notice,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Which of the design's invariants it is about; 0 for none.
    pub invariant: u8,
    /// What it is about: a vfolder's, operation's or mount's id, a path on a volume, a volume.
    pub subject: String,
    /// What is wrong.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Violation => "VIOLATION",
            Severity::Unchecked => "UNCHECKED",
            Severity::Notice => "notice",
        };
        write!(f, "{severity}")?;
        if self.invariant > 0 {
            write!(f, " of invariant {}", self.invariant)?;
        }
        write!(f, ": {}: {}", self.subject, self.text)
    }
}

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Checked {
    pub vfolders: usize,
    pub live_operations: usize,
    pub mounts: usize,
    pub volumes: usize,
}

/// All that was found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// How much was looked at.
    pub checked: Checked,
    /// What was found, the worst first.
    pub findings: Vec<Finding>,
}

impl Report {
    /// How many findings are so bad.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.findings
            .iter()
            .filter(|f| f.severity == severity)
            .count()
    }

    pub(super) fn violation(
        &mut self,
        invariant: u8,
        subject: impl Into<String>,
        text: impl Into<String>,
    ) {
        self.add(Severity::Violation, invariant, subject, text);
    }

    pub(super) fn unchecked(&mut self, subject: impl Into<String>, text: impl Into<String>) {
        self.add(Severity::Unchecked, 0, subject, text);
    }

    pub(super) fn notice(&mut self, subject: impl Into<String>, text: impl Into<String>) {
        self.add(Severity::Notice, 0, subject, text);
    }

    fn add(
        &mut self,
        severity: Severity,
        invariant: u8,
        subject: impl Into<String>,
        text: impl Into<String>,
    ) {
        self.findings.push(Finding {
            severity,
            invariant,
            subject: subject.into(),
            text: text.into(),
        });
    }
}

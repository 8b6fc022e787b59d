//! What is told on standard output: a line for people, or one JSON object for each thing that happens.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    io::{Write as _, stderr, stdout},
    path::Path,
    time::Instant,
};

use serde::Serialize;

use super::{args::Shown, bar::size, error::OfflineError};
use crate::tree::{Progress, TreeDigest};

/// Tells what happens, and when since the program was asked.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    begun: Instant,
    quiet: bool,
    json: bool,
}

/// What happens, for machines. Of paths, what is no UTF-8 is replaced. `seconds` are since the program was asked.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event<'a> {
    /// What is to be removed is out of sight; if it was to be synced, for good.
    Acknowledged { seconds: f64 },
    /// The work has stopped because it was asked to; what it has left is still there.
    Stopped { seconds: f64 },
    /// The end.
    Done {
        verb: &'a str,
        path: Cow<'a, str>,
        entries: u64,
        bytes: u64,
        seconds: f64,
        method: &'a str,
        synced: bool,
    },
    /// A tree's digest.
    Digest {
        path: Cow<'a, str>,
        digest: String,
        entries: u64,
        bytes: u64,
        seconds: f64,
    },
    /// A path that differs.
    Different {
        path: &'a str,
        aspects: BTreeMap<&'a str, &'a str>,
    },
    /// Something was not done.
    Failed { error: String, seconds: f64 },
    /// Two trees were compared to the end.
    Compared { differences: u64, seconds: f64 },
}

/// How it went.
#[derive(Clone, Copy, Debug)]
pub struct Done<'a> {
    /// What was done: "cloned" or "removed".
    pub verb: &'a str,
    /// What there is now, or was.
    pub path: &'a Path,
    /// How much.
    pub progress: Progress,
    /// How.
    pub method: &'a str,
    /// Whether it is on disk.
    pub synced: bool,
}

impl Report {
    /// Begins to count the time.
    pub fn new(shown: &Shown) -> Self {
        Self {
            begun: Instant::now(),
            quiet: shown.quiet,
            json: shown.json,
        }
    }

    fn seconds(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    /// What is to be removed is out of sight.
    pub fn acknowledged(&self) {
        self.tell(&Event::Acknowledged {
            seconds: self.seconds(),
        });
    }

    /// The work has stopped.
    pub fn stopped(&self) {
        self.tell(&Event::Stopped {
            seconds: self.seconds(),
        });
    }

    /// Something was not done; also told on standard error.
    pub fn failed(&self, error: &OfflineError) {
        let _ = writeln!(stderr(), "storage-proxy: {error}");
        self.tell(&Event::Failed {
            error: error.to_string(),
            seconds: self.seconds(),
        });
    }

    /// The work is done.
    pub fn done(&self, done: &Done<'_>) {
        let seconds = self.seconds();
        let Progress {
            entries_done: entries,
            bytes_done: bytes,
            ..
        } = done.progress;
        self.tell(&Event::Done {
            verb: done.verb,
            path: done.path.to_string_lossy(),
            entries,
            bytes,
            seconds,
            method: done.method,
            synced: done.synced,
        });
        if !self.json && !self.quiet {
            let synced = match done.synced {
                true => "",
                false => ", not synced",
            };
            say(&format!(
                "{} {}: {entries} entries, {} in {seconds:.2} s ({}{synced})",
                done.verb,
                done.path.display(),
                size(bytes),
                done.method,
            ));
        }
    }

    /// A tree's digest.
    pub fn digest(&self, digest: &TreeDigest, path: &Path) {
        let text = digest.to_string();
        if !self.json {
            say(&format!("{text}  {}", path.display()));
        }
        self.tell(&Event::Digest {
            path: path.to_string_lossy(),
            digest: text,
            entries: digest.entries,
            bytes: digest.bytes,
            seconds: self.seconds(),
        });
    }

    /// A path that differs, and in what.
    pub fn difference(&self, path: &str, aspects: &[(&str, String)]) {
        if !self.json && !self.quiet {
            let aspects = aspects
                .iter()
                .map(|(name, values)| format!("{name} {values}"));
            let aspects: Vec<_> = aspects.map(|text| text.trim_end().to_owned()).collect();
            say(&format!("{path}: {}", aspects.join(", ")));
        }
        let aspects = aspects
            .iter()
            .map(|(name, values)| (*name, values.as_str()));
        self.tell(&Event::Different {
            path,
            aspects: aspects.collect(),
        });
    }

    /// Two trees were compared to the end.
    pub fn compared(&self, differences: u64) {
        self.tell(&Event::Compared {
            differences,
            seconds: self.seconds(),
        });
    }

    fn tell(&self, event: &Event<'_>) {
        if self.json
            && let Ok(text) = serde_json::to_string(event)
        {
            say(&text);
        }
    }
}

/// A reader that has gone away is no reason to fail what was done.
fn say(line: &str) {
    let mut out = stdout();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

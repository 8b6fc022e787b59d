//! What a storm was and what came of it.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    fs, io,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use super::{
    check::{Checked, Violation},
    client::Shared,
    history::{Call, Outcome, Progress, seconds},
    nemesis::{Fault, Struck},
    plan::Plan,
    recovery::{Awaited, Wait},
    settle::Rest,
    world::World,
};

/// All of it.
pub struct Report {
    /// What was to be.
    pub plan: Plan,
    /// How long it blew.
    pub blew: Duration,
    /// Every call.
    pub calls: Vec<Call>,
    /// What there was in the end.
    pub rest: Rest,
    /// Every fault.
    pub struck: Vec<Struck>,
    /// Every wait for somebody to go on.
    pub waits: Vec<Wait>,
    /// How long it took until nothing was left on the volumes.
    pub cleared: Duration,
    /// How much was checked.
    pub checked: Checked,
    /// What must not be.
    pub violations: Vec<Violation>,
    pub(super) world: Option<Arc<World>>,
    pub(super) shared: Option<Arc<Shared>>,
}

impl Report {
    /// Nothing was found that must not be.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.violations.is_empty()
    }

    /// Calls that were acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.calls
            .iter()
            .filter(|call| call.told().is_some())
            .count()
    }

    /// How long the waits of a kind were, in seconds, the shortest first: all, or those with nothing else in the way.
    #[must_use]
    pub fn waited(&self, awaited: Awaited, alone: bool) -> Vec<f64> {
        let fitting = self
            .waits
            .iter()
            .filter(|wait| wait.awaited == awaited && (wait.alone || !alone));
        let mut times: Vec<f64> = fitting
            .filter_map(|wait| Some(seconds(wait.end?.saturating_sub(wait.start))))
            .collect();
        times.sort_by(f64::total_cmp);
        times
    }

    /// Ends all processes and keeps the folder with their logs, the histories and what was found.
    ///
    /// # Errors
    /// If the files can't be written.
    pub fn keep(&mut self) -> io::Result<PathBuf> {
        self.shared = None;
        let mut folder = PathBuf::new();
        if let Some(world) = self.world.take() {
            let log = world.postgres.log();
            // Everybody who shared it has ended.
            if let Ok(mut world) = Arc::try_unwrap(world).map_err(|_| ()) {
                folder = world.keep();
                drop(world);
            }
            fs::write(folder.join("postgres.log"), log)?;
        }
        let lines = |all: &mut dyn Iterator<Item = String>| {
            all.fold(String::new(), |text, line| text + &line + "\n")
        };
        fs::write(
            folder.join("calls.txt"),
            lines(&mut self.calls.iter().map(Call::to_string)),
        )?;
        fs::write(
            folder.join("violations.txt"),
            lines(&mut self.violations.iter().map(Violation::to_string)),
        )?;
        let mut struck: Vec<_> = self.struck.iter().collect();
        struck.sort_by_key(|struck| struck.start);
        let line = |s: &&Struck| {
            format!(
                "[{:>11.6} … {:>11.6}] {:?} {}",
                seconds(s.start),
                seconds(s.end),
                s.fault,
                s.target
            )
        };
        fs::write(
            folder.join("faults.txt"),
            lines(&mut struck.iter().map(line)),
        )?;
        let mut waits: Vec<_> = self.waits.iter().collect();
        waits.sort_by_key(|wait| wait.start);
        fs::write(
            folder.join("waits.txt"),
            lines(&mut waits.iter().map(|wait| format!("{wait:?}"))),
        )?;
        let mut events = String::new();
        for (vfolder, all) in &self.rest.events {
            let _ = writeln!(events, "{vfolder}");
            for event in all {
                let _ = writeln!(events, "    {event:?}");
            }
        }
        fs::write(folder.join("events.txt"), events)?;
        fs::write(folder.join("report.txt"), self.to_string())?;
        Ok(folder)
    }
}

/// The value that a part of all values does not exceed: the nearest rank.
fn quantile(sorted: &[f64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

/// Seconds, or that there are none.
fn figure(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan {
            seed,
            managers,
            clients,
            ..
        } = &self.plan;
        writeln!(
            f,
            "storm of {:.0} s, seed {seed}, {managers} managers, 2 storage-proxies, {clients} clients",
            self.blew.as_secs_f64()
        )?;
        self.write_calls(f)?;
        self.write_operations(f)?;
        self.write_faults(f)?;
        self.write_recovery(f)?;
        let Checked {
            steps,
            events,
            bundles,
            clones,
        } = self.checked;
        writeln!(
            f,
            "\nchecked: {steps} steps put in order, {events} events matched, {bundles} bundles compared, {clones} clones among them"
        )?;
        writeln!(f, "\nviolations: {}", self.violations.len())?;
        let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
        for violation in &self.violations {
            *kinds.entry(violation.check).or_default() += 1;
        }
        for (check, count) in kinds {
            writeln!(f, "  {count:>6}  {check}")?;
        }
        Ok(())
    }
}

impl Report {
    fn write_calls(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[derive(Default)]
        struct Row {
            done: usize,
            refused: usize,
            unknown: usize,
            again: u32,
        }
        let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
        for call in &self.calls {
            for name in [call.deed.rpc(), "all"] {
                let row = rows.entry(name).or_default();
                row.again += call.open_attempts;
                match call.outcome {
                    Outcome::Done(_) => row.done += 1,
                    Outcome::Refused { .. } => row.refused += 1,
                    Outcome::Unknown(_) => row.unknown += 1,
                }
            }
        }
        let all = rows.remove("all").unwrap_or_default();
        writeln!(
            f,
            "\n{:<18}{:>14}{:>10}{:>10}{:>26}",
            "calls", "acknowledged", "refused", "unknown", "attempts without answer"
        )?;
        for (name, row) in rows.iter().chain([(&"all", &all)]) {
            writeln!(
                f,
                "{name:<18}{:>14}{:>10}{:>10}{:>26}",
                row.done, row.refused, row.unknown, row.again
            )?;
        }
        Ok(())
    }

    fn write_operations(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows: BTreeMap<String, [usize; 4]> = BTreeMap::new();
        for operation in &self.rest.operations {
            let kind = operation.metadata.kind().as_str_name().to_lowercase();
            let row = rows.entry(kind).or_default();
            row[match operation.progress {
                Progress::Succeeded => 0,
                Progress::Cancelled => 1,
                Progress::Failed => 2,
                Progress::Live => 3,
            }] += 1;
        }
        writeln!(
            f,
            "\n{:<18}{:>10}{:>10}{:>10}{:>10}",
            "operations", "succeeded", "cancelled", "failed", "live"
        )?;
        for (kind, [succeeded, cancelled, failed, live]) in rows {
            writeln!(
                f,
                "{kind:<18}{succeeded:>10}{cancelled:>10}{failed:>10}{live:>10}"
            )?;
        }
        Ok(())
    }

    fn write_faults(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{:>6}  faults", self.struck.len())?;
        for fault in Fault::all() {
            let count = self
                .struck
                .iter()
                .filter(|struck| struck.fault == fault)
                .count();
            writeln!(f, "{count:>6}  {}", fault.text())?;
        }
        Ok(())
    }

    fn write_recovery(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n{:<58}{:>6}{:>8}{:>8}{:>8}",
            "recovery, in seconds", "times", "p50", "p99", "max"
        )?;
        for (awaited, text) in [
            (
                Awaited::Takeover,
                "kill -9 of a manager → another attempt at its operations",
            ),
            (
                Awaited::GoingOn,
                "return of a killed storage-proxy → its operations go on",
            ),
        ] {
            for (alone, text) in [(false, text), (true, "    with nothing else in the way")] {
                let times = self.waited(awaited, alone);
                writeln!(
                    f,
                    "{text:<58}{:>6}{:>8}{:>8}{:>8}",
                    times.len(),
                    figure(quantile(&times, 50)),
                    figure(quantile(&times, 99)),
                    figure(quantile(&times, 100))
                )?;
            }
            let open = |wait: &&Wait| wait.awaited == awaited && wait.end.is_none();
            let never = self.waits.iter().filter(open).count();
            if never > 0 {
                writeln!(f, "    {never} more have not come")?;
            }
        }
        writeln!(
            f,
            "{:<58}{:>6}{:>8}{:>8}{:>8.2}",
            "end of the last fault → everything at rest",
            1,
            "",
            "",
            self.rest.took.as_secs_f64()
        )?;
        writeln!(
            f,
            "{:<58}{:>6}{:>8}{:>8}{:>8.2}",
            "everything at rest → nothing left on the volumes",
            1,
            "",
            "",
            self.cleared.as_secs_f64()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let times: Vec<f64> = (1..=100).map(f64::from).collect();
        let parts = [50, 99, 100].map(|percent| quantile(&times, percent));
        assert_eq!(parts, [Some(50.0), Some(99.0), Some(100.0)]);
        assert_eq!(quantile(&[3.0], 99), Some(3.0));
        assert_eq!(quantile(&[], 50), None);
    }
}

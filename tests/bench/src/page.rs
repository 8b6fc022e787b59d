//! The page with all of it, in Markdown.

use std::fmt::Write as _;

use crate::{
    cases::Case,
    host::Host,
    image::Filesystem,
    kept::Kept,
    results::{Key, Results, Runs, Verb},
    settings::Settings,
    targets::{Target, targets},
    tools::Tool,
};

/// Writes it.
pub fn write(settings: &Settings, host: &Host, kept: &Kept) -> String {
    let results = &kept.results;
    let filesystems = had(Filesystem::ALL, |one| {
        results.has(|key| key.filesystem == one)
    });
    let cases = had(Case::ALL, |one| results.has(|key| key.case == one));
    let mut page = String::from("# Benchmarks of the tree engine\n\n");
    head(&mut page, settings, host, kept, &cases);
    page.push_str("## Targets\n\n");
    target_table(&mut page, &targets(results));
    for filesystem in filesystems {
        for (verb, title) in [(Verb::Clone, "clone"), (Verb::Remove, "remove")] {
            let _ = writeln!(page, "\n## {}: {title}\n", filesystem.name());
            Table::new(results, &cases, filesystem, verb).write(&mut page);
        }
    }
    if !results.figures.is_empty() {
        page.push_str("\n## Other figures\n\n| what | |\n| --- | --- |\n");
        for figure in &results.figures {
            let _ = writeln!(page, "| {} | {} |", figure.what, figure.value);
        }
    }
    page
}

fn had<T: Copy>(all: &[T], is: impl Fn(T) -> bool) -> Vec<T> {
    all.iter().copied().filter(|one| is(*one)).collect()
}

fn head(page: &mut String, settings: &Settings, host: &Host, kept: &Kept, cases: &[Case]) {
    let parts = kept.parts.iter();
    let parts = parts.map(|part| {
        let (date, commit, kernel) = (&part.date, &part.commit, &part.kernel);
        format!("on {date} of commit {commit}, Linux {kernel}")
    });
    let parts: Vec<_> = parts.collect();
    let _ = writeln!(
        page,
        "Made by `make bench-tree` {}; {} processors, {} GiB of memory; {} rounds{}.\n",
        parts.join(", and "),
        host.processors,
        host.memory,
        settings.rounds,
        match settings.scale {
            1 => String::new(),
            scale => format!(", inputs {scale} times smaller than said below"),
        }
    );
    page.push_str(
        "Why a target is missed, and what was seen on other machines: [notes](benchmarks-notes.md).\n\n\
         How to read it: a cell is `seconds on the clock / seconds on processors`, medians, and in parentheses what ours \
         took divided by what this tool took, the median over pairs of runs next to each other: **below 1 ours is \
         faster**. Ours runs with full fidelity in every figure (contents, holes, hard links, owners, modes, times in \
         nanoseconds, ACLs and all extended attributes) and each kind of copy is compared with its source by `rsync \
         -aHAX --checksum`; a cell whose tool made something else says so.\n\n\
         The filesystems are images in memory, made anew for each case and mounted `noatime`, so that no disk blurs what \
         the programs do. Sources are in the cache. Before each run all that was written is synced. *With sync* means that the \
         result is on disk at the end: a `syncfs` of its own in ours, `sync -f` after the others, in the measured time. \
         What kernel threads do is in the time on the clock, and in nobody's time on processors. The bound is what no \
         copier can beat: the files are created and written (or unlinked) from a list that is known before, by two \
         threads, without any attribute.\n\n",
    );
    page.push_str("| case | |\n| --- | --- |\n");
    for case in cases {
        let _ = writeln!(page, "| {} | {} |", case.letter(), case.description());
    }
    page.push_str("\n| tool | version |\n| --- | --- |\n");
    for (tool, version) in &host.versions {
        let _ = writeln!(page, "| {tool} | {version} |");
    }
    page.push('\n');
}

fn target_table(page: &mut String, targets: &[Target]) {
    page.push_str("| | target | better | measured | |\n| --- | --- | --- | --- | --- |\n");
    for target in targets {
        let number = |value: f64| match target.unit {
            "MiB" => format!("{value:.1} MiB"),
            "s" => format!("{:.0} ms", value * 1e3),
            unit => format!("{value:.2} {unit}"),
        };
        let verdict = match (target.measured, target.reach) {
            (None, _) => "not measured",
            (Some(value), Some(reach)) if value <= reach => "**better than it**",
            (Some(value), _) if value <= target.commit => "met",
            (Some(_), _) => "**missed**",
        };
        let _ = writeln!(
            page,
            "| {} | ≤ {} | {} | {} | {verdict} |",
            target.what,
            number(target.commit),
            target
                .reach
                .map_or_else(|| "–".into(), |reach| format!("≤ {}", number(reach))),
            target.measured.map_or_else(|| "–".into(), number),
        );
    }
}

/// One table: a row for each case with and without the sync, a column for each tool.
struct Table<'a> {
    cases: &'a [Case],
    results: &'a Results,
    filesystem: Filesystem,
    verb: Verb,
    tools: Vec<Tool>,
    notes: Vec<String>,
}

impl<'a> Table<'a> {
    fn new(results: &'a Results, cases: &'a [Case], filesystem: Filesystem, verb: Verb) -> Self {
        let tools = had(Tool::PEERS, |tool| {
            results.has(|key| key.tool == tool && key.verb == verb)
        });
        Self {
            cases,
            results,
            filesystem,
            verb,
            tools: [Tool::Ours].into_iter().chain(tools).collect(),
            notes: Vec::new(),
        }
    }

    fn write(mut self, page: &mut String) {
        let titles: Vec<_> = self.tools.iter().map(|tool| tool.title()).collect();
        let _ = writeln!(page, "| case | {} |", titles.join(" | "));
        let _ = writeln!(page, "| --- |{}", " --- |".repeat(titles.len()));
        for case in self.cases {
            for sync in [false, true] {
                let cells: Vec<_> = self.tools.clone();
                let cells = cells.into_iter().map(|tool| self.cell(*case, sync, tool));
                let cells: Vec<_> = cells.collect();
                let suffix = if sync { ", with sync" } else { "" };
                let _ = writeln!(
                    page,
                    "| {}{suffix} | {} |",
                    case.letter(),
                    cells.join(" | ")
                );
            }
        }
        if !self.notes.is_empty() {
            page.push('\n');
        }
        for (at, note) in self.notes.iter().enumerate() {
            let _ = writeln!(page, "{}. {note}", at + 1);
        }
    }

    fn cell(&mut self, case: Case, sync: bool, tool: Tool) -> String {
        let of = |sync| {
            self.results.get(Key {
                filesystem: self.filesystem,
                case,
                verb: self.verb,
                sync,
                tool,
            })
        };
        // What a copy is like is looked at once.
        let note = of(sync).and_then(|runs| runs.ended.clone());
        let note = note.or_else(|| of(false).and_then(|runs| runs.note.clone()));
        let Some(runs) = of(sync) else {
            return "–".into();
        };
        let text = numbers(runs);
        match note {
            Some(note) => format!("{text} [{}]", self.number_of(note)),
            None => text,
        }
    }

    /// The same note has one number.
    fn number_of(&mut self, note: String) -> usize {
        let known = self.notes.iter().position(|one| *one == note);
        known.unwrap_or_else(|| {
            self.notes.push(note);
            self.notes.len() - 1
        }) + 1
    }
}

fn numbers(runs: &Runs) -> String {
    let Some((wall, cpu)) = runs.medians() else {
        return "–".into();
    };
    match runs.ratios() {
        Some((ratio, _)) => format!("{wall:.3} / {cpu:.3} (**{ratio:.2}**)"),
        None => format!("{wall:.3} / {cpu:.3}"),
    }
}

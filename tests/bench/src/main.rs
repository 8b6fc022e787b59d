//! `make bench-tree`: the tree engine against the copiers and removers that people use, on real filesystems.
//!
//! The settings are variables: see [`settings`]. Needs root, for images of filesystems that it makes in memory and mounts
//! where nobody else sees them: whatever ends it, they are gone with it.

mod acknowledge;
mod bound;
mod cancel;
mod cases;
mod dependencies;
mod host;
mod image;
mod matrix;
mod measure;
mod memory;
mod oracle;
mod page;
mod results;
mod settings;
mod snapshot;
mod targets;
mod tools;

use std::{
    env, fs,
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

use host::Host;
use results::Results;
use settings::Settings;

/// What worked, or why not.
type Told<T> = Result<T, String>;

/// Set in the process that has mounts of its own.
const APART: &str = "VFOLDER_BENCH_APART";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["measure", steps] => measure::serve(steps),
        ["bound", verb, root] => bound::serve(verb, root.as_ref()),
        [] if env::var_os(APART).is_some() => bench(),
        [] => go_apart(),
        _ => Err("it takes no arguments; its settings are variables, see the Makefile".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("bench-tree: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// Starts anew with mounts of its own. They vanish with the last process that sees them.
fn go_apart() -> Told<()> {
    if !rustix::process::geteuid().is_root() {
        return Err("it mounts images of filesystems: run it as root".into());
    }
    let us = env::current_exe().map_err(|e| e.to_string())?;
    let error = Command::new("unshare")
        .args(["--mount", "--propagation", "private"])
        .arg(us)
        .env(APART, "1")
        .exec();
    Err(format!("unshare (of util-linux) can't be run: {error}"))
}

fn bench() -> Told<()> {
    let settings = Settings::from_environment()?;
    let host = Host::look(&settings)?;
    let mut results = Results::default();
    for filesystem in &settings.filesystems {
        for case in &settings.cases {
            matrix::run(&settings, *filesystem, *case, &mut results)?;
            keep(&settings, &host, &results)?;
        }
    }
    if settings.extras {
        for extra in [cancel::run, acknowledge::run, snapshot::run, memory::run] {
            extra(&settings, &mut results)?;
            keep(&settings, &host, &results)?;
        }
    }
    println!("{}", keep(&settings, &host, &results)?);
    match results.unfaithful() {
        [] => Ok(()),
        found => Err(format!(
            "ours differ from their source: {}",
            found.join("; ")
        )),
    }
}

/// The page of what is measured so far, written where it was asked for: hours of measuring aren't lost with the last case.
fn keep(settings: &Settings, host: &Host, results: &Results) -> Told<String> {
    let page = page::write(settings, host, results);
    if let Some(file) = &settings.out {
        fs::write(file, &page).map_err(|e| format!("{}: {e}", file.display()))?;
    }
    Ok(page)
}

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
mod kept;
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
use image::Filesystem;
use kept::Kept;
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
    let mut kept = Kept::open(settings.keep.as_deref(), &host, settings.scale)?;
    for filesystem in &settings.filesystems {
        for case in &settings.cases {
            matrix::run(&settings, *filesystem, *case, &mut kept.results)?;
            keep(&settings, &host, &kept)?;
        }
    }
    let memory = if settings.long {
        "memory, long"
    } else {
        "memory"
    };
    let extras: [(&str, Measure); 4] = [
        ("cancel", cancel::run),
        ("acknowledge", acknowledge::run),
        ("snapshot", snapshot::run),
        (memory, memory::run),
    ];
    // They are told of all filesystems together, and once.
    let all = Filesystem::ALL;
    let wanted = settings.extras && all.iter().all(|one| settings.filesystems.contains(one));
    if settings.extras && !wanted {
        eprintln!("what is not in the tables is measured with all filesystems only: left out");
    }
    for (name, extra) in extras {
        if wanted && !kept.results.had.iter().any(|had| had == name) {
            extra(&settings, &mut kept.results)?;
            kept.results.had.push(name.into());
            keep(&settings, &host, &kept)?;
        }
    }
    println!("{}", keep(&settings, &host, &kept)?);
    match kept.results.unfaithful() {
        [] => Ok(()),
        found => Err(format!(
            "ours differ from their source: {}",
            found.join("; ")
        )),
    }
}

/// Measures what is not in the tables.
type Measure = fn(&Settings, &mut Results) -> Told<()>;

/// The page of what is measured so far, written where it was asked for: hours of measuring aren't lost with the last case.
fn keep(settings: &Settings, host: &Host, kept: &Kept) -> Told<String> {
    kept.save(settings.keep.as_deref())?;
    let page = page::write(settings, host, kept);
    if let Some(file) = &settings.out {
        fs::write(file, &page).map_err(|e| format!("{}: {e}", file.display()))?;
    }
    Ok(page)
}

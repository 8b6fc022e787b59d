//! How soon a clone stops that is cancelled at any moment.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use fastrand::Rng;
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    Told,
    cases::Case,
    image::{Filesystem, Image, run as command},
    results::{Extra, Results, percentile},
    settings::Settings,
};

/// How often.
const TIMES: usize = 50;
/// The next moment is from so much of the time, where one was too late.
const SOONER: f64 = 0.95;
/// A moment too late finds the clone done; so many in a row are no bad luck.
const ATTEMPTS: usize = 10 * TIMES;
const SEED: u64 = 21;

/// Cancels clones of many small files and of few big ones on ext4, where both take their time.
pub fn run(settings: &Settings, results: &mut Results) -> Told<()> {
    let mut all = Vec::new();
    for case in [Case::Small, Case::Big] {
        let mut times = latencies(settings, case)?;
        let (half, most) = (percentile(&mut times, 50), percentile(&mut times, 99));
        results.figure(
            format!(
                "cancel of a clone of {} on ext4, from the signal to the end of the work: median, 99th percentile of {}",
                case.letter(),
                times.len()
            ),
            format!("{}, {}", millis(half), millis(most)),
        );
        all.extend(times);
    }
    results
        .extras
        .extend(percentile(&mut all, 99).map(|seconds| (Extra::Cancel, seconds)));
    Ok(())
}

fn latencies(settings: &Settings, case: Case) -> Told<Vec<f64>> {
    let image = Image::new(Filesystem::Ext4, &settings.place, case.room(settings.scale))?;
    let (source, copy) = (image.path().join("source"), image.path().join("copy"));
    case.build(&source, settings.scale)?;
    image.settle()?;
    let begun = Instant::now();
    finish(start(settings, &source, &copy)?)?;
    let mut whole = begun.elapsed();
    let mut dice = Rng::with_seed(SEED);
    let mut latencies = Vec::new();
    for _ in 0..ATTEMPTS {
        if latencies.len() == TIMES {
            break;
        }
        remove(&copy)?;
        image.settle()?;
        let mut clone = start(settings, &source, &copy)?;
        thread::sleep(whole.mul_f64(dice.f64()));
        let stopped = cancel(&mut clone)?;
        if stopped.is_none() {
            // It takes less time than the first, which has waited for memory.
            whole = whole.mul_f64(SOONER);
        }
        latencies.extend(stopped);
        finish(clone)?;
    }
    match latencies.len() {
        TIMES => Ok(latencies),
        few => Err(format!(
            "cancel: only {few} of {TIMES} clones were met at work"
        )),
    }
}

fn start(settings: &Settings, source: &Path, copy: &Path) -> Told<Child> {
    Command::new(&settings.ours)
        .args(["tree", "clone", "--json", "--no-sync"])
        .args([source, copy])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| format!("ours: {e}"))
}

/// Seconds until it says that it has stopped; nothing if it was done before.
fn cancel(clone: &mut Child) -> Told<Option<f64>> {
    let mut out = BufReader::new(clone.stdout.take().ok_or("ours has no output")?);
    let asked = Instant::now();
    kill_process(Pid::from_child(clone), Signal::INT).map_err(|e| format!("kill: {e}"))?;
    let mut said = String::new();
    out.read_line(&mut said).map_err(|e| format!("ours: {e}"))?;
    let waited = asked.elapsed();
    // Without a word it was killed before it could listen.
    Ok(said.contains("\"stopped\"").then_some(waited.as_secs_f64()))
}

fn finish(mut clone: Child) -> Told<()> {
    clone.wait().map(drop).map_err(|e| format!("ours: {e}"))
}

fn remove(path: &Path) -> Told<()> {
    command(Command::new("rm").arg("-rf").arg(path))
}

/// Seconds, as milliseconds.
pub fn millis(seconds: Option<f64>) -> String {
    seconds.map_or_else(
        || "–".into(),
        |seconds| {
            format!(
                "{:.1} ms",
                Duration::from_secs_f64(seconds).as_secs_f64() * 1e3
            )
        },
    )
}

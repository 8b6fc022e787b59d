//! Runs a tool and measures it: time on the clock, time on processors, memory.
//!
//! A process of our own runs it, so that what the kernel counts for children is this tool's alone. What kernel threads do
//! on a tool's behalf (writeback, freeing of extents) is in nobody's processor time.

use std::{
    env,
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use nix::sys::resource::{UsageWho, getrusage};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};

use crate::Told;

/// Commands, one after the other.
pub type Steps = Vec<Vec<String>>;

/// One run.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Sample {
    /// Seconds on the clock.
    pub wall: f64,
    /// Seconds on processors, user's and kernel's.
    pub cpu: f64,
    /// The most memory that one process of it had in use, in KiB.
    pub rss: u64,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It succeeded.
    Done(Sample),
    /// It failed, and said this.
    Failed(String),
    /// It was stopped after this long.
    Hung(Duration),
}

/// Runs `steps`, all of which are to succeed.
///
/// # Errors
/// If it can't be measured.
pub fn measure(steps: &Steps, patience: Duration) -> Told<Outcome> {
    let steps = serde_json::to_string(steps).map_err(|e| e.to_string())?;
    ask(&["measure", &steps], patience)
}

/// Has a process of our own do something and say how it went.
///
/// # Errors
/// If it can't be started or understood.
pub fn ask(arguments: &[&str], patience: Duration) -> Told<Outcome> {
    let us = env::current_exe().map_err(|e| e.to_string())?;
    let child = Command::new(us)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|e| format!("measuring: {e}"))?;
    let group = Pid::from_child(&child);
    let (told, heard) = mpsc::channel();
    thread::spawn(move || told.send(child.wait_with_output()));
    let output = match heard.recv_timeout(patience) {
        Ok(output) => output.map_err(|e| e.to_string())?,
        Err(_) => {
            // Gone already, if it fails.
            let _ = kill_process_group(group, Signal::KILL);
            let _ = heard.recv();
            return Ok(Outcome::Hung(patience));
        }
    };
    if output.status.success() {
        let sample = serde_json::from_slice(&output.stdout);
        return sample.map(Outcome::Done).map_err(|e| e.to_string());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = plain(said.trim().lines().next().unwrap_or("nothing"));
    Ok(Outcome::Failed(said))
}

/// Without the colours that some tools write to whoever reads it.
fn plain(said: &str) -> String {
    let mut parts = said.split("\x1b[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |said, part| {
        said + part.split_once('m').map_or(part, |(_, text)| text)
    })
}

/// The other side of [`measure`].
pub fn serve(steps: &str) -> Told<()> {
    let steps: Steps = serde_json::from_str(steps).map_err(|e| e.to_string())?;
    let begun = Instant::now();
    for step in &steps {
        let (program, arguments) = step.split_first().ok_or("nothing to run")?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let output = command.output().map_err(|e| format!("{program}: {e}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.trim().lines().next().unwrap_or_default();
            return Err(format!("{program}: {}: {said}", output.status));
        }
    }
    let wall = begun.elapsed().as_secs_f64();
    answer(wall, UsageWho::RUSAGE_CHILDREN, 0.0)
}

/// Says how it went: `wall` seconds on the clock, and what was used but for `before`, seconds on processors.
pub fn answer(wall: f64, who: UsageWho, before: f64) -> Told<()> {
    let (cpu, rss) = used(who)?;
    let cpu = cpu - before;
    let sample = serde_json::to_string(&Sample { wall, cpu, rss }).map_err(|e| e.to_string())?;
    println!("{sample}");
    Ok(())
}

/// Seconds on processors and the most memory, in KiB.
pub fn used(who: UsageWho) -> Told<(f64, u64)> {
    let usage = getrusage(who).map_err(|e| format!("getrusage: {e}"))?;
    #[allow(clippy::cast_precision_loss, reason = "seconds, far below 2^52")]
    let seconds = [usage.user_time(), usage.system_time()]
        .map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6);
    let rss = u64::try_from(usage.max_rss()).unwrap_or_default();
    Ok((seconds.iter().sum(), rss))
}

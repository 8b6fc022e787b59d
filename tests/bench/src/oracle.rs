//! Whether a copy is one: rsync says what it would have to change.

use std::{path::Path, process::Command};

use crate::Told;

/// How much of what differs is shown.
const SHOWN: usize = 3;

/// What differs.
#[derive(Clone, Debug, Default)]
pub struct Differences {
    /// In how many entries.
    pub count: usize,
    /// The first of them, as rsync(1) itemizes changes.
    pub first: Vec<String>,
}

/// Compares links, ACLs, attributes, owners, modes, times and, if `contents`, all bytes; else sizes.
///
/// # Errors
/// If rsync can't.
pub fn differences(source: &Path, copy: &Path, contents: bool) -> Told<Differences> {
    let mut command = Command::new("rsync");
    command.args([
        "-aHAXn",
        "--delete",
        "--itemize-changes",
        "--modify-window=-1",
    ]);
    if contents {
        command.arg("--checksum");
    }
    let slashed = |path: &Path| format!("{}/", path.display());
    let output = command.args([slashed(source), slashed(copy)]).output();
    let output = output.map_err(|e| format!("rsync, which says whether copies are right: {e}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("rsync: {}", said.trim()));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let lines = said.lines().filter(|line| !line.is_empty());
    Ok(Differences {
        count: lines.clone().count(),
        first: lines.take(SHOWN).map(str::to_owned).collect(),
    })
}

/// Bytes on disk, as du(1) counts them.
pub fn on_disk(path: &Path) -> Told<u64> {
    let output = Command::new("du")
        .args(["-s", "--block-size=1"])
        .arg(path)
        .output();
    let output = output.map_err(|e| format!("du: {e}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let bytes = said
        .split_whitespace()
        .next()
        .and_then(|text| text.parse().ok());
    bytes.ok_or_else(|| format!("du says nothing of {}", path.display()))
}

//! How much memory the services take while many transfer at once.

use std::fs;

use tokio::task::JoinSet;
use vfolder_tests::System;

use crate::{Doors, Told, ballast::Ballast, settings::Settings, transfer::Door};

/// Transfers at once.
const PARALLEL: usize = 16;

/// What a service took.
pub struct Memory {
    /// Which service, doing what.
    pub what: String,
    /// Resident before, in KiB.
    pub idle: u64,
    /// Resident at most, in KiB.
    pub peak: u64,
}

/// Reads and writes so many files of `size` at once, directly and by way of the manager.
pub async fn run(
    system: &System,
    doors: &Doors,
    settings: &Settings,
    size: u64,
) -> Told<Vec<Memory>> {
    let mut found = Vec::new();
    doors
        .direct
        .write("parallel", size, settings.chunk, Ballast::default())
        .await?;
    for (way, door) in [("direct", &doors.direct), ("manager", &doors.manager)] {
        for writes in [false, true] {
            let services = [&system.storage, &system.manager];
            let mut before = Vec::new();
            for service in services {
                let pid = service.pid();
                // 5: the peak begins anew (proc_pid_clear_refs(5)).
                fs::write(format!("/proc/{pid}/clear_refs"), "5").map_err(|e| e.to_string())?;
                before.push(status(pid, "VmRSS:")?);
            }
            all_at_once(door, writes, size, settings.chunk).await?;
            let verb = if writes { "WriteFile" } else { "ReadFile" };
            let names = ["storage-proxy", "manager"];
            for ((service, name), idle) in services.into_iter().zip(names).zip(before) {
                if name == "manager" && way == "direct" {
                    continue;
                }
                found.push(Memory {
                    what: format!("{name}, {verb}, {way}"),
                    idle,
                    peak: status(service.pid(), "VmHWM:")?,
                });
            }
        }
    }
    Ok(found)
}

async fn all_at_once(door: &Door, writes: bool, size: u64, chunk: usize) -> Told<()> {
    let mut transfers = JoinSet::new();
    for number in 0..PARALLEL {
        let door = door.clone();
        transfers.spawn(async move {
            if writes {
                // To one path: the volume keeps one of them, and whole ones while they are under way.
                door.write(
                    &format!("parallel-{}", number % 2),
                    size,
                    chunk,
                    Ballast::default(),
                )
                .await
            } else {
                door.read("parallel", size, chunk).await
            }
        });
    }
    while let Some(done) = transfers.join_next().await {
        done.map_err(|e| e.to_string())??;
    }
    Ok(())
}

fn status(pid: u32, field: &str) -> Told<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).map_err(|e| e.to_string())?;
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| format!("no {field} of process {pid}"))
}

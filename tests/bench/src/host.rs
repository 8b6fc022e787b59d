//! Where and with what it was measured.

use std::{fs, process::Command};

use crate::{Told, settings::Settings, tools::Tool};

/// For the head of the page.
#[derive(Debug)]
pub struct Host {
    /// The day, UTC.
    pub date: String,
    /// The kernel's release.
    pub kernel: String,
    /// The commit, and whether anything was changed since.
    pub commit: String,
    /// How many processors.
    pub processors: usize,
    /// Memory in GiB.
    pub memory: u64,
    /// The tools and their versions.
    pub versions: Vec<(&'static str, String)>,
}

impl Host {
    /// Looks at all that.
    ///
    /// # Errors
    /// If the basics aren't told.
    pub fn look(settings: &Settings) -> Told<Self> {
        let commit = first_line("git", &["describe", "--always", "--dirty"]);
        // Also of those whose figures were kept.
        let tools = Tool::PEERS.iter();
        let tools = tools.filter(|tool| **tool != Tool::Bound && tool.is_installed());
        let versions = tools.map(|tool| (tool.key(), first_line(tool.key(), &["--version"])));
        let ours = settings.ours.display().to_string();
        let mut versions: Vec<_> = versions.collect();
        versions.push(("ours", first_line(&ours, &["--version"])));
        Ok(Self {
            date: first_line("date", &["--utc", "+%Y-%m-%d"]),
            kernel: first_line("uname", &["--kernel-release"]),
            commit,
            processors: std::thread::available_parallelism()
                .map_err(|e| e.to_string())?
                .get(),
            memory: memory()?,
            versions,
        })
    }
}

fn first_line(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let said = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let said = said.unwrap_or_default();
    said.lines().next().unwrap_or("unknown").trim().to_owned()
}

fn memory() -> Told<u64> {
    let told = fs::read_to_string("/proc/meminfo").map_err(|e| format!("/proc/meminfo: {e}"))?;
    let total = told.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|text| text.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.map(|kib| kib >> 20)
        .ok_or_else(|| "/proc/meminfo has no MemTotal".into())
}

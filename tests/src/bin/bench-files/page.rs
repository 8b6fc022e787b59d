//! The page.

use std::{fmt::Write as _, process::Command};

use crate::{
    memory::Memory,
    rounds::{Round, Way, median_ratio, median_time},
    settings::Settings,
};

/// What is to be reached: the way, its peer, the least ratio of their speeds.
const TARGETS: [(Way, Way, Option<f64>); 6] = [
    (Way::ReadDirect, Way::ReadBare, Some(0.70)),
    (Way::WriteDirect, Way::WriteBare, Some(0.70)),
    // Nothing is asked of this: it tells the copy into the file from all else that ours does.
    (Way::WriteDirect, Way::WriteKept, None),
    (Way::ReadManager, Way::ReadDirect, Some(0.60)),
    (Way::WriteManager, Way::WriteDirect, Some(0.60)),
    (Way::HttpOurs, Way::HttpNginx, Some(0.80)),
];
/// At most so much above idle, in KiB.
const MOST_MEMORY: u64 = 64 << 10;

/// What was measured, as Markdown.
pub fn write(settings: &Settings, rounds: &[Round], memory: &[Memory]) -> String {
    let mut page = format!(
        "# Benchmarks of files\n\nMade by `make bench-files` on {}: commit {}, Linux {}, {} processors. One client; both services \
         and the peers on the same machine, the volume in memory. Bare tonic streams a buffer, and forgets what it gets, with \
         the same windows and frames. A file is written anew each time, to memory that was in use before. ReadFile sends at most 512 KiB in one message, whatever is asked for. A ratio is the \
         median of the ratios within rounds.\n\n",
        first_line("date", &["--utc", "+%F"]),
        first_line("git", &["describe", "--always", "--dirty"]),
        first_line("uname", &["--kernel-release"]),
        first_line("nproc", &[]),
    );
    let mebibytes = settings.size >> 20;
    let _ = writeln!(
        page,
        "One file of {mebibytes} MiB, messages of {} KiB, {} rounds.\n",
        settings.chunk >> 10,
        rounds.len()
    );
    page += "| way | seconds | MiB/s |\n| --- | --- | --- |\n";
    for way in Way::ALL {
        if let Some(seconds) = median_time(rounds, way) {
            #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
            let speed = mebibytes as f64 / seconds;
            let _ = writeln!(page, "| {} | {seconds:.2} | {speed:.0} |", way.name());
        }
    }
    page +=
        "\n| speed of | compared with | target | measured | |\n| --- | --- | --- | --- | --- |\n";
    for (way, peer, least) in TARGETS {
        if let Some(ratio) = median_ratio(rounds, way, peer) {
            let (target, met) = match least {
                Some(least) if ratio >= least => (format!("≥ {least:.2} ×"), "met"),
                Some(least) => (format!("≥ {least:.2} ×"), "**missed**"),
                None => (String::new(), ""),
            };
            let (way, peer) = (way.name(), peer.name());
            let _ = writeln!(page, "| {way} | {peer} | {target} | {ratio:.2} × | {met} |");
        }
    }
    if !memory.is_empty() {
        let size = settings.parallel_size >> 20;
        let _ = writeln!(
            page,
            "\n16 transfers of {size} MiB at once:\n\n| service | idle, MiB | peak, MiB | above idle | |\n| --- | --- | --- | --- | --- |"
        );
        for Memory { what, idle, peak } in memory {
            let above = peak.saturating_sub(*idle);
            let met = if above <= MOST_MEMORY {
                "met"
            } else {
                "**missed**"
            };
            let _ = writeln!(
                page,
                "| {what} | {} | {} | {} | {met} |",
                idle >> 10,
                peak >> 10,
                above >> 10
            );
        }
    }
    page
}

fn first_line(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    text.lines().next().unwrap_or("?").to_owned()
}

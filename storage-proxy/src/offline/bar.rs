//! One line on the terminal that says how far the work is.

use std::{
    io::{IsTerminal as _, Write as _, stderr},
    time::Duration,
};

use super::args::Shown;
use crate::tree::Progress;

/// The line, if there is a terminal to show it on.
#[derive(Debug)]
pub struct Bar {
    shown: bool,
}

impl Bar {
    /// Shown on standard error if that is a terminal.
    pub fn new(shown: &Shown) -> Self {
        Self {
            shown: !shown.quiet && stderr().is_terminal(),
        }
    }

    /// Whether anybody sees it.
    pub fn is_shown(&self) -> bool {
        self.shown
    }

    /// Draws it anew. What can't be drawn is no reason to stop.
    pub fn draw(&self, verb: &str, progress: Progress, elapsed: Duration) {
        if self.shown {
            let _ = write!(stderr(), "\r{}\x1b[K", line(verb, progress, elapsed));
        }
    }

    /// Takes it away.
    pub fn clear(&self) {
        if self.shown {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}

fn line(verb: &str, progress: Progress, elapsed: Duration) -> String {
    let Progress {
        entries_done,
        entries_total,
        bytes_done,
        bytes_total,
    } = progress;
    let seconds = elapsed.as_secs_f64();
    // Small files cost by the entry, large ones by the byte: whichever is further behind tells more.
    let share = [(entries_done, entries_total), (bytes_done, bytes_total)]
        .into_iter()
        .filter(|(_, total)| *total > 0)
        .map(|(done, total)| as_float(done) / as_float(total))
        .reduce(f64::min);
    match share {
        Some(share) => {
            let share = share.min(1.0);
            let left = match share > 0.0 {
                true => format!("{:.0} s left", seconds * (1.0 - share) / share),
                false => String::new(),
            };
            format!(
                "{verb} {:3.0} %  {entries_done} of {entries_total} entries, {} of {}  {}/s  {left}",
                share * 100.0,
                size(bytes_done),
                size(bytes_total),
                size(rate(bytes_done, seconds)),
            )
        }
        None => format!(
            "{verb}  {entries_done} entries, {}  {}/s",
            size(bytes_done),
            size(rate(bytes_done, seconds))
        ),
    }
}

/// Bytes as people say them: powers of 1024.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut amount = as_float(bytes);
    let mut unit = "B";
    for next in UNITS {
        if amount < 1024.0 {
            break;
        }
        (amount, unit) = (amount / 1024.0, next);
    }
    match unit {
        "B" => format!("{bytes} B"),
        unit => format!("{amount:.1} {unit}"),
    }
}

#[allow(clippy::cast_precision_loss, reason = "shown to people")]
fn as_float(count: u64) -> f64 {
    count as f64
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "shown to people, and never negative"
)]
fn rate(bytes: u64, seconds: f64) -> u64 {
    match seconds > 0.0 {
        true => (as_float(bytes) / seconds) as u64,
        false => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_in_powers_of_1024() {
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(10 << 30), "10.0 GiB");
    }

    #[test]
    fn what_is_further_behind_says_how_far_the_work_is() {
        let progress = Progress {
            entries_done: 90,
            entries_total: 100,
            bytes_done: 1024,
            bytes_total: 4096,
        };
        let line = line("cloning", progress, Duration::from_secs(2));
        assert_eq!(
            line,
            "cloning  25 %  90 of 100 entries, 1.0 KiB of 4.0 KiB  512 B/s  6 s left"
        );
    }
}

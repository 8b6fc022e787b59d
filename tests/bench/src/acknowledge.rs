//! How soon a removal is acknowledged: the tree is out of sight, for good.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use crate::{
    Told,
    cancel::millis,
    cases::Case,
    image::{Image, run as command},
    results::{Extra, Results, median},
    settings::Settings,
};

const TIMES: usize = 10;

/// From the start of the program, trees of many files and of big ones, on each filesystem.
pub fn run(settings: &Settings, results: &mut Results) -> Told<()> {
    let mut all: Vec<f64> = Vec::new();
    for filesystem in &settings.filesystems {
        for case in [Case::Small, Case::Big] {
            let image = Image::new(*filesystem, &settings.place, case.room(settings.scale))?;
            let (source, copy) = (image.path().join("source"), image.path().join("copy"));
            case.build(&source, settings.scale)?;
            let mut times = Vec::new();
            for _ in 0..TIMES {
                let mut cp = Command::new("cp");
                command(cp.args(["-a", "--reflink=auto"]).args([&source, &copy]))?;
                image.settle()?;
                times.push(acknowledged(settings, &copy)?);
            }
            let longest = times.iter().copied().fold(0.0, f64::max);
            results.figure(
                format!(
                    "removal of {} on {} acknowledged: median, longest of {TIMES}",
                    case.letter(),
                    filesystem.name()
                ),
                format!(
                    "{}, {}",
                    millis(median(times.iter().copied())),
                    millis(Some(longest))
                ),
            );
            all.push(longest);
        }
    }
    results.extras.extend(
        all.into_iter()
            .reduce(f64::max)
            .map(|longest| (Extra::Acknowledge, longest)),
    );
    Ok(())
}

fn acknowledged(settings: &Settings, tree: &Path) -> Told<f64> {
    let begun = Instant::now();
    let mut removal = Command::new(&settings.ours)
        .args(["tree", "remove", "--json"])
        .arg(tree)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("ours: {e}"))?;
    let mut out = BufReader::new(removal.stdout.take().ok_or("ours has no output")?);
    let mut said = String::new();
    out.read_line(&mut said).map_err(|e| format!("ours: {e}"))?;
    let waited = begun.elapsed().as_secs_f64();
    // To its end, so that it can say the rest.
    std::io::copy(&mut out, &mut std::io::sink()).map_err(|e| format!("ours: {e}"))?;
    let ended = removal.wait().map_err(|e| format!("ours: {e}"))?;
    match ended.success() && said.contains("\"acknowledged\"") {
        true => Ok(waited),
        false => Err(format!(
            "ours: removal of {}: {ended}: {said}",
            tree.display()
        )),
    }
}

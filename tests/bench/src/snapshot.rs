//! A clone of a btrfs subvolume, which a snapshot makes in no time.

use std::process::Command;

use crate::{
    Told,
    cancel::millis,
    cases::Case,
    image::{Filesystem, Image, run as command},
    measure::{Outcome, measure},
    results::{Extra, Results, median},
    settings::Settings,
    tools::Tool,
};

const TIMES: usize = 5;

/// Clones subvolumes with many files and with big ones, with the sync.
pub fn run(settings: &Settings, results: &mut Results) -> Told<()> {
    let mut longest = None::<f64>;
    for case in [Case::Small, Case::Big] {
        let room = case.room(settings.scale);
        let image = Image::new(Filesystem::Btrfs, &settings.place, room)?;
        let (source, copy) = (image.path().join("source"), image.path().join("copy"));
        command(
            Command::new("btrfs")
                .args(["subvolume", "create"])
                .arg(&source),
        )?;
        case.build(&source, settings.scale)?;
        let mut times = Vec::new();
        for _ in 0..TIMES {
            image.settle()?;
            let steps = Tool::Ours.clone_steps(settings, case, (&source, &copy), true);
            match measure(&steps, settings.timeout)? {
                Outcome::Done(sample) => times.push(sample.wall),
                other => return Err(format!("ours: clone of a subvolume: {other:?}")),
            }
            let steps = Tool::Ours.remove_steps(settings, &copy, true);
            measure(&steps, settings.timeout)?;
        }
        let middle = median(times.into_iter());
        results.figure(
            format!(
                "clone of {} in a btrfs subvolume, with sync: median of {TIMES}",
                case.letter()
            ),
            millis(middle),
        );
        longest = longest.into_iter().chain(middle).reduce(f64::max);
    }
    results
        .extras
        .extend(longest.map(|seconds| (Extra::Snapshot, seconds)));
    Ok(())
}

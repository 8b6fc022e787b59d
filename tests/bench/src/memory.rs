//! How much memory a very large tree takes.

use fastrand::Rng;

use crate::cases::Case;
use crate::{
    Told,
    cases::small_files,
    image::{Filesystem, Image, Room},
    measure::{Outcome, Steps, measure},
    results::{Extra, Results},
    settings::Settings,
    tools::Tool,
};

const MILLION: u64 = 1_000_000;
const IN_ONE: u64 = 1000;

/// Clones and removes a tree of a million empty files on XFS, of ten million if LONG.
pub fn run(settings: &Settings, results: &mut Results) -> Told<()> {
    let files = if settings.long { 10 * MILLION } else { MILLION } / settings.scale;
    let room = Room {
        bytes: 0,
        inodes: files * 9 / 4,
    };
    let image = Image::new(Filesystem::Xfs, &settings.place, room)?;
    let (source, copy) = (image.path().join("source"), image.path().join("copy"));
    small_files(
        &source,
        files.div_ceil(IN_ONE),
        IN_ONE.min(files),
        0,
        &mut Rng::with_seed(0),
    )
    .map_err(|e| format!("{files} files: {e}"))?;
    image.settle()?;
    let clone = Tool::Ours.clone_steps(settings, Case::Small, (&source, &copy), false);
    let remove = Tool::Ours.remove_steps(settings, &copy, false);
    let mut most = 0;
    for (verb, steps) in [("clone", clone), ("remove", remove)] {
        let kib = peak(settings, verb, &steps)?;
        most = most.max(kib);
        let megabytes = format!("{}.{} MiB", kib / 1024, kib % 1024 * 10 / 1024);
        results.figure(
            format!("peak memory of a {verb} of {files} files"),
            megabytes,
        );
    }
    if files >= 10 * MILLION {
        #[allow(clippy::cast_precision_loss, reason = "KiB, far below 2^52")]
        results.extras.push((Extra::Memory, most as f64));
    }
    Ok(())
}

fn peak(settings: &Settings, verb: &str, steps: &Steps) -> Told<u64> {
    match measure(steps, settings.timeout * 4)? {
        Outcome::Done(sample) => Ok(sample.rss),
        other => Err(format!("ours: {verb} of a large tree: {other:?}")),
    }
}

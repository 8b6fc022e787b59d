//! `tree clone`.

use std::{
    os::fd::{AsFd as _, OwnedFd},
    thread,
};

use rustix::{
    fs::{AtFlags, statat},
    io::Errno,
};

use super::{
    args::CloneArgs,
    attend::Attendant,
    error::{OfflineError, on},
    place::{Place, is_within, open_directory},
    report::Done,
    staging::Staging,
};
use crate::tree::{CloneTarget, Control, TreeError, Workers, clone_tree, usage};

/// Copies, makes durable, publishes; or leaves nothing.
pub fn clone(args: &CloneArgs, attendant: &mut Attendant) -> Result<(), OfflineError> {
    let source = open_directory(&args.source)?;
    let place = Place::open(&args.target)?;
    refuse_taken(&place)?;
    let within = is_within(place.parent.as_fd(), source.as_fd());
    if within.map_err(on(&args.target, "open"))? {
        return Err(OfflineError::Inside {
            target: args.target.clone(),
            source_path: args.source.clone(),
        });
    }
    let staging = Staging::take(&place)?;
    let clearing = Control::default();
    attendant
        .attend("clearing", &clearing, || {
            staging.clear(args.threads.workers(), &clearing)
        })?
        .map_err(|error| interrupted_or(attendant, error))?;
    let control = Control::default();
    let copied = copy_and_publish(args, &source, &staging, attendant, &control);
    discard(staging, args.threads.workers(), attendant);
    copied?;
    attendant.report.done(&Done {
        verb: "cloned",
        path: &args.target,
        progress: control.progress(),
        method: "copied",
        synced: !args.sync.no_sync,
    });
    Ok(())
}

fn copy_and_publish(
    args: &CloneArgs,
    source: &OwnedFd,
    staging: &Staging<'_>,
    attendant: &mut Attendant,
    control: &Control,
) -> Result<(), OfflineError> {
    let sync = !args.sync.no_sync;
    let links = staging.make_links()?;
    let target = staging.target(&links);
    let (watched, workers) = (attendant.is_watched(), args.threads.workers());
    let copied = attendant.attend("cloning", control, || {
        copy(source, target, workers, control, watched)
    })?;
    if attendant.interrupted() {
        attendant.report.stopped();
        return Err(OfflineError::Interrupted { left: Vec::new() });
    }
    copied.map_err(|error| OfflineError::Tree {
        path: args.source.clone(),
        error,
    })?;
    if sync {
        attendant.attend("syncing", control, || staging.sync())??;
    }
    match attendant.interrupted() {
        true => Err(OfflineError::Interrupted { left: Vec::new() }),
        false => staging.publish(sync),
    }
}

/// Said before anything is copied; publishing decides.
fn refuse_taken(place: &Place) -> Result<(), OfflineError> {
    match statat(&place.parent, &place.name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Err(OfflineError::Exists(place.path.clone())),
        Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(on(&place.path, "stat")(errno)),
    }
}

fn copy(
    source: &OwnedFd,
    target: CloneTarget<'_>,
    workers: Workers,
    control: &Control,
    watched: bool,
) -> Result<(), TreeError> {
    let scan = Control::default();
    thread::scope(|scope| {
        if watched {
            // The totals only serve the bar: what keeps them from being known, the copy will meet too.
            scope.spawn(|| {
                if let Ok(all) = usage(source.as_fd(), Workers::ONE, &scan) {
                    control.set_totals(all.entries, all.bytes);
                }
            });
        }
        let cloned = clone_tree(source.as_fd(), target, workers, control);
        scan.stop();
        cloned
    })
}

/// What was copied in vain goes, and the staging. If that fails, the next clone to the same place tries again.
fn discard(staging: Staging<'_>, workers: Workers, attendant: &mut Attendant) {
    let discarding = Control::default();
    let discarded = attendant.attend("clearing", &discarding, || staging.discard(workers));
    if let Err(error) = discarded.flatten() {
        eprintln!("storage-proxy: {error}");
    }
}

fn interrupted_or(attendant: &Attendant, error: OfflineError) -> OfflineError {
    match attendant.interrupted() {
        true => OfflineError::Interrupted { left: Vec::new() },
        false => error,
    }
}

//! `tree clone`.

use std::{
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    thread,
};

use rustix::{
    fs::{AtFlags, fstat, statat},
    io::Errno,
};
use vfolder_ioctl::btrfs::{filesystem_id, is_subvolume};

use super::{
    args::CloneArgs,
    attend::Attendant,
    error::{OfflineError, on},
    place::{Place, is_within, open_directory},
    report::Done,
    staging::Staging,
};
use crate::backend::{Cloned, Method, write_out};
use crate::tree::{CloneTarget, Control, Fault, Ongoing, TreeError, Workers, clone_tree, usage};

/// Copies, makes durable, publishes; or leaves nothing.
pub fn clone(args: &CloneArgs, attendant: &mut Attendant) -> Result<(), OfflineError> {
    let source = open_directory(&args.source)?;
    let place = Place::open(&args.target)?;
    refuse_taken(&place)?;
    let within = is_within(place.parent.as_fd(), source.as_fd());
    if within.map_err(on(&args.target, "open"))? {
        return Err(inside(args));
    }
    let staging = Staging::take(&place)?;
    let clearing = Control::default();
    attendant
        .attend("clearing", &clearing, || staging.clear(&clearing))?
        .map_err(|error| interrupted_or(attendant, error))?;
    let control = Control::default();
    if attendant.interrupted() {
        // Heard too late for the clearing to stop.
        control.stop();
    }
    let copied = copy_and_publish(args, &source, &staging, attendant, &control);
    discard(staging, attendant);
    let method = copied?;
    attendant.report.done(&Done {
        verb: "cloned",
        path: &args.target,
        progress: control.progress(),
        method,
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
) -> Result<&'static str, OfflineError> {
    let sync = !args.sync.no_sync;
    let links = staging.make_links()?;
    let ongoing = Ongoing::default();
    let target = staging.target(&links, &ongoing);
    // A walk's copy is a plain directory even where the server would make a subvolume: nobody has asked for one.
    let whole = args.threads.threads.is_none() && is_subvolume(source) == Ok(true);
    let backend = staging.backend(whole);
    let at_once = whole && backend.removes_at_once(source.as_fd());
    let workers = args.threads.workers(backend.capabilities().clone_workers);
    let watched = attendant.is_watched();
    let shares =
        backend.capabilities().method != Method::Copy && may_share(source.as_fd(), target.parent);
    let copied = attendant.attend("cloning", control, || match at_once {
        true => backend.clone_tree(source.as_fd(), target, control),
        false => {
            if sync && shares {
                write_out(source.as_fd(), control)
                    .map_err(|fault| TreeError::new(fault, Vec::new()))?;
            }
            copy(source, target, workers, control, watched)
        }
    })?;
    if attendant.interrupted() {
        return Err(attendant.stopped());
    }
    let cloned = copied.map_err(|error| match error.fault {
        Fault::Inside => inside(args),
        _ => OfflineError::Tree {
            path: args.source.clone(),
            error,
        },
    })?;
    if sync && !cloned.durable {
        attendant.attend("syncing", control, || staging.sync(control))??;
    }
    match attendant.interrupted() {
        true => return Err(attendant.stopped()),
        false => staging.publish(sync)?,
    }
    Ok(match (cloned.walked, shares) {
        (None, _) => "snapshot",
        (Some(_), true) => "blocks shared",
        (Some(_), false) => "copied",
    })
}

/// Whether files here and there can have blocks in common at all: only on one filesystem. Subvolumes of btrfs have device
/// numbers of their own.
fn may_share(source: BorrowedFd<'_>, target: BorrowedFd<'_>) -> bool {
    match (filesystem_id(source), filesystem_id(target)) {
        (Ok(source), Ok(target)) => source == target,
        _ => {
            let device = |file| fstat(file).map(|found| found.st_dev);
            device(source).is_ok() && device(source) == device(target)
        }
    }
}

fn inside(args: &CloneArgs) -> OfflineError {
    OfflineError::Inside {
        target: args.target.clone(),
        source_path: args.source.clone(),
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
) -> Result<Cloned, TreeError> {
    let scan = Control::default();
    thread::scope(|scope| {
        if watched {
            // The totals only serve the bar: what keeps them from being known, the copy will meet too.
            // No more than that does a thread that can't be started.
            let counting = thread::Builder::new().name("counting".into());
            let _ = counting.spawn_scoped(scope, || {
                if let Ok(all) = usage(source.as_fd(), Workers::ONE, &scan) {
                    control.set_totals(all.entries, all.bytes);
                }
            });
        }
        let cloned = clone_tree(source.as_fd(), target, workers, control);
        scan.stop();
        cloned.map(|walked| Cloned {
            durable: false,
            walked: Some(walked),
        })
    })
}

/// What was copied in vain goes, and the staging. If that fails, the next clone to the same place tries again.
fn discard(staging: Staging<'_>, attendant: &mut Attendant) {
    let discarding = Control::default();
    let discarded = attendant.attend("clearing", &discarding, || staging.discard());
    if let Err(error) = discarded.flatten() {
        attendant.report.failed(&error);
    }
}

fn interrupted_or(attendant: &Attendant, error: OfflineError) -> OfflineError {
    match attendant.interrupted() {
        true => attendant.stopped(),
        false => error,
    }
}

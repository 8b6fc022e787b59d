//! `tree remove`.

use std::{
    ffi::CStr,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{OFlags, fstat},
    io::{Errno, fcntl_dupfd_cloexec},
};
use vfolder_ioctl::btrfs::{destroy_subvolume, is_subvolume};

use super::{
    args::RemoveArgs,
    attend::Attendant,
    error::{OfflineError, on},
    hide::{Hidden, bring_back, hide_all},
    mounts::mounted_within,
    place::{Place, whereabouts},
    report::Done,
};
use crate::{
    backend::{probe_without_quotas, remove_tree_and_subvolumes},
    tree::{
        Control, Fault, FileKind, Meta, Progress,
        error::system,
        open::{open_directory, open_entry},
        remove::Force,
        sync,
    },
};

/// Looks at all, takes all out of sight, destroys all.
pub fn remove(args: &RemoveArgs, attendant: &mut Attendant) -> Result<(), OfflineError> {
    let mut places = Vec::new();
    for path in &args.paths {
        match admit(path, places.last()) {
            Err(OfflineError::Missing(_)) if args.force => {}
            admitted => places.push(admitted?),
        }
    }
    let sync = !args.sync.no_sync;
    let control = Control::default();
    let (hidden, errors) = attendant.attend("removing", &control, || {
        hide_all(places, sync, args.force, &control)
    })?;
    let mut failed = tell(&errors, attendant);
    if attendant.interrupted() {
        let (left, errors) = bring_back(&hidden, sync);
        tell(&errors, attendant);
        return Err(attendant.stopped_with(left));
    }
    if failed == 0 && hidden.iter().all(Hidden::is_out_of_sight) {
        attendant.report.acknowledged();
    }
    let mut gone = Vec::new();
    for (at, one) in hidden.iter().enumerate() {
        let destroyed = destroy(one, args, attendant);
        let left = &hidden[at + usize::from(destroyed.is_ok())..];
        match destroyed {
            Ok(destroyed) => gone.push(destroyed),
            Err(OfflineError::Tree { error, .. }) if error.is_cancelled() => {}
            Err(error) => failed += tell(&[error], attendant),
        }
        if attendant.interrupted() && !left.is_empty() {
            tell_gone(&gone, false, attendant);
            return Err(attendant.stopped_with(left.iter().map(Hidden::path).collect()));
        }
    }
    if sync {
        failed += settle(&gone, attendant)?;
    } else {
        tell_gone(&gone, false, attendant);
    }
    match failed {
        0 => Ok(()),
        failed => Err(OfflineError::Some {
            failed,
            all: args.paths.len(),
        }),
    }
}

/// Whether `path` may be removed at all. Nothing is changed.
fn admit(path: &Path, last: Option<&Place>) -> Result<Place, OfflineError> {
    let place = Place::open_after(path, last)?;
    let mount_point = |at: PathBuf| OfflineError::MountPoint {
        path: path.to_owned(),
        at,
    };
    match open_entry(&place.parent, &place.name, OFlags::PATH) {
        Ok(entry) => {
            let found = fstat(&entry).map(Meta::from).map_err(on(path, "fstat"))?;
            if place.is_directory && found.kind != FileKind::Directory {
                return Err(on(path, "open")(Errno::NOTDIR));
            }
            let whole = whereabouts(&entry).map_err(on(path, "readlink"))?;
            let found = mounted_within(&whole);
            let found = found.map_err(|e| OfflineError::Process("reading the mounts", e))?;
            found.map_or(Ok(place), |at| Err(mount_point(at)))
        }
        Err(Errno::LOOP) if place.is_directory => Err(OfflineError::Symlink(path.to_owned())),
        Err(Errno::LOOP) => Ok(place),
        Err(Errno::NOENT) => Err(OfflineError::Missing(path.to_owned())),
        Err(Errno::XDEV) => Err(mount_point(path.to_owned())),
        Err(errno) => Err(on(path, "open")(errno)),
    }
}

/// What was destroyed.
#[derive(Debug)]
struct Gone<'a> {
    hidden: &'a Hidden,
    device: u64,
    progress: Progress,
    method: &'static str,
}

fn destroy<'a>(
    hidden: &'a Hidden,
    args: &RemoveArgs,
    attendant: &mut Attendant,
) -> Result<Gone<'a>, OfflineError> {
    let Hidden { place, name } = hidden;
    let parent = place.parent.as_fd();
    // Only asked what it is like: nothing may be tried in somebody's directory.
    let default = probe_without_quotas(parent, true)
        .capabilities()
        .remove_workers;
    let workers = args.threads.workers(default);
    let control = Control::default();
    let destroyed = attendant.attend("removing", &control, || {
        let at_once = is_destroyed_at_once(place, name);
        if at_once {
            control.entry_done();
        }
        remove_tree_and_subvolumes(Force::None, parent, name, workers, &control).map_err(
            |error| OfflineError::Tree {
                path: hidden.path(),
                error,
            },
        )?;
        let parent = fstat(parent).map_err(on(&place.path, "fstat"))?;
        Ok(Gone {
            hidden,
            device: parent.st_dev,
            progress: control.progress(),
            method: match at_once {
                true => "subvolume",
                false => "unlinked",
            },
        })
    });
    destroyed.flatten()
}

/// A btrfs subvolume without others in it goes whole. What doesn't is walked.
fn is_destroyed_at_once(place: &Place, name: &CStr) -> bool {
    let opened = open_directory(&place.parent, name);
    opened.and_then(|tree| is_subvolume(tree.as_fd())) == Ok(true)
        && destroy_subvolume(place.parent.as_fd(), name).is_ok()
}

/// Makes durable that they are gone, or else they could be back, under their hidden names, after a power cut. Tells of each.
/// Answers of how many that failed.
fn settle(gone: &[Gone<'_>], attendant: &mut Attendant) -> Result<usize, OfflineError> {
    let (mut failed, mut done) = (0, 0);
    // For all that is on one filesystem, one sync will do.
    for alike in gone.chunk_by(|one, next| one.device == next.device) {
        let control = Control::default();
        if attendant.interrupted() {
            control.stop();
        }
        let parent = &alike[0].hidden.place.parent;
        let synced = attendant.attend("syncing", &control, || {
            // Older than what was destroyed, so that no error of a write is missed.
            let handle = fcntl_dupfd_cloexec(parent, 0).map_err(system("dup"))?;
            control.check().and_then(|()| sync(handle, &control))
        })?;
        match synced {
            Ok(()) => tell_gone(alike, true, attendant),
            Err(Fault::System(call, errno)) => {
                let error = |one: &Gone<'_>| on(&one.hidden.place.path, call)(errno);
                let errors: Vec<_> = alike.iter().map(error).collect();
                failed += tell(&errors, attendant);
            }
            Err(_) => {
                tell_gone(&gone[done..], false, attendant);
                return Err(attendant.stopped());
            }
        }
        done += alike.len();
    }
    Ok(failed)
}

fn tell_gone(gone: &[Gone<'_>], synced: bool, attendant: &Attendant) {
    for one in gone {
        attendant.report.done(&Done {
            verb: "removed",
            path: &one.hidden.place.path,
            progress: one.progress,
            method: one.method,
            synced,
        });
    }
}

/// Answers how many.
fn tell(errors: &[OfflineError], attendant: &Attendant) -> usize {
    for error in errors {
        attendant.report.failed(error);
    }
    errors.len()
}

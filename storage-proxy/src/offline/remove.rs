//! `tree remove`.

use std::{
    ffi::{CStr, CString},
    os::fd::AsFd as _,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{OFlags, fstat, fsync, syncfs},
    io::Errno,
};
use uuid::Uuid;
use vfolder_ioctl::btrfs::{destroy_subvolume, is_subvolume};

use super::{
    args::RemoveArgs,
    attend::Attendant,
    error::{OfflineError, on},
    mounts::mounted_within,
    place::{Place, whereabouts},
    report::Done,
};
use crate::{
    backend::{probe_without_quotas, remove_tree_and_subvolumes},
    faults::at,
    tree::{
        Control, FileKind, Meta,
        open::{open_directory, open_entry},
        remove::Force,
    },
    volume::rename_to_free,
};

/// What the names of trees end with that are being destroyed, and an id.
const MARK: &str = ".vfolder-trash-";

/// Looks at all, takes all out of sight, destroys all.
pub fn remove(args: &RemoveArgs, attendant: &mut Attendant) -> Result<(), OfflineError> {
    let mut places = Vec::new();
    for path in &args.paths {
        match admit(path) {
            Err(OfflineError::Missing(_)) if args.force => {}
            admitted => places.push(admitted?),
        }
    }
    let sync = !args.sync.no_sync;
    let control = Control::default();
    let (hidden, errors) =
        attendant.attend("removing", &control, || hide_all(places, sync, &control))?;
    if attendant.interrupted() {
        attendant.report.stopped();
        return Err(OfflineError::Interrupted {
            left: bring_back(&hidden),
        });
    }
    for error in &errors {
        attendant.report.failed(error);
    }
    let mut failed = errors.len();
    if failed == 0 {
        attendant.report.acknowledged();
    }
    for (at, (place, name)) in hidden.iter().enumerate() {
        let destroyed = destroy(place, name, args, attendant);
        let left = &hidden[at + usize::from(destroyed.is_ok())..];
        if attendant.interrupted() && !left.is_empty() {
            attendant.report.stopped();
            let left = left.iter().map(|(place, name)| place.sibling(name));
            return Err(OfflineError::Interrupted {
                left: left.collect(),
            });
        }
        if let Err(error) = destroyed {
            failed += 1;
            attendant.report.failed(&error);
        }
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
fn admit(path: &Path) -> Result<Place, OfflineError> {
    let place = Place::open(path)?;
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

/// Takes all out of sight, until it is to stop. Answers how those are called now for which that went well.
fn hide_all(
    places: Vec<Place>,
    sync: bool,
    control: &Control,
) -> (Vec<(Place, CString)>, Vec<OfflineError>) {
    let (mut hidden, mut errors) = (Vec::new(), Vec::new());
    for place in places {
        if control.check().is_err() {
            break;
        }
        match hide(&place, sync) {
            Ok(name) => hidden.push((place, name)),
            Err(error) => errors.push(error),
        }
    }
    (hidden, errors)
}

/// Nothing of them is destroyed yet: each gets its name back. Answers which don't.
fn bring_back(hidden: &[(Place, CString)]) -> Vec<PathBuf> {
    let back = |place: &Place, name: &CString| {
        *name == place.name
            || rename_to_free(&place.parent, &**name, &place.parent, &*place.name).is_ok()
    };
    let away = hidden.iter().filter(|(place, name)| !back(place, name));
    away.map(|(place, name)| place.sibling(name)).collect()
}

/// Takes it out of sight, for good if `sync`. Answers how it is called now.
fn hide(place: &Place, sync: bool) -> Result<CString, OfflineError> {
    if is_hidden(place.name.as_bytes()) {
        return Ok(place.name.clone());
    }
    let name = place.hidden(&format!("{MARK}{}", Uuid::new_v4()));
    let renamed = at("trash.begin")
        .and_then(|()| rename_to_free(&place.parent, &*place.name, &place.parent, &*name));
    match renamed {
        // Even a rename may need space (on btrfs), and this is what makes some: then it is destroyed where it is.
        Err(Errno::NOSPC | Errno::DQUOT) => return Ok(place.name.clone()),
        done => done.map_err(on(&place.path, "rename"))?,
    }
    if sync {
        let synced = at("trash.renamed")
            .and_then(|()| fsync(&place.parent))
            .and_then(|()| at("trash.synced"));
        if let Err(errno) = synced {
            // Nothing is lost yet, and it is where it was looked for; unless that fails, too.
            let back = rename_to_free(&place.parent, &*name, &place.parent, &*place.name);
            let path = back.map_or_else(|_| place.sibling(&name), |()| place.path.clone());
            return Err(on(path, "fsync")(errno));
        }
    }
    Ok(name)
}

/// Whether an earlier removal has left it.
fn is_hidden(name: &[u8]) -> bool {
    let text = String::from_utf8_lossy(name);
    text.starts_with('.')
        && text
            .rsplit_once(MARK)
            .is_some_and(|(_, id)| Uuid::try_parse(id).is_ok())
}

fn destroy(
    place: &Place,
    name: &CString,
    args: &RemoveArgs,
    attendant: &mut Attendant,
) -> Result<(), OfflineError> {
    let sync = !args.sync.no_sync;
    // Only asked what it is like: nothing may be tried in somebody's directory.
    let default = probe_without_quotas(place.parent.as_fd(), true)
        .capabilities()
        .remove_workers;
    let workers = args.threads.workers(default);
    let control = Control::default();
    attendant.attend("removing", &control, || {
        if is_destroyed_at_once(place, name) {
            control.entry_done();
        }
        let parent = place.parent.as_fd();
        remove_tree_and_subvolumes(Force::None, parent, name, workers, &control).map_err(
            |error| OfflineError::Tree {
                path: place.sibling(name),
                error,
            },
        )?;
        match sync {
            // Otherwise it could be back, under its hidden name, after a power cut.
            true => syncfs(&place.parent).map_err(on(&place.path, "syncfs")),
            false => Ok(()),
        }
    })??;
    attendant.report.done(&Done {
        verb: "removed",
        path: &place.path,
        progress: control.progress(),
        method: "unlinked",
        synced: sync,
    });
    Ok(())
}

/// A btrfs subvolume without others in it goes whole. What doesn't is walked.
fn is_destroyed_at_once(place: &Place, name: &CStr) -> bool {
    let opened = open_directory(&place.parent, name);
    opened.and_then(|tree| is_subvolume(tree.as_fd())) == Ok(true)
        && destroy_subvolume(place.parent.as_fd(), name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_removal_has_left_counts_as_hidden() {
        let id = Uuid::new_v4();
        assert!(is_hidden(format!(".x.vfolder-trash-{id}").as_bytes()));
        assert!(!is_hidden(format!("x.vfolder-trash-{id}").as_bytes()));
        assert!(!is_hidden(b".x.vfolder-trash-1"));
        assert!(!is_hidden(b".x"));
    }
}

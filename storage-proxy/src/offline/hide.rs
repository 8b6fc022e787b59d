//! Out of sight before it is destroyed.

use std::{ffi::CString, mem, path::PathBuf, sync::Arc};

use rustix::{fs::fsync, io::Errno};
use uuid::Uuid;

use super::{
    error::{OfflineError, on},
    place::Place,
};
use crate::{faults::at, tree::Control, volume::rename_to_free};

/// What the names of trees end with that are being destroyed, and an id.
const MARK: &str = ".vfolder-trash-";

/// What is to be destroyed.
#[derive(Debug)]
pub struct Hidden {
    /// Where it was.
    pub place: Place,
    /// How it is called now.
    pub name: CString,
}

impl Hidden {
    /// Where it is now.
    pub fn path(&self) -> PathBuf {
        self.place.sibling(&self.name)
    }

    /// Nobody takes it for something to use.
    pub fn is_out_of_sight(&self) -> bool {
        is_hidden(self.name.as_bytes())
    }

    fn back(&self) -> Result<(), Errno> {
        match self.name == self.place.name {
            true => Ok(()),
            false => {
                let parent = &self.place.parent;
                rename_to_free(parent, &*self.name, parent, &*self.place.name)
            }
        }
    }
}

/// Takes all out of sight until it is to stop, for good if `sync`. What is not there any more is passed over if `force`.
/// Answers what was hidden, and why the others were not.
pub fn hide_all(
    places: Vec<Place>,
    sync: bool,
    force: bool,
    control: &Control,
) -> (Vec<Hidden>, Vec<OfflineError>) {
    let (mut hidden, mut errors) = (Vec::new(), Vec::new());
    for place in places {
        if control.check().is_err() {
            return (hidden, errors);
        }
        match hide(&place) {
            Ok(name) => hidden.push(Hidden { place, name }),
            Err(Errno::NOENT) if force => {}
            Err(errno) => errors.push(on(&place.path, "rename")(errno)),
        }
    }
    if sync {
        errors.append(&mut sync_parents(&mut hidden, control));
    }
    (hidden, errors)
}

/// Answers how it is called now.
fn hide(place: &Place) -> Result<CString, Errno> {
    if is_hidden(place.name.as_bytes()) {
        return Ok(place.name.clone());
    }
    let name = place.hidden(&format!("{MARK}{}", Uuid::new_v4()));
    let renamed = at("trash.begin")
        .and_then(|()| rename_to_free(&place.parent, &*place.name, &place.parent, &*name));
    match renamed {
        // Even a rename may need space (on btrfs), and this is what makes some: then it is destroyed where it is.
        Err(Errno::NOSPC | Errno::DQUOT) => Ok(place.name.clone()),
        done => done.map(|()| name),
    }
}

/// What can't be made durable is not to be destroyed: nothing is lost yet, and it is where it was looked for again; unless
/// that fails, too.
fn sync_parents(hidden: &mut Vec<Hidden>, control: &Control) -> Vec<OfflineError> {
    let (mut kept, mut errors) = (Vec::new(), Vec::new());
    let mut all = mem::take(hidden).into_iter().peekable();
    while let Some(first) = all.next() {
        let parent = Arc::clone(&first.place.parent);
        let mut group = vec![first];
        while let Some(next) = all.next_if(|next| Arc::ptr_eq(&next.place.parent, &parent)) {
            group.push(next);
        }
        let synced = match control.check() {
            // It all gets its names back.
            Err(_) => Ok(()),
            Ok(()) => at("trash.renamed")
                .and_then(|()| fsync(&parent))
                .and_then(|()| at("trash.synced")),
        };
        match synced {
            Ok(()) => kept.append(&mut group),
            Err(errno) => errors.extend(group.iter().map(|one| {
                let path = one
                    .back()
                    .map_or_else(|_| one.path(), |()| one.place.path.clone());
                on(path, "fsync")(errno)
            })),
        }
    }
    *hidden = kept;
    errors
}

/// Nothing of them is destroyed yet: each gets its name back, for good if `sync`. Answers where those are that don't, and
/// what else went wrong.
pub fn bring_back(hidden: &[Hidden], sync: bool) -> (Vec<PathBuf>, Vec<OfflineError>) {
    let away = hidden.iter().filter(|one| one.back().is_err());
    let left = away.map(Hidden::path).collect();
    let mut errors = Vec::new();
    for group in hidden.chunk_by(|one, next| Arc::ptr_eq(&one.place.parent, &next.place.parent)) {
        if let (true, [first, ..]) = (sync, group)
            && let Err(errno) = fsync(&first.place.parent)
        {
            errors.push(on(&first.place.path, "fsync")(errno));
        }
    }
    (left, errors)
}

/// Whether a removal has called it so.
fn is_hidden(name: &[u8]) -> bool {
    let text = String::from_utf8_lossy(name);
    text.starts_with('.')
        && text
            .rsplit_once(MARK)
            .is_some_and(|(_, id)| Uuid::try_parse(id).is_ok())
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

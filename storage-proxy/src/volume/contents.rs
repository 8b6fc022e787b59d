//! What is on a volume, for whoever compares it with the records.

use std::{
    ffi::CStr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::io::Errno;
use uuid::Uuid;

use super::{
    OpenVolume, VolumeError,
    error::on,
    layout::{EPOCHS, JOURNAL, QUOTAS, STAGING, TRASH, TREE, fan_out},
    trash::operation_of,
};
use crate::tree::{Fault, FileKind, dirents::Dirents, open::open_directory};

/// Which of the volume's directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    /// The vfolders' trees.
    Tree,
    /// Unpublished work.
    Staging,
    /// Trees that are being destroyed.
    Trash,
    /// What tasks need to know after a restart.
    Journal,
}

/// Something on a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where.
    pub area: Area,
    /// What its name says that it is; nothing if it says nothing.
    pub id: Option<Uuid>,
    /// Relative to the volume's root.
    pub path: String,
    /// What is wrong with it, if anything.
    pub problem: Option<&'static str>,
}

const NOT_A_DIRECTORY: &str = "is not a directory";
const SYMLINK: &str = "is a symlink";
const MOUNT_POINT: &str = "is a mount point";
const WRONG_PLACE: &str = "is in the wrong place: its id leads elsewhere";
const NO_ID: &str = "has a name that is no id";
const UNREADABLE: &str = "can't be read";

impl OpenVolume {
    /// Tells `visit` of everything in the volume's own directories, until it answers false. What vanishes meanwhile is
    /// passed over.
    ///
    /// # Errors
    /// Those of the calls, on the volume's own directories.
    pub fn contents(&self, mut visit: impl FnMut(Found) -> bool) -> Result<(), VolumeError> {
        let mut listing = Listing {
            visit: &mut visit,
            stopped: false,
        };
        listing.trees(self.tree.as_fd())?;
        listing.operations(Area::Staging, STAGING, self.staging.as_fd())?;
        listing.operations(Area::Trash, TRASH, self.trash.as_fd())?;
        listing.operations(Area::Journal, JOURNAL, self.journal.as_fd())
    }
}

struct Listing<'a> {
    visit: &'a mut dyn FnMut(Found) -> bool,
    stopped: bool,
}

impl Listing<'_> {
    fn tell(&mut self, area: Area, id: Option<Uuid>, path: String, problem: Option<&'static str>) {
        if !self.stopped {
            self.stopped = !(self.visit)(Found {
                area,
                id,
                path,
                problem,
            });
        }
    }

    fn trees(&mut self, tree: BorrowedFd<'_>) -> Result<(), VolumeError> {
        self.each(tree, TREE, |listing, yy, _| {
            let path = format!("{TREE}/{}", yy.to_string_lossy());
            let Some(outer) = listing.fan_out_directory(tree, yy, &path) else {
                return Ok(());
            };
            listing.each(outer.as_fd(), &path, |listing, zz, _| {
                let path = format!("{path}/{}", zz.to_string_lossy());
                let Some(inner) = listing.fan_out_directory(outer.as_fd(), zz, &path) else {
                    return Ok(());
                };
                listing.each(inner.as_fd(), &path, |listing, name, _| {
                    let path = format!("{path}/{}", name.to_string_lossy());
                    let id = parse_id(name);
                    let at_home = id.is_some_and(|id| {
                        fan_out(id).map(String::into_bytes)
                            == [yy, zz].map(|n| n.to_bytes().to_vec())
                    });
                    let problem = match open_directory(&inner, name) {
                        Err(Errno::NOENT) => return Ok(()),
                        Err(errno) => Some(problem(errno)),
                        Ok(_) if id.is_none() => Some(NO_ID),
                        Ok(_) => (!at_home).then_some(WRONG_PLACE),
                    };
                    listing.tell(Area::Tree, id, path, problem);
                    Ok(())
                })
            })
        })
    }

    fn operations(
        &mut self,
        area: Area,
        path: &str,
        directory: BorrowedFd<'_>,
    ) -> Result<(), VolumeError> {
        self.each(directory, path, |listing, name, kind| {
            let hidden = name.to_bytes().starts_with(b".");
            let ours = [EPOCHS, QUOTAS]
                .map(str::as_bytes)
                .contains(&name.to_bytes());
            if hidden || (area == Area::Journal && ours) {
                return Ok(());
            }
            let id = match area {
                Area::Trash => operation_of(name),
                _ => parse_id(name),
            };
            let problem = match (id, kind) {
                (None, _) => Some(NO_ID),
                (_, FileKind::Symlink) => Some(SYMLINK),
                (_, FileKind::Directory) if area == Area::Journal => Some("is a directory"),
                (_, FileKind::Regular) if area != Area::Journal => Some(NOT_A_DIRECTORY),
                _ => None,
            };
            listing.tell(
                area,
                id,
                format!("{path}/{}", name.to_string_lossy()),
                problem,
            );
            Ok(())
        })
    }

    /// One of the directories between `tree` and the trees; what is none is told of.
    fn fan_out_directory(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        path: &str,
    ) -> Option<OwnedFd> {
        let two_digits = name.count_bytes() == 2
            && name
                .to_bytes()
                .iter()
                .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        match open_directory(parent, name) {
            Ok(directory) if two_digits => return Some(directory),
            Ok(_) => self.tell(
                Area::Tree,
                parse_id(name),
                path.to_owned(),
                Some("does not belong here"),
            ),
            Err(Errno::NOENT) => {}
            Err(errno) => self.tell(
                Area::Tree,
                parse_id(name),
                path.to_owned(),
                Some(problem(errno)),
            ),
        }
        None
    }

    fn each(
        &mut self,
        directory: BorrowedFd<'_>,
        path: &str,
        mut visit: impl FnMut(&mut Self, &CStr, FileKind) -> Result<(), VolumeError>,
    ) -> Result<(), VolumeError> {
        // A handle of its own: the shared one's position is everybody's.
        let directory = open_directory(directory, c".").map_err(on(path, "open"))?;
        let mut dirents = Dirents::default();
        let mut failed = None;
        while !self.stopped {
            let batch = dirents.batch(directory.as_fd(), |name, kind| {
                if !self.stopped && failed.is_none() {
                    failed = visit(self, name, kind).err();
                }
                Ok(())
            });
            if let Some(error) = failed {
                return Err(error);
            }
            match batch {
                Ok(Some(_)) => {}
                Err((Fault::System(call, errno), _)) => return Err(on(path, call)(errno)),
                Ok(None) | Err(_) => break,
            }
        }
        Ok(())
    }
}

pub(super) fn parse_id(name: &CStr) -> Option<Uuid> {
    let text = name.to_str().ok()?;
    // Uuid also reads other spellings; on disk there is one.
    Uuid::parse_str(text)
        .ok()
        .filter(|id| id.to_string() == text)
}

fn problem(errno: Errno) -> &'static str {
    match errno {
        Errno::XDEV => MOUNT_POINT,
        Errno::LOOP => SYMLINK,
        Errno::NOTDIR => NOT_A_DIRECTORY,
        _ => UNREADABLE,
    }
}

//! A copy that was stopped goes on: what is there is kept if it is what the source says, and nothing else is.

use std::{
    fs::{self, File, FileTimes},
    io::Write as _,
    os::{
        fd::AsFd as _,
        unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink},
    },
    path::{Path, PathBuf},
    thread,
};

use tempfile::TempDir;
use vfolder_storage_proxy::tree::{
    Checkpoint, CloneTarget, Cloned, Control, Moment, Ongoing, TreeError, clone_tree,
};

use crate::{
    oracle,
    support::{Dice, c, directory, workers},
};

const DIRECTORIES: usize = 12;
const FILES: usize = 40;
const ENTRIES: u64 = 1 + DIRECTORIES as u64 * (1 + FILES as u64 + 3);

/// A source and a place for its copy.
struct Place {
    dir: TempDir,
    began: Moment,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("source");
        for d in 0..DIRECTORIES {
            let at = source.join(format!("d{d}"));
            fs::create_dir_all(&at).unwrap();
            for f in 0..FILES {
                let size = if f == 7 { 300_000 } else { 3 * f };
                fs::write(at.join(format!("f{f}")), vec![b'a' + f as u8 % 26; size]).unwrap();
            }
            symlink("f1", at.join("symlink")).unwrap();
            // Each a name of a file in another directory.
            let other = source.join(format!("d{}/f3", d / 2));
            fs::hard_link(other, at.join("linked")).unwrap();
            fs::create_dir(at.join("empty")).unwrap();
            fs::set_permissions(&at, fs::Permissions::from_mode(0o2751)).unwrap();
        }
        Self::of(dir)
    }

    fn of(dir: TempDir) -> Self {
        fs::create_dir(dir.path().join("links")).unwrap();
        let began = later_than_now(dir.path());
        Self { dir, began }
    }

    fn source(&self) -> PathBuf {
        self.dir.path().join("source")
    }

    fn copy(&self) -> PathBuf {
        self.dir.path().join("copy")
    }

    fn clone(&self, resume: Option<&Checkpoint>, control: &Control) -> Result<Cloned, TreeError> {
        let [source, parent, links] =
            ["source", "", "links"].map(|name| directory(&self.dir.path().join(name)));
        let target = CloneTarget {
            parent: parent.as_fd(),
            name: &c("copy"),
            links: links.as_fd(),
            root: None,
            resume,
            ongoing: &Ongoing::default(),
            digest: None,
        };
        clone_tree(source.as_fd(), target, workers(), control)
    }

    /// Copies until about so many entries are done.
    fn stop_after(&self, entries: u64, resume: Option<&Checkpoint>) {
        let control = Control::default();
        thread::scope(|scope| {
            let copying = scope.spawn(|| self.clone(resume, &control));
            while control.progress().entries_done < entries && !copying.is_finished() {
                thread::yield_now();
            }
            control.stop();
            let _ = copying.join().unwrap();
        });
    }

    fn checkpoint(&self, durable: Option<Moment>) -> Checkpoint {
        Checkpoint {
            durable,
            ..Checkpoint::first(self.began)
        }
    }

    fn ends_equal(&self, checkpoint: &Checkpoint) -> Cloned {
        let cloned = self.clone(Some(checkpoint), &Control::default()).unwrap();
        oracle::assert_same(
            &oracle::describe(&self.source()),
            &oracle::describe(&self.copy()),
        );
        assert_eq!(
            fs::read_dir(self.dir.path().join("links")).unwrap().count(),
            0
        );
        cloned
    }
}

/// A moment by the filesystem's clock after all that was changed there before.
fn later_than_now(at: &Path) -> Moment {
    let stamp = || {
        let file = at.join("clock");
        fs::write(&file, "").unwrap();
        let meta = fs::metadata(&file).unwrap();
        (meta.ctime(), meta.ctime_nsec())
    };
    let now = stamp();
    loop {
        let then = stamp();
        if then > now {
            return then;
        }
    }
}

/// Changes the contents of a file and nothing else that shows, but for ctime.
fn spoil(file: &Path, at: u64) {
    let times = fs::metadata(file).unwrap();
    let times = FileTimes::new()
        .set_accessed(times.accessed().unwrap())
        .set_modified(times.modified().unwrap());
    let file = File::options().write(true).open(file).unwrap();
    file.write_all_at(b"\0\0", at).unwrap();
    file.set_times(times).unwrap();
}

#[test]
fn a_copy_stopped_again_and_again_ends_equal_and_is_made_once() {
    const LIVES: u64 = 4;
    let mut dice = Dice(20_261_122);
    for _ in 0..6 {
        let place = Place::new();
        let mut done = 0;
        for life in 0..LIVES {
            let checkpoint = place.checkpoint(None);
            done += dice.roll(ENTRIES as usize / 4) as u64;
            place.stop_after(done, (life > 0).then_some(&checkpoint));
        }
        let cloned = place.ends_equal(&place.checkpoint(None));
        assert!(cloned.kept_entries >= done, "{cloned:?} of {done}");
        // At most what each thread of each life was in the middle of: none need have come by there since.
        let most = LIVES * workers().get() as u64;
        assert!(cloned.redone_entries <= most, "{cloned:?}");
    }
}

#[test]
fn a_copy_that_was_complete_is_kept_whole() {
    let place = Place::new();
    place.clone(None, &Control::default()).unwrap();
    let durable = later_than_now(place.dir.path());
    for durable in [None, Some(durable)] {
        let cloned = place.ends_equal(&place.checkpoint(durable));
        assert_eq!((cloned.kept_entries, cloned.redone_entries), (ENTRIES, 0));
    }
}

#[test]
fn contents_that_were_not_durable_are_compared_and_copied_again() {
    let place = Place::new();
    place.clone(None, &Control::default()).unwrap();
    let durable = later_than_now(place.dir.path());
    let lost = ["d1/f7", "d3/f9", "d4/linked"].map(|file| place.copy().join(file));
    lost.iter().for_each(|file| spoil(file, 1));
    let cloned = place.ends_equal(&place.checkpoint(Some(durable)));
    // The linked file has several names, and each is given anew.
    assert!((3..=6).contains(&cloned.redone_entries), "{cloned:?}");
}

#[test]
fn what_the_source_has_changed_since_is_as_it_is_now() {
    let place = Place::new();
    place.clone(None, &Control::default()).unwrap();
    let durable = later_than_now(place.dir.path());
    let at = |path: &str| place.source().join(path);
    spoil(&at("d0/f9"), 2);
    fs::remove_file(at("d1/f4")).unwrap();
    fs::write(at("d1/new"), "new").unwrap();
    fs::remove_dir_all(at("d2")).unwrap();
    fs::write(at("d2"), "a file by now").unwrap();
    fs::remove_file(at("d3/f5")).unwrap();
    fs::create_dir_all(at("d3/f5/deep")).unwrap();
    fs::remove_file(at("d4/symlink")).unwrap();
    symlink("f2", at("d4/symlink")).unwrap();
    fs::set_permissions(at("d5/f6"), fs::Permissions::from_mode(0o4711)).unwrap();
    place.ends_equal(&place.checkpoint(Some(durable)));
}

#[test]
fn a_large_file_goes_on_where_it_is_known_to_be_durable() {
    const SIZE: u64 = 70 << 20;
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("source")).unwrap();
    let mut large = File::create(dir.path().join("source/large")).unwrap();
    for mebibyte in 1..=(SIZE >> 20) as u8 {
        large.write_all(&vec![mebibyte; 1 << 20]).unwrap();
    }
    let place = Place::of(dir);
    // (durable up to here, what is there is equal)
    for (trusted, equal) in [(10 << 20, true), (30 << 20, false)] {
        let copy = place.copy().join("large");
        let _ = fs::remove_dir_all(place.copy());
        fs::create_dir(place.copy()).unwrap();
        fs::copy(place.source().join("large"), &copy).unwrap();
        let begun = File::options().write(true).open(&copy).unwrap();
        begun.set_len(40 << 20).unwrap();
        begun
            .set_permissions(fs::Permissions::from_mode(0o600))
            .unwrap();
        // Before it is known to be durable, this is not even looked at.
        spoil(&copy, 20 << 20);
        let checkpoint = Checkpoint {
            partial: vec![(begun.metadata().unwrap().ino(), trusted)],
            ..place.checkpoint(None)
        };
        let cloned = place.clone(Some(&checkpoint), &Control::default()).unwrap();
        assert_eq!(cloned.redone_entries, 1);
        let same = fs::read(&copy).unwrap() == fs::read(place.source().join("large")).unwrap();
        assert_eq!(same, equal, "trusted: {trusted}");
    }
}

#[test]
fn a_name_of_a_linked_file_that_is_half_copied_stays_a_name_of_that_file() {
    const SIZE: usize = 20 << 20;
    let content: Vec<u8> = (0..SIZE).map(|at| (at % 251) as u8).collect();
    for begun in ["d0", "d1"] {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("source");
        for directory in ["d0", "d1"] {
            fs::create_dir_all(source.join(directory)).unwrap();
        }
        fs::write(source.join("d0/big"), &content).unwrap();
        fs::hard_link(source.join("d0/big"), source.join("d1/big")).unwrap();
        let place = Place::of(dir);
        // Killed half-way: which of the names comes first in the next life, nobody knows.
        let half = place.copy().join(begun);
        fs::create_dir_all(&half).unwrap();
        fs::write(half.join("big"), &content[..SIZE * 3 / 4 + 5]).unwrap();
        place.ends_equal(&place.checkpoint(None));
        let [one, other] = ["d0/big", "d1/big"].map(|path| place.copy().join(path));
        let [one, other] = [one, other].map(|path| fs::metadata(path).unwrap());
        assert_eq!((one.ino(), one.nlink()), (other.ino(), 2), "{begun}");
    }
}

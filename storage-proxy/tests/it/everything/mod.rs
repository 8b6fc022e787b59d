//! A tree with everything that Linux lets one put into it, as far as this user and this filesystem may.

mod attributes;
mod contents;
mod crowds;
mod kinds;
mod kit;

use std::{
    fs,
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

pub use self::kit::{chmod, chown, mknod};

/// The file of 10 GiB, most of which are holes.
pub const HUGE: &str = "crowds/huge";

/// Makes it at `root`. Root makes all of it; others leave out what they may not make, or not read.
pub fn build(root: &Path) {
    fs::create_dir(root).unwrap();
    let sub = |name: &str| {
        let path = root.join(name);
        fs::create_dir(&path).unwrap();
        path
    };
    kinds::names(&sub("names"));
    contents::sizes(&sub("sizes"));
    contents::holes(&sub("holes"));
    kinds::links(&sub("links"), &sub("far"));
    kinds::special(&sub("special"));
    attributes::owned(&sub("owned"));
    attributes::modes(&sub("modes"));
    attributes::extended(&sub("attributes"));
    attributes::inherited(&sub("inherited"));
    attributes::large(root);
    crowds::build(&sub("crowds"));
}

/// Different for each path and its neighbours, before and after 1970, with nanoseconds.
pub fn set_times(root: &Path, paths: &[PathBuf]) {
    for (number, path) in (0_i64..).zip(paths) {
        let times = Timestamps {
            last_access: Timespec {
                tv_sec: number % 5000 * 86_400 - 40_000_000,
                tv_nsec: 123_456_789,
            },
            last_modification: Timespec {
                tv_sec: number % 5000 * 77_777 - 99_999_999,
                tv_nsec: 999_999_999 - number,
            },
        };
        utimensat(CWD, root.join(path), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
}

//! What is left out where it can't be done, and must not be left out where it can.

use std::env;

/// Whether this process may mount and own what it likes.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Says on stderr that something is not checked here, and why.
///
/// # Panics
///
/// With root, where `CI` or `VFOLDER_TEST_IMAGES_REQUIRED` says that all must be checked.
pub fn not_checked(why: &str) {
    let all = ["CI", "VFOLDER_TEST_IMAGES_REQUIRED"]
        .into_iter()
        .any(|variable| env::var(variable).is_ok_and(|v| !matches!(&*v, "" | "0" | "false")));
    assert!(
        !(all && is_root()),
        "can't be checked here, and must be: {why}"
    );
    eprintln!("NOT CHECKED: {why}");
}

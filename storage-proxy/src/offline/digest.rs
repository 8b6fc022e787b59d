//! `tree digest`.

use std::{env, fs::File, io, os::fd::AsFd as _};

use rustix::fs::{CWD, Mode, OFlags, openat};

use super::{args::DigestArgs, attend::Attendant, error::OfflineError, place::open_directory};
use crate::tree::{Control, Workers, digest as digest_tree};

/// Prints the digest, as docs/tree-digest.md specifies it, and the path.
pub fn digest(args: &DigestArgs, attendant: &mut Attendant) -> Result<(), OfflineError> {
    let root = open_directory(&args.path)?;
    let (control, workers) = (
        Control::default(),
        args.threads.workers(Workers::all_cores()),
    );
    let digested = attendant.attend("digesting", &control, || {
        digest_tree(root.as_fd(), &scratch, workers, &control)
    })?;
    if attendant.interrupted() {
        return Err(attendant.stopped());
    }
    let digest = digested.map_err(|error| OfflineError::Tree {
        path: args.path.clone(),
        error,
    })?;
    attendant.report.digest(&digest, &args.path);
    Ok(())
}

/// A file without a name, for the notes of a tree with very many hard links.
fn scratch() -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = openat(CWD, env::temp_dir(), flags, Mode::RUSR | Mode::WUSR)?;
    Ok(file.into())
}

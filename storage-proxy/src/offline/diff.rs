//! `tree diff`.

use std::{os::fd::AsFd as _, sync::Mutex, sync::PoisonError};

use super::{args::DiffArgs, attend::Attendant, error::OfflineError, place::open_directory};
use crate::tree::{Aspect, Control, Difference, FileKind, What, Workers, diff as diff_trees};

/// Prints each path that differs, and what differs. Answers whether any does.
pub fn diff(args: &DiffArgs, attendant: &mut Attendant) -> Result<bool, OfflineError> {
    let (first, second) = (open_directory(&args.first)?, open_directory(&args.second)?);
    let (control, workers) = (
        Control::default(),
        args.threads.workers(Workers::all_cores()),
    );
    let report = attendant.report;
    // One line at a time, whichever thread found it.
    let printing = Mutex::new(());
    let print = |difference: Difference| {
        let _turn = printing.lock().unwrap_or_else(PoisonError::into_inner);
        let (path, aspects) = (readable(&difference.path), described(&difference.what));
        report.difference(&path, &aspects);
    };
    let compared = attendant.attend("comparing", &control, || {
        diff_trees(first.as_fd(), second.as_fd(), workers, &control, &print)
    })?;
    if attendant.interrupted() {
        return Err(attendant.stopped());
    }
    let compared = compared.map_err(|error| OfflineError::Either {
        first: args.first.clone(),
        second: args.second.clone(),
        error,
    })?;
    attendant.report.compared(compared.differences);
    match (compared.differences, compared.links_known) {
        (0, false) => Err(OfflineError::LinksUnknown),
        (differences, _) => Ok(differences > 0),
    }
}

/// Names may hold line ends and what is no text.
fn readable(path: &[u8]) -> String {
    match path {
        b"" => ".".into(),
        path => path.escape_ascii().to_string(),
    }
}

/// Each aspect: its name, and what it is in the first and in the second tree, where that is short.
fn described(what: &What) -> Vec<(&'static str, String)> {
    match what {
        What::OnlyFirst => vec![("only", "first".into())],
        What::OnlySecond => vec![("only", "second".into())],
        What::Aspects(aspects) => aspects.iter().map(aspect).collect(),
    }
}

fn aspect(aspect: &Aspect) -> (&'static str, String) {
    let seconds = |(seconds, nanoseconds): (i64, i64)| format!("{seconds}.{nanoseconds:09}");
    match aspect {
        Aspect::Kind(one, other) => ("kind", format!("{} {}", kind(*one), kind(*other))),
        Aspect::Mode(one, other) => ("mode", format!("{one:04o} {other:04o}")),
        Aspect::Owner(one, other) => (
            "owner",
            format!("{}:{} {}:{}", one.0, one.1, other.0, other.1),
        ),
        Aspect::Modified(one, other) => {
            ("modified", format!("{} {}", seconds(*one), seconds(*other)))
        }
        Aspect::Attributes(names) => {
            let names: Vec<_> = names.iter().map(|name| readable(name)).collect();
            ("xattrs", names.join(" "))
        }
        Aspect::Size(one, other) => ("size", format!("{one} {other}")),
        Aspect::Content(at) => ("content", format!("from byte {at}")),
        Aspect::Target => ("target", String::new()),
        Aspect::Device(one, other) => ("device", format!("{one:x} {other:x}")),
        Aspect::Links => ("links", String::new()),
    }
}

fn kind(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Regular => "file",
        FileKind::Directory => "directory",
        FileKind::Symlink => "symlink",
        FileKind::Fifo => "fifo",
        FileKind::Socket => "socket",
        FileKind::CharacterDevice => "character-device",
        FileKind::BlockDevice => "block-device",
        FileKind::Unknown => "unknown",
    }
}

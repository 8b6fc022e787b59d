//! The engine on plain directories, for operators: `storage-proxy tree …`.
//!
//! What it does with a tree is what the server does with a vfolder's: the same copy, the same way to publish it and the
//! same way to destroy one. It knows no volume, no journal and no fence: whoever names a path is trusted to mean it.
//!
//! A path that is named may lead through symlinks. What is found below it is never followed.

mod args;
mod attend;
mod bar;
mod clone;
mod diff;
mod digest;
mod error;
mod hide;
mod mounts;
mod place;
mod remove;
mod report;
mod staging;

use std::process::ExitCode;

pub use args::TreeCommand;

use args::Shown;
use attend::Attendant;
use error::OfflineError;
use report::Report;

/// As a shell reports what ended by SIGINT.
const INTERRUPTED: u8 = 130;
const FAILED: u8 = 1;
/// As diff(1) tells them apart.
const DIFFERENT: u8 = 1;
const TROUBLE: u8 = 2;

/// Does what was asked, tells how it went and answers the exit code.
pub(crate) fn run(command: &TreeCommand) -> ExitCode {
    let equal = |differ| if differ { DIFFERENT } else { 0 };
    let (done, failed) = match command {
        TreeCommand::Clone(args) => (
            attended(&args.shown, |us| clone::clone(args, us).map(|()| 0)),
            FAILED,
        ),
        TreeCommand::Remove(args) => (
            attended(&args.shown, |us| remove::remove(args, us).map(|()| 0)),
            FAILED,
        ),
        TreeCommand::Digest(args) => (
            attended(&args.shown, |us| digest::digest(args, us).map(|()| 0)),
            FAILED,
        ),
        TreeCommand::Diff(args) => (
            attended(&args.shown, |us| diff::diff(args, us).map(equal)),
            TROUBLE,
        ),
    };
    ExitCode::from(done.unwrap_or_else(|error| match error {
        OfflineError::Interrupted { .. } => INTERRUPTED,
        _ => failed,
    }))
}

fn attended<T>(
    shown: &Shown,
    work: impl FnOnce(&mut Attendant) -> Result<T, OfflineError>,
) -> Result<T, OfflineError> {
    let report = Report::new(shown);
    let done = Attendant::new(shown).and_then(|mut us| work(&mut us));
    done.inspect_err(|error| report.failed(error))
}

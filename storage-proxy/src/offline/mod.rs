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
mod error;
mod mounts;
mod place;
mod remove;
mod report;
mod staging;

use std::process::ExitCode;

pub use args::TreeCommand;

use attend::Attendant;
use error::OfflineError;

/// As a shell reports what ended by SIGINT.
const INTERRUPTED: u8 = 130;
const FAILED: u8 = 1;

/// Does what was asked, tells how it went and answers the exit code.
pub(crate) fn run(command: &TreeCommand) -> ExitCode {
    let done = match command {
        TreeCommand::Clone(args) => {
            Attendant::new(&args.shown).and_then(|mut attendant| clone::clone(args, &mut attendant))
        }
        TreeCommand::Remove(args) => Attendant::new(&args.shown)
            .and_then(|mut attendant| remove::remove(args, &mut attendant)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("storage-proxy: {error}");
            ExitCode::from(match error {
                OfflineError::Interrupted { .. } => INTERRUPTED,
                _ => FAILED,
            })
        }
    }
}

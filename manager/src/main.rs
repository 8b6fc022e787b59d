//! The manager.

use std::process::ExitCode;

fn main() -> ExitCode {
    vfolder_manager::main()
}

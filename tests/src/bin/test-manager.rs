//! The manager as the tests start it: cargo keeps it fresh with them, and it dies with them.

use std::process::ExitCode;

fn main() -> ExitCode {
    vfolder_tests::die_with_parent();
    vfolder_manager::main()
}

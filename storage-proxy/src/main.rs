//! The program `storage-proxy`.

use std::process::ExitCode;

fn main() -> ExitCode {
    vfolder_storage_proxy::main()
}

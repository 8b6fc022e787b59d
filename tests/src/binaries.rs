//! Where the executables under test are.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::{Signal, set_parent_process_death_signal};

/// The executables that the harness starts.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// The manager.
    pub manager: PathBuf,
    /// The storage-proxy.
    pub storage_proxy: PathBuf,
    /// The keeper of a PostgreSQL cluster.
    pub with_postgres: PathBuf,
}

impl Binaries {
    /// The ones that cargo built together with the running test (or other executable of this crate).
    #[must_use]
    pub fn beside_us() -> Self {
        let us = env::current_exe().expect("the running executable has a path");
        let mut folder = us.parent().expect("a file is in a folder");
        if folder.ends_with("deps") {
            folder = folder.parent().expect("deps is in a folder");
        }
        let binary = |name: &str| {
            let path = folder.join(name);
            assert!(
                path.exists(),
                "{} is not built; `cargo build -p vfolder-tests --bins` builds it",
                path.display()
            );
            path
        };
        Self {
            manager: binary("test-manager"),
            storage_proxy: binary("test-storage-proxy"),
            with_postgres: binary("with-postgres"),
        }
    }
}

/// Has the kernel kill this process when the thread that started it ends. Called first thing in `main`.
pub fn die_with_parent() {
    // Can fail only for a signal that doesn't exist.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
}

/// A command that the variables of whoever runs the tests don't configure.
pub(crate) fn clean_command(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    for (variable, _) in env::vars_os() {
        if variable.to_string_lossy().starts_with("VFOLDER_") {
            command.env_remove(variable);
        }
    }
    command
}

//! Making, running, stopping and removing a cluster.

use std::{
    fs, io,
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{SUPERUSER, installed};
use crate::place::{Place, make_root};

/// A start or stop that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Durability is not what these databases are for; many connections are.
const SETTINGS: &[&str] = &[
    "listen_addresses=",
    "max_connections=400",
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "shared_buffers=64MB",
    "dynamic_shared_memory_type=mmap",
];

/// A running cluster. Dropped, it is stopped and its folder removed.
pub struct Cluster {
    server: Child,
    place: Place,
}

impl Cluster {
    /// Makes a cluster in a temporary folder and starts it.
    pub fn start() -> io::Result<Self> {
        let bin = installed::binaries()?;
        let account = installed::unprivileged()?;
        let place = make_root("pg")?;
        let home = place.path();
        if let Some(account) = account {
            chown(home, Some(account.uid), Some(account.gid))?;
        }
        let command = |name: &str| {
            let mut command = Command::new(bin.join(name));
            command.current_dir(home).stdin(Stdio::null());
            // Of the terminal's Ctrl-C only the tests shall hear.
            command.process_group(0);
            if let Some(account) = account {
                command.uid(account.uid).gid(account.gid);
            }
            command
        };
        let made = command("initdb")
            .args([
                "--no-sync",
                "--no-instructions",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C",
            ])
            .args(["-U", SUPERUSER, "-D", "data"])
            .output()?;
        if !made.status.success() {
            let said = String::from_utf8_lossy(&made.stderr).into_owned();
            return Err(io::Error::other(format!("initdb failed: {said}")));
        }
        let log = fs::File::create(home.join("log"))?;
        let server = command("postgres")
            .args(["-D", "data", "-k"])
            .arg(home)
            .args(SETTINGS.iter().flat_map(|s| ["-c", s]))
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut cluster = Self { server, place };
        cluster.wait_until_ready()?;
        Ok(cluster)
    }

    /// The folder that its socket is in.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        self.place.path()
    }

    /// What the server logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.place.path().join("log")).unwrap_or_default()
    }

    /// Reads the state that the server keeps on the last line of its pid file, as pg_ctl does.
    fn wait_until_ready(&mut self) -> io::Result<()> {
        let pid_file: PathBuf = self.place.path().join("data/postmaster.pid");
        let start = Instant::now();
        loop {
            let state = fs::read_to_string(&pid_file).unwrap_or_default();
            if state.lines().nth(7).is_some_and(|l| l.trim() == "ready") {
                return Ok(());
            }
            if self.server.try_wait()?.is_some() || start.elapsed() > PATIENCE {
                return Err(io::Error::other(format!(
                    "postgres did not start: {}",
                    self.log()
                )));
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // SIGQUIT is "immediate shutdown": sessions are cut off, and nothing is kept that would be needed later.
        if let Some(pid) = i32::try_from(self.server.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::QUIT);
        }
        let start = Instant::now();
        while matches!(self.server.try_wait(), Ok(None)) {
            if start.elapsed() > PATIENCE {
                let _ = self.server.kill();
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

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

/// For a cluster that is killed while it works: what it has acknowledged is there afterwards. (The machine under it goes
/// on, so that what was written need not have reached a disk.)
const SURVIVING: &[&str] = &["synchronous_commit=on", "max_wal_size=128MB"];

/// How a server is told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Sessions are cut off, transactions rolled back, everything written.
    Fast,
    /// Sessions are cut off and nothing is written: the next start recovers from the log.
    Immediate,
    /// `kill -9` of the server alone: its sessions notice that it is gone, and go.
    Kill,
}

/// A cluster, running or stopped. Dropped, it is stopped and its folder removed.
pub struct Cluster {
    server: Child,
    settings: Vec<&'static str>,
    place: Place,
}

impl Cluster {
    /// Makes a cluster in a temporary folder and starts it.
    pub fn start() -> io::Result<Self> {
        Self::start_with(&[])
    }

    /// Makes a cluster that may be killed and started again without losing what it has acknowledged.
    pub fn start_surviving() -> io::Result<Self> {
        Self::start_with(SURVIVING)
    }

    fn start_with(more: &[&'static str]) -> io::Result<Self> {
        let bin = installed::binaries()?;
        let account = installed::unprivileged()?;
        let place = make_root("pg")?;
        let home = place.path();
        if let Some(account) = account {
            chown(home, Some(account.uid), Some(account.gid))?;
        }
        let command = |name: &str| command(&bin.join(name), home, account);
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
        let settings: Vec<_> = SETTINGS.iter().chain(more).copied().collect();
        let server = serve(home, &settings)?;
        let mut cluster = Self {
            server,
            settings,
            place,
        };
        cluster.wait_until_ready()?;
        Ok(cluster)
    }

    /// Stops the server and waits until it is gone; what it has stays.
    pub fn stop(&mut self, how: Stop) -> io::Result<()> {
        let signal = match how {
            Stop::Fast => Signal::INT,
            Stop::Immediate => Signal::QUIT,
            Stop::Kill => Signal::KILL,
        };
        if let Some(pid) = self.pid() {
            kill_process(pid, signal)?;
        }
        let start = Instant::now();
        while self.server.try_wait()?.is_none() {
            if start.elapsed() > PATIENCE {
                return Err(io::Error::other(format!(
                    "postgres does not stop: {}",
                    self.log()
                )));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Starts a stopped server again and waits until it takes connections.
    pub fn restart(&mut self) -> io::Result<()> {
        let start = Instant::now();
        loop {
            self.server = serve(self.place.path(), &self.settings)?;
            match self.wait_until_ready() {
                // After a kill the sessions of the one before may still be there, and it won't start beside them.
                Err(_) if start.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(50)),
                done => return done,
            }
        }
    }

    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.server.id()).ok().and_then(Pid::from_raw)
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
        let ours = self.server.id().to_string();
        loop {
            let state = fs::read_to_string(&pid_file).unwrap_or_default();
            let mut lines = state.lines().map(str::trim);
            // One that was killed has left its own behind.
            if lines.next() == Some(ours.as_str()) && lines.nth(6) == Some("ready") {
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
        if !matches!(self.server.try_wait(), Ok(None)) {
            return;
        }
        // SIGQUIT is "immediate shutdown": sessions are cut off, and nothing is kept that would be needed later.
        if let Some(pid) = self.pid() {
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

fn command(binary: &Path, home: &Path, account: Option<installed::Account>) -> Command {
    let mut command = Command::new(binary);
    command.current_dir(home).stdin(Stdio::null());
    // Of the terminal's Ctrl-C only the tests shall hear.
    command.process_group(0);
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid);
    }
    command
}

fn serve(home: &Path, settings: &[&str]) -> io::Result<Child> {
    let log = fs::File::options()
        .create(true)
        .append(true)
        .open(home.join("log"))?;
    let binary = installed::binaries()?.join("postgres");
    command(&binary, home, installed::unprivileged()?)
        .args(["-D", "data", "-k"])
        .arg(home)
        .args(settings.iter().flat_map(|s| ["-c", s]))
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
}

#[cfg(test)]
mod tests {
    use diesel_async::{AsyncConnection as _, AsyncPgConnection, SimpleAsyncConnection as _};
    use tokio::task::spawn_blocking;

    use super::*;
    use crate::postgres::url_of;

    #[test]
    fn a_cluster_that_is_killed_has_what_it_acknowledged() {
        crate::run(async {
            let started = spawn_blocking(Cluster::start_surviving).await;
            let mut cluster = started.unwrap().unwrap();
            let url = url_of(cluster.socket_dir(), "postgres");
            for (table, how) in [("a", Stop::Kill), ("b", Stop::Immediate), ("c", Stop::Fast)] {
                let mut connection = AsyncPgConnection::establish(&url).await.unwrap();
                let make = format!("CREATE TABLE {table} (x int)");
                connection.batch_execute(&make).await.unwrap();
                let restarted = spawn_blocking(move || {
                    cluster.stop(how)?;
                    cluster.restart().map(|()| cluster)
                });
                cluster = restarted.await.unwrap().unwrap();
                let mut connection = AsyncPgConnection::establish(&url).await.unwrap();
                let look = format!("SELECT * FROM {table}");
                connection.batch_execute(&look).await.unwrap();
            }
        });
    }
}

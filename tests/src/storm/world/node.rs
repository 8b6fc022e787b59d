//! One process that is killed, paused and started again.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time;

use crate::binaries::clean_command;

/// A start or stop that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// A start that fails, for want of a database for one, is tried again after this, as by any supervisor.
const RESTART: Duration = Duration::from_millis(250);
const LOOK: Duration = Duration::from_millis(10);

/// A process. Dropped, it is killed.
#[derive(Debug)]
pub struct Node {
    name: String,
    binary: PathBuf,
    folder: PathBuf,
    child: Option<Child>,
    /// What it did that nobody asked it to.
    pub misdeeds: Vec<String>,
}

impl Node {
    /// One that has not been started. Keeps its files in `folder` under its `name`.
    pub(super) fn new(name: &str, binary: &Path, folder: &Path, config: &str) -> Self {
        let node = Self {
            name: name.to_owned(),
            binary: binary.to_owned(),
            folder: folder.to_owned(),
            child: None,
            misdeeds: Vec::new(),
        };
        // A port of the system's choice at every start: the one before may have gone to somebody else. Relays find it.
        fs::write(
            node.file("toml"),
            format!("listen = \"127.0.0.1:0\"\n{config}"),
        )
        .expect("the configuration is written");
        node
    }

    /// Starts it, as often as it takes, and waits until it listens.
    ///
    /// # Errors
    /// If that takes too long; the text says what was seen.
    pub async fn up(&mut self) -> Result<SocketAddr, String> {
        let start = Instant::now();
        let told = self.file("addr");
        loop {
            let _ = fs::remove_file(&told);
            self.spawn();
            loop {
                if let Some(address) = fs::read_to_string(&told).ok().and_then(|a| a.parse().ok()) {
                    return Ok(address);
                }
                if self.has_ended() {
                    break;
                }
                if start.elapsed() > PATIENCE {
                    return Err(format!("{} did not come up within {PATIENCE:?}", self.name));
                }
                time::sleep(LOOK).await;
            }
            if start.elapsed() > PATIENCE {
                return Err(format!("{} ends whenever it is started", self.name));
            }
            time::sleep(RESTART).await;
        }
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.note_own_end();
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM, and how it ended.
    ///
    /// # Errors
    /// If it does not end; then it has been killed.
    pub async fn terminate(&mut self) -> Result<ExitStatus, String> {
        self.note_own_end();
        self.signal(Signal::TERM);
        let start = Instant::now();
        while let Some(child) = &mut self.child {
            if let Ok(Some(status)) = child.try_wait() {
                self.child = None;
                return Ok(status);
            }
            if start.elapsed() > PATIENCE {
                self.kill();
                return Err(format!(
                    "{} did not stop within {PATIENCE:?} of SIGTERM",
                    self.name
                ));
            }
            time::sleep(LOOK).await;
        }
        Err(format!("{} was not running", self.name))
    }

    /// SIGSTOP: it is there and does nothing.
    pub fn pause(&mut self) {
        self.note_own_end();
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Whether it runs, or is paused.
    pub fn is_there(&mut self) -> bool {
        self.child.is_some() && !self.has_ended()
    }

    /// What it has logged in all its lives.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.file("log")).unwrap_or_default()
    }

    fn spawn(&mut self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.file("log"))
            .expect("the log can be opened");
        let child = clean_command(&self.binary)
            .args(["serve", "--config"])
            .arg(self.file("toml"))
            .arg("--addr-file")
            .arg(self.file("addr"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log)
            .spawn()
            .expect("a service starts");
        self.child = Some(child);
    }

    fn has_ended(&mut self) -> bool {
        self.child
            .as_mut()
            .is_none_or(|child| !matches!(child.try_wait(), Ok(None)))
    }

    /// A process that is up ends only when it is told to.
    fn note_own_end(&mut self) {
        if let Some(child) = &mut self.child
            && let Ok(Some(status)) = child.try_wait()
        {
            self.misdeeds
                .push(format!("{} ended by itself: {status}", self.name));
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.as_ref().map(|child| child.id().cast_signed());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            // Of a child that has not been waited for the pid is its own, dead or alive.
            let _ = kill_process(pid, signal);
        }
    }

    fn file(&self, extension: &str) -> PathBuf {
        self.folder.join(format!("{}.{extension}", self.name))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

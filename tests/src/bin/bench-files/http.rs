//! Plain HTTP: curl as the client of both, nginx as the peer.

use std::{
    fs,
    path::Path,
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::Told;

/// How long nginx may take to come, which includes fetching it.
const PATIENCE: Duration = Duration::from_secs(120);

/// An nginx that serves a folder.
pub struct Nginx {
    script: Child,
    port: String,
}

impl Nginx {
    /// Starts it by the script that brings it; it keeps its port in `place`.
    pub fn start(script: &Path, place: &Path, folder: &Path) -> Told<Self> {
        let port_file = place.join("nginx.port");
        let child = Command::new(script)
            .arg(folder)
            .arg(&port_file)
            .spawn()
            .map_err(|e| format!("{}: {e}", script.display()))?;
        let mut nginx = Self {
            script: child,
            port: String::new(),
        };
        let begun = Instant::now();
        while nginx.port.is_empty() {
            let ended = nginx.script.try_wait().map_err(|e| e.to_string())?;
            if ended.is_some() || begun.elapsed() > PATIENCE {
                return Err("nginx does not serve".into());
            }
            thread::yield_now();
            let told = fs::read_to_string(&port_file).unwrap_or_default();
            told.trim().clone_into(&mut nginx.port);
        }
        Ok(nginx)
    }

    /// Where a file of the folder is.
    pub fn url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}", self.port)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Told and not killed, so that it ends its own child.
        if let Some(pid) = Pid::from_raw(self.script.id().cast_signed()) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.script.wait();
    }
}

/// Fetches a file with curl and forgets it.
pub async fn fetch(url: &str, token: &str, size: u64) -> Told<Duration> {
    let begun = Instant::now();
    let mut curl = tokio::process::Command::new("curl");
    curl.args([
        "--silent",
        "--show-error",
        "--fail",
        "--output",
        "/dev/null",
    ])
    .args(["--write-out", "%{size_download}"]);
    if !token.is_empty() {
        curl.arg("--header")
            .arg(format!("Authorization: Bearer {token}"));
    }
    let output = curl.arg(url).output().await;
    let output = output.map_err(|e| format!("curl can't be run: {e}"))?;
    let took = begun.elapsed();
    let told = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || told.trim() != size.to_string() {
        let problem = String::from_utf8_lossy(&output.stderr);
        return Err(format!("curl got {told} bytes of {size}: {problem}"));
    }
    Ok(took)
}

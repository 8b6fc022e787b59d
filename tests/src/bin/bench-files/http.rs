//! Plain HTTP: curl as the client of both, nginx as the peer.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::Told;

/// An nginx that serves one file as it serves files at its best: sendfile, no log.
pub struct Nginx {
    child: Child,
    port: u16,
}

impl Nginx {
    /// Starts it; it keeps its files in `folder`.
    pub fn start(folder: &Path, file: &Path) -> Told<Self> {
        let home = folder.join("nginx");
        fs::create_dir_all(&home).map_err(|e| e.to_string())?;
        // nginx takes no port 0: a port that was free a moment ago has to do.
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .map_err(|e| e.to_string())?
            .port();
        let config = home.join("nginx.conf");
        let text = format!(
            "daemon off; master_process off; user root; pid {home}/pid; error_log {home}/error.log;\n\
             events {{}}\n\
             http {{ access_log off; sendfile on; tcp_nopush on;\n\
             client_body_temp_path {home}/body; proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/fastcgi;\n\
             uwsgi_temp_path {home}/uwsgi; scgi_temp_path {home}/scgi;\n\
             server {{ listen 127.0.0.1:{port}; location = /file {{ alias {file}; }} }} }}\n",
            home = home.display(),
            file = file.display(),
        );
        fs::write(&config, text).map_err(|e| e.to_string())?;
        let child = Command::new("nginx")
            .arg("-c")
            .arg(&config)
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| {
                format!("nginx can't be run (Debian's package nginx-light has it): {e}")
            })?;
        let mut nginx = Self { child, port };
        let begun = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = nginx.child.try_wait().map_err(|e| e.to_string())?;
            if ended.is_some() || begun.elapsed() > Duration::from_secs(10) {
                let log = fs::read_to_string(home.join("error.log")).unwrap_or_default();
                return Err(format!("nginx does not serve: {log}"));
            }
            std::thread::yield_now();
        }
        Ok(nginx)
    }

    /// Where the file is.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/file", self.port)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
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

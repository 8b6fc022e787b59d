//! A service as a process that can be killed, stopped, frozen and started again at the same address.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{
    binaries::clean_command,
    deadline::{eventually, failing},
};

/// What a process says when its port is taken, which can befall one that comes back to its old port.
const PORT_TAKEN: &str = "in use";

/// A service under test. Dropped, it is killed; if the test is failing, its log is shown.
#[derive(Debug)]
pub struct Service {
    name: String,
    binary: PathBuf,
    folder: PathBuf,
    address: Option<SocketAddr>,
    child: Option<Child>,
    faults: String,
}

impl Service {
    /// A service that has not been started. It keeps its files in `folder` under its `name`.
    #[must_use]
    pub fn new(name: &str, binary: &Path, folder: &Path) -> Self {
        Self {
            name: name.to_owned(),
            binary: binary.to_owned(),
            folder: folder.to_owned(),
            address: None,
            child: None,
            faults: String::new(),
        }
    }

    /// Starts it with this configuration, below the line that says where to listen, and waits until it serves.
    pub async fn start(&mut self, config: &str) {
        self.launch(config).await;
        let mut health = HealthClient::new(self.endpoint().connect_lazy());
        eventually(format!("{} is serving", self.name), async || {
            self.assert_running();
            let answer = health.check(HealthCheckRequest::default()).await.ok()?;
            (answer.into_inner().status() == ServingStatus::Serving).then_some(())
        })
        .await;
    }

    /// From its next start on, these fault points are armed; see `vfolder_common::fault`.
    pub fn arm(&mut self, faults: &str) {
        faults.clone_into(&mut self.faults);
    }

    /// Starts it again where it was, as it was configured last, and does not wait.
    pub fn revive(&mut self) {
        self.child = None;
        let config = fs::read_to_string(self.config_file()).expect("it has been configured");
        let (_, rest) = config.split_once('\n').expect("the address has a line");
        self.configure(&self.address().to_string(), rest);
        let address_file = self.file("addr");
        let _ = fs::remove_file(&address_file);
        self.spawn(&address_file);
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let child = self.child.as_mut().expect("it was started");
        child.try_wait().expect("our own child can be waited for")
    }

    /// Starts it and waits only until it listens.
    pub async fn launch(&mut self, config: &str) {
        assert!(self.child.is_none(), "{} runs already", self.name);
        let listen = self
            .address
            .map_or_else(|| "127.0.0.1:0".to_owned(), |a| a.to_string());
        self.configure(&listen, config);
        let address_file = self.file("addr");
        let _ = fs::remove_file(&address_file);
        self.spawn(&address_file);
        let address = eventually(format!("{} listens", self.name), async || {
            if self.address.is_some() && self.has_ended() && self.log().contains(PORT_TAKEN) {
                self.spawn(&address_file);
            }
            self.assert_running();
            fs::read_to_string(&address_file).ok()?.parse().ok()
        })
        .await;
        self.address = Some(address);
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("our own child can be killed");
            child.wait().expect("our own child can be waited for");
        }
    }

    /// SIGTERM, and how it ended.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        let what = format!("{} stops after SIGTERM", self.name);
        let status = eventually(what, async || {
            let child = self.child.as_mut().expect("it runs");
            child.try_wait().expect("our own child can be waited for")
        })
        .await;
        self.child = None;
        status
    }

    /// SIGTERM, without waiting.
    pub fn request_stop(&self) {
        self.signal(Signal::TERM);
    }

    /// Freezes it: the process is there and does nothing.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a frozen process go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address.expect("it has been started")
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The file with its configuration.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.file("toml")
    }

    /// A connection that is made when it is first used, and made again when it breaks.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.endpoint().connect_lazy()
    }

    /// What it has logged since the system was built.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.file("log")).unwrap_or_default()
    }

    /// The process's id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    fn configure(&self, listen: &str, config: &str) {
        let text = format!("listen = \"{listen}\"\n{config}");
        fs::write(self.config_file(), text).expect("the configuration is written");
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint::from_shared(self.url())
            .expect("an address makes a URL")
            .connect_timeout(Duration::from_secs(5))
    }

    fn spawn(&mut self, address_file: &Path) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.file("log"))
            .expect("the log can be opened");
        let child = clean_command(&self.binary)
            .args(["serve", "--config"])
            .arg(self.config_file())
            .arg("--addr-file")
            .arg(address_file)
            .env("VFOLDER_FAULTS", &self.faults)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log)
            .spawn()
            .expect("a service starts");
        self.child = Some(child);
    }

    fn has_ended(&mut self) -> bool {
        self.ended().is_some()
    }

    fn assert_running(&mut self) {
        assert!(!self.has_ended(), "{} has ended: {}", self.name, self.log());
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid().cast_signed()).expect("a process has a pid");
        kill_process(pid, signal).expect("our own child takes signals");
    }

    fn file(&self, extension: &str) -> PathBuf {
        self.folder.join(format!("{}.{extension}", self.name))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if failing() {
            eprintln!("--- log of {} ---\n{}", self.name, self.log());
        }
    }
}

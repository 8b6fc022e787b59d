//! A storage-proxy process to talk to.

use std::{
    fs,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;
use tokio_stream::StreamExt as _;
use tonic::{Code, Request, Status, transport::Channel};
use tonic_types::StatusExt as _;
use uuid::Uuid;
use vfolder_common::token::{GRANT_HEADER, Grant, GrantMode, SERVICE_HEADER, SharedSecret};
use vfolder_proto::{
    storage::{
        CreateTree, RunTaskRequest, SetQuotasRequest, TaskOutcome, TreeQuota, VFolderQuota,
        run_task_request::Task, run_task_response::News,
        storage_service_client::StorageServiceClient,
    },
    v1::file_service_client::FileServiceClient,
};

use crate::support::reachable;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_storage-proxy");
const RELEASE: &str = "release";
const SECRET: &str = "0123456789abcdef0123456789abcdef";
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Proxy {
    pub dir: TempDir,
    pub process: Child,
    pub channel: Channel,
    pub secret: SharedSecret,
}

pub fn set_up() -> TempDir {
    set_up_in(tempfile::tempdir().unwrap())
}

/// A configuration and a volume, in `dir`.
pub fn set_up_in(dir: TempDir) -> TempDir {
    let path = dir.path().to_str().unwrap();
    fs::write(dir.path().join("secret"), SECRET).unwrap();
    let config = format!(
        "listen = \"127.0.0.1:0\"\nsecret_file = \"{path}/secret\"\n\
         [[volumes]]\nname = \"v\"\npath = \"{path}/v\"\n\
         [[volumes]]\nname = \"gone\"\npath = \"{path}/gone\"\n"
    );
    fs::write(dir.path().join("config.toml"), config).unwrap();
    let made = Command::new(PROGRAM)
        .args(["volume", "init", "--name", "v", &format!("{path}/v")])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    dir
}

pub fn serve(dir: &Path) -> Child {
    let mut command = command(dir);
    command.stderr(Stdio::piped()).spawn().unwrap()
}

fn command(dir: &Path) -> Command {
    command_of(Path::new(PROGRAM), dir)
}

fn command_of(program: &Path, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .arg("serve")
        .arg("--config")
        .arg(dir.join("config.toml"))
        .arg("--addr-file")
        .arg(dir.join("addr"))
        .env_remove("VFOLDER_FAULTS");
    command
}

impl Proxy {
    pub async fn start() -> Self {
        Self::start_in(set_up()).await
    }

    pub async fn start_in(dir: TempDir) -> Self {
        let _ = fs::remove_file(dir.path().join("addr"));
        let process = serve(dir.path());
        match Self::connect(dir, process).await {
            Ok(proxy) => proxy,
            Err((_, ended)) => panic!("it ended: {ended}"),
        }
    }

    /// With fault points armed, of which it may die before it listens. Its log is in the directory, too. Who is held at a
    /// point is released by [`Proxy::release`].
    pub async fn start_armed(dir: TempDir, faults: &str) -> Result<Self, (TempDir, ExitStatus)> {
        Self::start_as(geteuid().as_raw(), dir, faults).await
    }

    /// As that user, who owns the directory.
    pub async fn start_as(
        user: u32,
        dir: TempDir,
        faults: &str,
    ) -> Result<Self, (TempDir, ExitStatus)> {
        let _ = fs::remove_file(dir.path().join("addr"));
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let mut command = command(dir.path());
        if user != geteuid().as_raw() {
            command = command_of(&reachable(Path::new(PROGRAM), dir.path()), dir.path());
            command.uid(user).gid(user);
        }
        let _ = fs::remove_file(dir.path().join(RELEASE));
        command.env("VFOLDER_RELEASE", dir.path().join(RELEASE));
        let process = command.env("VFOLDER_FAULTS", faults).stderr(log).spawn();
        let process = process.unwrap();
        Self::connect(dir, process).await
    }

    /// Lets go on who is held at a fault point, and whoever comes to it later.
    pub fn release(&self) {
        fs::write(self.dir.path().join(RELEASE), "").unwrap();
    }

    async fn connect(dir: TempDir, mut process: Child) -> Result<Self, (TempDir, ExitStatus)> {
        let begun = Instant::now();
        let address = loop {
            if let Ok(address) = fs::read_to_string(dir.path().join("addr")) {
                break address;
            }
            if let Some(ended) = process.try_wait().unwrap() {
                return Err((dir, ended));
            }
            assert!(begun.elapsed() < PATIENCE, "it does not listen");
            thread::sleep(Duration::from_millis(5));
        };
        let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
        Ok(Self {
            dir,
            process,
            // One that has died of a fault by now is met by the first call.
            channel: endpoint.connect_lazy(),
            secret: SharedSecret::new(SECRET.as_bytes()).unwrap(),
        })
    }

    /// Waits until it has died of SIGKILL.
    pub async fn died(mut self, of: &str) -> TempDir {
        let begun = Instant::now();
        let ended = loop {
            if let Some(ended) = self.process.try_wait().unwrap() {
                break ended;
            }
            assert!(begun.elapsed() < PATIENCE, "it lives on, armed with {of}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        };
        assert_eq!(ended.signal(), Some(Signal::KILL.as_raw()), "{of}");
        self.take_dir()
    }

    /// Kills it.
    pub fn kill(mut self) -> TempDir {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.take_dir()
    }

    fn take_dir(&mut self) -> TempDir {
        std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap())
    }

    pub fn stop(mut self) -> TempDir {
        kill_process(Pid::from_child(&self.process), Signal::TERM).unwrap();
        let begun = Instant::now();
        let ended = loop {
            if let Some(ended) = self.process.try_wait().unwrap() {
                break ended;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not stop");
            thread::sleep(Duration::from_millis(5));
        };
        assert!(ended.success(), "{ended}");
        self.take_dir()
    }

    pub fn storage(&self) -> StorageServiceClient<Channel> {
        StorageServiceClient::new(self.channel.clone())
    }

    pub fn files(&self) -> FileServiceClient<Channel> {
        FileServiceClient::new(self.channel.clone())
    }

    pub fn signed<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let token = self.secret.sign_service_token().unwrap();
        request
            .metadata_mut()
            .insert(SERVICE_HEADER, token.parse().unwrap());
        request
    }

    /// Tells it the quota of a vfolder on "v".
    pub async fn set_quota(&self, vfolder: Uuid, quota: TreeQuota) {
        let request = SetQuotasRequest {
            volume: "v".into(),
            vfolders: vec![VFolderQuota {
                vfolder_id: vfolder.to_string(),
                quota: Some(quota),
            }],
        };
        let set = self.storage().set_quotas(self.signed(request)).await;
        set.unwrap();
    }

    pub fn granted<T>(&self, vfolder: Uuid, mode: GrantMode, message: T) -> Request<T> {
        self.granted_at(1, vfolder, mode, message)
    }

    pub fn granted_at<T>(
        &self,
        epoch: i64,
        vfolder: Uuid,
        mode: GrantMode,
        message: T,
    ) -> Request<T> {
        let grant = Grant {
            vfolder,
            volume: "v".into(),
            mode,
            epoch,
            subject: "u".into(),
            path: Vec::new(),
            quota: None,
        };
        let mut request = Request::new(message);
        let token = self
            .secret
            .sign_grant(&grant, Duration::from_secs(60))
            .unwrap();
        request
            .metadata_mut()
            .insert(GRANT_HEADER, token.parse().unwrap());
        request
    }

    pub async fn run(&self, operation: Uuid, task: Task) -> Result<TaskOutcome, Status> {
        self.run_at(1, operation, task).await
    }

    pub async fn run_at(
        &self,
        epoch: i64,
        operation: Uuid,
        task: Task,
    ) -> Result<TaskOutcome, Status> {
        let request = RunTaskRequest {
            operation_id: operation.to_string(),
            volume: "v".into(),
            epoch,
            task: Some(task),
            ..RunTaskRequest::default()
        };
        let mut news = self
            .storage()
            .run_task(self.signed(request))
            .await?
            .into_inner();
        while let Some(one) = news.next().await {
            if let Some(News::Outcome(outcome)) = one?.news {
                return Ok(outcome);
            }
        }
        panic!("the stream ended without an outcome");
    }

    pub async fn create(&self) -> Uuid {
        let vfolder = Uuid::now_v7();
        let task = Task::CreateTree(CreateTree {
            vfolder_id: vfolder.to_string(),
        });
        assert_eq!(self.run(Uuid::now_v7(), task).await.unwrap().failure, None);
        vfolder
    }

    pub fn tree(&self, vfolder: Uuid) -> PathBuf {
        self.dir
            .path()
            .join("v")
            .join(vfolder_storage_proxy::volume::tree_path(vfolder))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub fn refused<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, String) {
    let status = answer.unwrap_err();
    let info = status
        .get_details_error_info()
        .unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
    (status.code(), info.reason)
}

pub fn wrong_fields<T: std::fmt::Debug>(answer: Result<T, Status>) -> Vec<String> {
    let status = answer.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let fields = status.get_details_bad_request().unwrap().field_violations;
    fields.into_iter().map(|one| one.field).collect()
}

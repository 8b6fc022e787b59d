//! The served process, over the wire.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio_stream::StreamExt as _;
use tonic::{Code, Request, Status, transport::Channel};
use tonic_types::StatusExt as _;
use uuid::Uuid;
use vfolder_common::token::{GRANT_HEADER, Grant, GrantMode, SERVICE_HEADER, SharedSecret};
use vfolder_proto::{
    storage::{
        CancelTaskRequest, CloneTree, CreateTree, ForgetTaskRequest, GetTreeUsageRequest,
        GetVolumeRequest, HandshakeRequest, ListVolumeContentsRequest, PurgeTree, RunTaskRequest,
        StatTreeRequest, StorageVolumeState, TaskOutcome, run_task_request::Task,
        run_task_response::News, storage_service_client::StorageServiceClient,
    },
    v1::{
        CreateDirectoryRequest, FileType, ListFilesRequest, file_service_client::FileServiceClient,
    },
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_storage-proxy");
const SECRET: &str = "0123456789abcdef0123456789abcdef";
const PATIENCE: Duration = Duration::from_secs(20);

struct Proxy {
    dir: TempDir,
    process: Child,
    channel: Channel,
    secret: SharedSecret,
}

fn set_up() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
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

fn serve(dir: &Path) -> Child {
    let mut command = Command::new(PROGRAM);
    command
        .arg("serve")
        .arg("--config")
        .arg(dir.join("config.toml"))
        .arg("--addr-file")
        .arg(dir.join("addr"));
    command.stderr(Stdio::piped()).spawn().unwrap()
}

impl Proxy {
    async fn start() -> Self {
        Self::start_in(set_up()).await
    }

    async fn start_in(dir: TempDir) -> Self {
        let _ = fs::remove_file(dir.path().join("addr"));
        let mut process = serve(dir.path());
        let begun = Instant::now();
        let address = loop {
            if let Ok(address) = fs::read_to_string(dir.path().join("addr")) {
                break address;
            }
            assert!(process.try_wait().unwrap().is_none(), "it ended");
            assert!(begun.elapsed() < PATIENCE, "it does not listen");
            thread::sleep(Duration::from_millis(5));
        };
        let channel = Channel::from_shared(format!("http://{address}"))
            .unwrap()
            .connect()
            .await
            .unwrap();
        Self {
            dir,
            process,
            channel,
            secret: SharedSecret::new(SECRET.as_bytes()).unwrap(),
        }
    }

    fn stop(mut self) -> TempDir {
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
        std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap())
    }

    fn storage(&self) -> StorageServiceClient<Channel> {
        StorageServiceClient::new(self.channel.clone())
    }

    fn files(&self) -> FileServiceClient<Channel> {
        FileServiceClient::new(self.channel.clone())
    }

    fn signed<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let token = self.secret.sign_service_token().unwrap();
        request
            .metadata_mut()
            .insert(SERVICE_HEADER, token.parse().unwrap());
        request
    }

    fn granted<T>(&self, vfolder: Uuid, mode: GrantMode, message: T) -> Request<T> {
        let grant = Grant {
            vfolder,
            volume: "v".into(),
            mode,
            epoch: 1,
            subject: "u".into(),
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

    async fn run(&self, operation: Uuid, task: Task) -> Result<TaskOutcome, Status> {
        let request = RunTaskRequest {
            operation_id: operation.to_string(),
            volume: "v".into(),
            epoch: 1,
            task: Some(task),
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

    async fn create(&self) -> Uuid {
        let vfolder = Uuid::now_v7();
        let task = Task::CreateTree(CreateTree {
            vfolder_id: vfolder.to_string(),
        });
        assert_eq!(self.run(Uuid::now_v7(), task).await.unwrap().failure, None);
        vfolder
    }

    fn tree(&self, vfolder: Uuid) -> PathBuf {
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

fn refused<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, String) {
    let status = answer.unwrap_err();
    let info = status
        .get_details_error_info()
        .unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
    (status.code(), info.reason)
}

fn wrong_fields<T: std::fmt::Debug>(answer: Result<T, Status>) -> Vec<String> {
    let status = answer.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let fields = status.get_details_bad_request().unwrap().field_violations;
    fields.into_iter().map(|one| one.field).collect()
}

#[tokio::test]
async fn a_vfolders_trees_are_made_used_copied_and_destroyed() {
    let proxy = Proxy::start().await;
    let vfolder = proxy.create().await;
    let id = vfolder.to_string();
    let make = |path: &str, bytes: &[u8]| {
        let (path, path_bytes) = (path.to_owned(), bytes.to_vec().into());
        let message = CreateDirectoryRequest {
            vfolder_id: id.clone(),
            path,
            path_bytes,
            parents: true,
            mode: 0o2770,
        };
        proxy.granted(vfolder, GrantMode::ReadWrite, message)
    };
    let made = proxy
        .files()
        .create_directory(make("a/b", b""))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (made.name.as_str(), made.mode, made.r#type()),
        ("b", 0o2770, FileType::Directory)
    );
    proxy
        .files()
        .create_directory(make("", b"a/\xff"))
        .await
        .unwrap();
    std::os::unix::fs::symlink("/etc", proxy.tree(vfolder).join("out")).unwrap();

    let list = |path: &str, page_size, page_token: &str| {
        let (path, page_token) = (path.to_owned(), page_token.to_owned());
        let message = ListFilesRequest {
            vfolder_id: id.clone(),
            path,
            path_bytes: Default::default(),
            page_size,
            page_token,
        };
        proxy.granted(vfolder, GrantMode::ReadOnly, message)
    };
    let first = proxy
        .files()
        .list_files(list("a", 1, ""))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(first.entries[0].name, "b");
    let second = proxy
        .files()
        .list_files(list("a", 1, &first.next_page_token))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (
            &second.entries[0].name_bytes[..],
            second.next_page_token.as_str()
        ),
        (&b"\xff"[..], "")
    );

    for (request, fields) in [
        (list("../x", 0, ""), vec!["path"]),
        (list("a", -1, "zz"), vec!["page_size", "page_token"]),
        (list("", 1, &first.next_page_token), vec!["page_token"]),
    ] {
        assert_eq!(
            wrong_fields(proxy.files().list_files(request).await),
            fields
        );
    }
    for (path, code, reason) in [
        ("none", Code::NotFound, "FILE_NOT_FOUND"),
        ("out", Code::FailedPrecondition, "SYMLINK_IN_PATH"),
        ("out/passwd", Code::FailedPrecondition, "SYMLINK_IN_PATH"),
    ] {
        assert_eq!(
            refused(proxy.files().list_files(list(path, 0, "")).await),
            (code, reason.to_owned())
        );
    }

    let copy = Uuid::now_v7();
    let clone = Task::CloneTree(CloneTree {
        source_id: id.clone(),
        vfolder_id: copy.to_string(),
    });
    let operation = Uuid::now_v7();
    let outcome = proxy.run(operation, clone.clone()).await.unwrap();
    assert_eq!(
        (outcome.failure, outcome.progress.unwrap().entries_done),
        (None, 5)
    );
    assert_eq!(
        fs::read_link(proxy.tree(copy).join("out")).unwrap(),
        Path::new("/etc")
    );
    let other = Task::CreateTree(CreateTree {
        vfolder_id: copy.to_string(),
    });
    assert_eq!(
        wrong_fields(proxy.run(operation, other).await),
        ["operation_id"]
    );
    let on_tree = |id: &str| {
        proxy.signed(StatTreeRequest {
            volume: "v".into(),
            vfolder_id: id.into(),
        })
    };
    assert!(
        proxy
            .storage()
            .stat_tree(on_tree(&id))
            .await
            .unwrap()
            .into_inner()
            .exists
    );
    let count = proxy.signed(GetTreeUsageRequest {
        volume: "v".into(),
        vfolder_id: copy.to_string(),
    });
    assert_eq!(
        proxy
            .storage()
            .get_tree_usage(count)
            .await
            .unwrap()
            .into_inner()
            .entries,
        5
    );

    let purge = Task::PurgeTree(PurgeTree {
        vfolder_id: id.clone(),
    });
    assert_eq!(
        proxy.run(Uuid::now_v7(), purge).await.unwrap().failure,
        None
    );
    assert!(
        !proxy
            .storage()
            .stat_tree(on_tree(&id))
            .await
            .unwrap()
            .into_inner()
            .exists
    );
    let gone = refused(proxy.files().list_files(list("", 0, "")).await);
    assert_eq!(gone, (Code::NotFound, "VFOLDER_NOT_FOUND".into()));
}

#[tokio::test]
async fn nobody_calls_without_a_token_or_beyond_a_grant() {
    let proxy = Proxy::start().await;
    let vfolder = proxy.create().await;
    let handshake = HandshakeRequest { nonce: "n".into() };
    let bare = proxy.storage().handshake(handshake.clone()).await;
    assert_eq!(
        refused(bare),
        (Code::Unauthenticated, "GRANT_MISSING".into())
    );
    let mut forged = Request::new(handshake);
    forged
        .metadata_mut()
        .insert(SERVICE_HEADER, "x.y.z".parse().unwrap());
    assert_eq!(
        refused(proxy.storage().handshake(forged).await),
        (Code::Unauthenticated, "GRANT_INVALID".into())
    );

    let list = ListFilesRequest {
        vfolder_id: vfolder.to_string(),
        ..Default::default()
    };
    assert_eq!(
        refused(proxy.files().list_files(list.clone()).await).1,
        "GRANT_MISSING"
    );
    // A service token is no grant.
    let mut other = Request::new(list.clone());
    let token = proxy.secret.sign_service_token().unwrap();
    other
        .metadata_mut()
        .insert(GRANT_HEADER, token.parse().unwrap());
    assert_eq!(
        refused(proxy.files().list_files(other).await).1,
        "GRANT_INVALID"
    );
    let elsewhere = proxy.granted(Uuid::now_v7(), GrantMode::ReadWrite, list);
    assert_eq!(
        refused(proxy.files().list_files(elsewhere).await),
        (Code::PermissionDenied, "GRANT_TOO_SMALL".into())
    );
    let make = CreateDirectoryRequest {
        vfolder_id: vfolder.to_string(),
        path: "x".into(),
        ..Default::default()
    };
    let reading = proxy.granted(vfolder, GrantMode::ReadOnly, make);
    assert_eq!(
        refused(proxy.files().create_directory(reading).await).1,
        "GRANT_TOO_SMALL"
    );
}

#[tokio::test]
async fn wrong_requests_name_their_fields() {
    let proxy = Proxy::start().await;
    let mut storage = proxy.storage();
    assert_eq!(
        wrong_fields(
            storage
                .handshake(proxy.signed(HandshakeRequest::default()))
                .await
        ),
        ["nonce"]
    );
    assert_eq!(
        wrong_fields(
            storage
                .run_task(proxy.signed(RunTaskRequest {
                    epoch: -1,
                    ..Default::default()
                }))
                .await
        ),
        ["operation_id", "volume", "epoch", "task"]
    );
    assert_eq!(
        wrong_fields(
            storage
                .cancel_task(proxy.signed(CancelTaskRequest::default()))
                .await
        ),
        ["operation_id", "vfolder_id"]
    );
    assert_eq!(
        wrong_fields(
            storage
                .forget_task(proxy.signed(ForgetTaskRequest::default()))
                .await
        ),
        ["operation_id"]
    );
    assert_eq!(
        wrong_fields(
            storage
                .stat_tree(proxy.signed(StatTreeRequest::default()))
                .await
        ),
        ["vfolder_id"]
    );
    let unknown = proxy.signed(GetVolumeRequest { volume: "w".into() });
    assert_eq!(
        refused(storage.get_volume(unknown).await),
        (Code::NotFound, "VOLUME_NOT_FOUND".into())
    );
}

#[tokio::test]
async fn volumes_tell_how_they_are() {
    let proxy = Proxy::start().await;
    let answer = proxy
        .storage()
        .handshake(proxy.signed(HandshakeRequest { nonce: "n".into() }))
        .await
        .unwrap();
    let answer = answer.into_inner();
    proxy.secret.verify_proof(&answer.proof, "n").unwrap();
    let [gone, v] = &answer.volumes[..] else {
        panic!("{answer:?}")
    };
    assert_eq!(
        (gone.name.as_str(), gone.state()),
        ("gone", StorageVolumeState::Unavailable)
    );
    assert!(!gone.message.is_empty());
    assert_eq!(
        (v.name.as_str(), v.state()),
        ("v", StorageVolumeState::Serving)
    );
    assert!(v.total_bytes >= v.available_bytes && v.available_bytes > 0);
    let vfolder = proxy.create().await;
    let list = proxy.signed(ListVolumeContentsRequest { volume: "v".into() });
    let contents: Vec<_> = proxy
        .storage()
        .list_volume_contents(list)
        .await
        .unwrap()
        .into_inner()
        .collect()
        .await;
    assert!(
        contents
            .iter()
            .any(|one| one.as_ref().is_ok_and(|one| one.id == vfolder.to_string())),
        "{contents:?}"
    );
    let gone = proxy.signed(StatTreeRequest {
        volume: "gone".into(),
        vfolder_id: vfolder.to_string(),
    });
    assert_eq!(
        refused(proxy.storage().stat_tree(gone).await),
        (Code::Unavailable, "VOLUME_UNAVAILABLE".into())
    );
}

#[tokio::test]
async fn it_stops_on_sigterm_and_remembers_after_a_restart() {
    let proxy = Proxy::start().await;
    let source = proxy.create().await;
    fs::write(proxy.tree(source).join("file"), "x").unwrap();
    let (operation, copy) = (Uuid::now_v7(), Uuid::now_v7());
    let clone = Task::CloneTree(CloneTree {
        source_id: source.to_string(),
        vfolder_id: copy.to_string(),
    });
    let first = proxy.run(operation, clone.clone()).await.unwrap();
    let second_owner = serve(proxy.dir.path()).wait_with_output().unwrap();
    assert!(!second_owner.status.success());
    let words = String::from_utf8_lossy(&second_owner.stderr).into_owned();
    assert!(
        words.contains(&format!("process {}", proxy.process.id())),
        "{words}"
    );
    let proxy = Proxy::start_in(proxy.stop()).await;
    let again = proxy.run(operation, clone).await.unwrap();
    assert_eq!((again.failure, again.progress), (None, first.progress));
}

#[tokio::test]
async fn health_is_public_and_told_by_the_program_too() {
    let proxy = Proxy::start().await;
    let address = fs::read_to_string(proxy.dir.path().join("addr")).unwrap();
    let ask = |address: &str| -> Output {
        let mut command = Command::new(PROGRAM);
        command
            .arg("health")
            .arg("--config")
            .arg(proxy.dir.path().join("config.toml"));
        command.args(["--address", address]).output().unwrap()
    };
    assert!(ask(&address).status.success());
    assert!(!ask("127.0.0.1:1").status.success());
}

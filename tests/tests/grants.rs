//! Grants from the manager, used at the storage-proxy itself, over gRPC and plain HTTP: who gets one, and when it ends.

use std::{fs, process::Command, time::SystemTime};

use tonic::{Code, Request, Status, transport::Channel};
use vfolder_proto::v1::{
    CreateDirectoryRequest, CreateGrantRequest, Grant, ListFilesRequest, MountMode,
    PauseVolumeRequest, PurgeVFolderRequest, RemoveTreeRequest, VFolder, VFolderPermission,
    file_service_client::FileServiceClient,
};
use vfolder_tests::{
    Engine, System, assert_field_refused, assert_refused, eventually, on_each_engine,
};

on_each_engine!(
    a_grant_opens_the_direct_way_and_says_where_it_is,
    a_write_grant_ends_with_a_clone,
    a_write_grant_ends_with_the_trash,
    every_grant_ends_with_a_purge,
    a_grant_ends_with_what_still_waits_for_its_turn,
    who_may_not_gets_none,
    a_grant_for_a_directory_leads_no_further,
    a_storage_proxy_that_is_away_or_serves_nobody_is_told_of,
);

fn bearing<T>(grant: &Grant, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {}", grant.token).parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

fn files(grant: &Grant) -> FileServiceClient<Channel> {
    let channel = Channel::from_shared(grant.grpc_url.clone()).unwrap();
    FileServiceClient::new(channel.connect_lazy())
}

async fn mkdir(grant: &Grant, id: &str, path: &str) -> Result<(), Status> {
    let request = CreateDirectoryRequest {
        vfolder_id: id.into(),
        path: path.into(),
        ..CreateDirectoryRequest::default()
    };
    let made = files(grant).create_directory(bearing(grant, request)).await;
    made.map(drop)
}

async fn list(grant: &Grant, id: &str, path: &str) -> Result<(), Status> {
    let request = ListFilesRequest {
        vfolder_id: id.into(),
        path: path.into(),
        ..ListFilesRequest::default()
    };
    files(grant)
        .list_files(bearing(grant, request))
        .await
        .map(drop)
}

/// By curl: the status, and the body.
async fn curl(grant: &Grant, path: &str, more: &[&str]) -> (u16, String) {
    let mut command = Command::new("curl");
    command
        .args([
            "-sS",
            "--path-as-is",
            "--max-time",
            "60",
            "-w",
            "\n%{http_code}",
            "-H",
        ])
        .arg(format!("Authorization: Bearer {}", grant.token))
        .args(more)
        .arg(format!("{}{path}", grant.http_url));
    let done = tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap();
    let done = done.expect("curl is installed");
    assert!(done.status.success(), "{done:?}");
    let text = String::from_utf8(done.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), body.to_owned())
}

const NEW_UPLOAD: [&str; 8] = [
    "-X",
    "POST",
    "-H",
    "Tus-Resumable: 1.0.0",
    "-H",
    "Upload-Length: 1",
    "-H",
    "Upload-Metadata: filename bmV3",
];

/// The direct way and plain HTTP refuse it as what was good once.
async fn assert_write_refused(grant: &Grant, id: &str) {
    assert_refused(
        mkdir(grant, id, "after").await,
        Code::Aborted,
        "GRANT_STALE",
    );
    let (status, body) = curl(grant, "/uploads", &NEW_UPLOAD).await;
    assert!(
        status == 409 && body.contains("GRANT_STALE"),
        "{status} {body}"
    );
}

async fn assert_reads(grant: &Grant, id: &str) {
    list(grant, id, "").await.unwrap();
    assert_eq!(curl(grant, "/files/f", &[]).await, (200, "data".into()));
}

async fn a_grant_opens_the_direct_way_and_says_where_it_is(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    fs::write(system.tree(&id).join("f"), "data").unwrap();
    let read = alice.grant(&id, MountMode::Unspecified).await.unwrap();
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    let life = read.expire_time.unwrap().seconds - i64::try_from(now.as_secs()).unwrap();
    assert!((890..=901).contains(&life), "{life}");
    assert_eq!(read.http_url, format!("{}/v1/vfolders/{id}", read.grpc_url));
    assert_reads(&read, &id).await;
    let refused = mkdir(&read, &id, "d").await;
    assert_refused(refused, Code::PermissionDenied, "GRANT_TOO_SMALL");
    let write = alice.grant(&id, MountMode::ReadWrite).await.unwrap();
    mkdir(&write, &id, "d").await.unwrap();
    assert!(system.tree(&id).join("d").is_dir());
    let log = system.manager.log() + &system.storage.log();
    for token in [&read.token, &write.token] {
        let (_, signature) = token.rsplit_once('.').unwrap();
        assert!(!log.contains(signature));
    }
    system.assert_sound().await;
}

async fn a_write_grant_ends_with_a_clone(engine: Engine) {
    let mut system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    fs::write(system.tree(&id).join("f"), "data").unwrap();
    let write = alice.grant(&id, MountMode::ReadWrite).await.unwrap();
    mkdir(&write, &id, "before").await.unwrap();
    let clone = alice.clone_to(&id, "copy").await.unwrap();
    assert!(alice.wait(&clone.name).await.done);
    assert_write_refused(&write, &id).await;
    let new = alice.grant(&id, MountMode::ReadWrite).await.unwrap();
    mkdir(&new, &id, "with a new one").await.unwrap();
    // Not even a storage-proxy that has forgotten everything lets it in, wherever it listens by now.
    system.storage.kill();
    system.start_storage().await;
    let new = alice.grant(&id, MountMode::ReadWrite).await.unwrap();
    let old = Grant {
        grpc_url: new.grpc_url.clone(),
        http_url: new.http_url.clone(),
        ..write
    };
    assert_write_refused(&old, &id).await;
    mkdir(&new, &id, "after a restart").await.unwrap();
    assert!(!system.tree(&id).join("after").exists());
}

async fn a_write_grant_ends_with_the_trash(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    fs::write(system.tree(&id).join("f"), "data").unwrap();
    let (read, write) = (
        alice.grant(&id, MountMode::ReadOnly).await.unwrap(),
        alice.grant(&id, MountMode::ReadWrite).await.unwrap(),
    );
    alice.trash(&id).await.unwrap();
    assert_write_refused(&write, &id).await;
    // What is in the trash can be looked at, and nothing else.
    assert_reads(&read, &id).await;
    assert_reads(&alice.grant(&id, MountMode::ReadOnly).await.unwrap(), &id).await;
    let refused = alice.grant(&id, MountMode::ReadWrite).await;
    assert_refused(refused, Code::FailedPrecondition, "VFOLDER_STATUS");
    alice.restore(&id).await.unwrap();
    assert_write_refused(&write, &id).await;
    assert!(!system.tree(&id).join("after").exists());
}

async fn every_grant_ends_with_a_purge(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    fs::write(system.tree(&id).join("f"), "data").unwrap();
    let (read, write) = (
        alice.grant(&id, MountMode::ReadOnly).await.unwrap(),
        alice.grant(&id, MountMode::ReadWrite).await.unwrap(),
    );
    assert_reads(&read, &id).await;
    alice.trash(&id).await.unwrap();
    let purge = alice.purge(&id).await.unwrap();
    assert!(alice.wait(&purge.name).await.done);
    assert_write_refused(&write, &id).await;
    assert_refused(list(&read, &id, "").await, Code::Aborted, "GRANT_STALE");
    let (status, body) = curl(&read, "/files/f", &[]).await;
    assert!(
        status == 409 && body.contains("GRANT_STALE"),
        "{status} {body}"
    );
    let refused = alice.grant(&id, MountMode::ReadOnly).await;
    assert_refused(refused, Code::FailedPrecondition, "VFOLDER_STATUS");
    system.assert_sound().await;
}

async fn a_grant_ends_with_what_still_waits_for_its_turn(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let request = PauseVolumeRequest {
        volume: "local".into(),
        ..PauseVolumeRequest::default()
    };
    let made = async |name| {
        let id = alice.create(name).await.unwrap().id;
        fs::write(system.tree(&id).join("f"), "data").unwrap();
        let write = alice.grant(&id, MountMode::ReadWrite).await.unwrap();
        (id, write)
    };
    let (cloned, performed, purged) = (made("c").await, made("p").await, made("d").await);
    let admin = system.admin();
    admin.volumes.clone().pause_volume(request).await.unwrap();
    alice.clone_to(&cloned.0, "copy").await.unwrap();
    let removal = RemoveTreeRequest {
        vfolder_id: performed.0.clone(),
        paths: vec!["f".into()],
        ..RemoveTreeRequest::default()
    };
    alice.trees.clone().remove_tree(removal).await.unwrap();
    let purge = PurgeVFolderRequest {
        vfolder_id: purged.0.clone(),
        skip_trash: true,
        ..PurgeVFolderRequest::default()
    };
    alice.vfolders.clone().purge_v_folder(purge).await.unwrap();
    for (id, write) in [&cloned, &performed, &purged] {
        // At once, but where that takes the disk too long.
        eventually("it is refused", async || {
            mkdir(write, id, "more").await.err()
        })
        .await;
        assert_write_refused(write, id).await;
    }
    // They can be read until the work begins.
    for (id, grant) in [&cloned, &performed] {
        assert_reads(grant, id).await;
    }
    let listed = list(&purged.1, &purged.0, "").await;
    assert_refused(listed, Code::Aborted, "GRANT_STALE");
}

async fn who_may_not_gets_none(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.member("alice", &["team"]);
    let shared = VFolder {
        name: "shared".into(),
        owner: Some(vfolder_proto::v1::Owner {
            owner: Some(vfolder_proto::v1::owner::Owner::Project("team".into())),
        }),
        member_permission: VFolderPermission::Read.into(),
        ..VFolder::default()
    };
    let admin = system.caller(&system.tokens.admin("root"));
    let request = vfolder_proto::v1::CreateVFolderRequest {
        vfolder: Some(shared),
        ..Default::default()
    };
    let made = alice
        .vfolders
        .clone()
        .create_v_folder(request)
        .await
        .unwrap();
    let id = made.into_inner().id;
    // Its creator may do all with it, the others of the project read.
    alice.grant(&id, MountMode::ReadWrite).await.unwrap();
    let carol = system.member("carol", &["team"]);
    carol.grant(&id, MountMode::ReadOnly).await.unwrap();
    let refused = carol.grant(&id, MountMode::ReadWrite).await;
    assert_refused(refused, Code::PermissionDenied, "PERMISSION_TOO_SMALL");
    admin.grant(&id, MountMode::ReadWrite).await.unwrap();
    let refused = system.user("bob").grant(&id, MountMode::ReadOnly).await;
    assert_refused(refused, Code::NotFound, "VFOLDER_NOT_FOUND");
}

async fn a_grant_for_a_directory_leads_no_further(engine: Engine) {
    let mut system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    for name in ["a", "ab"] {
        fs::create_dir(system.tree(&id).join(name)).unwrap();
        fs::write(system.tree(&id).join(name).join("f"), name).unwrap();
    }
    let request = |ttl: i64| CreateGrantRequest {
        vfolder_id: id.clone(),
        mode: MountMode::ReadWrite.into(),
        path: "a".into(),
        ttl: Some(prost_types::Duration {
            seconds: ttl,
            nanos: 0,
        }),
        ..CreateGrantRequest::default()
    };
    let made = alice
        .grants
        .clone()
        .create_grant(request(60))
        .await
        .unwrap();
    let grant = made.into_inner();
    assert_eq!(curl(&grant, "/files/a/f", &[]).await, (200, "a".into()));
    mkdir(&grant, &id, "a/d").await.unwrap();
    for path in ["ab/d", "d", "abc"] {
        let refused = mkdir(&grant, &id, path).await;
        assert_refused(refused, Code::PermissionDenied, "GRANT_TOO_SMALL");
    }
    assert_eq!(curl(&grant, "/files/ab/f", &[]).await.0, 403);
    assert_refused(
        list(&grant, &id, "").await,
        Code::PermissionDenied,
        "GRANT_TOO_SMALL",
    );

    // The operator's limit is the one that counts.
    system.manager.kill();
    system.change(|settings| settings.operations += "\n[grants]\nmax_ttl = \"30s\"\n");
    system.start_manager().await;
    let alice = system.user("alice");
    let refused = alice.grants.clone().create_grant(request(60)).await;
    assert_field_refused(refused, &["ttl"]);
    let made = alice.grant(&id, MountMode::ReadOnly).await.unwrap();
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    let life = made.expire_time.unwrap().seconds - i64::try_from(now.as_secs()).unwrap();
    assert!(life <= 31, "{life}");
}

async fn a_storage_proxy_that_is_away_or_serves_nobody_is_told_of(engine: Engine) {
    let mut system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("data").await.unwrap().id;
    system.storage.kill();
    let refused = alice.grant(&id, MountMode::ReadOnly).await;
    assert_refused(refused, Code::Unavailable, "VOLUME_UNAVAILABLE");
    system.change(|settings| settings.direct = String::new());
    system.start_storage().await;
    let grant = eventually("the manager has found it again", async || {
        alice.grant(&id, MountMode::ReadOnly).await.ok()
    })
    .await;
    assert_eq!((grant.grpc_url.as_str(), grant.http_url.as_str()), ("", ""));
}

//! `make bench-files`: bytes in and out of a vfolder, by every way there is, beside what could be had at best.
//!
//! One file, one client, both services and the peers on this machine, the volume in memory: what is compared is the way,
//! not the disk. Every round goes all the ways, in turn; a figure is the median of the rounds, a ratio the median of the
//! ratios within rounds.

mod ballast;
mod bare;
mod http;
mod memory;
mod page;
mod rounds;
mod settings;
mod transfer;

use std::{env, fs, path::Path, process::ExitCode, time::Duration};

use tempfile::TempDir;
use vfolder_proto::v1::{
    CreateGrantRequest, CreateVFolderRequest, Grant, MountMode, RemoveFilesRequest, VFolder,
};
use vfolder_tests::{Engine, System};

use self::{
    ballast::Ballast,
    rounds::{Round, Way},
    settings::Settings,
    transfer::Door,
};

/// The file that is written.
const COPY: &str = "copy";

/// What worked, or why not.
type Told<T> = Result<T, String>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let runtime = tokio::runtime::Runtime::new();
    let done = runtime.map_err(|e| e.to_string()).and_then(|runtime| {
        runtime.block_on(async {
            match arguments.as_slice() {
                [verb, address_file] if verb == "bare" => bare::serve(address_file.as_ref()).await,
                [] => bench().await,
                _ => Err(
                    "it takes no arguments; its settings are variables, see the Makefile".into(),
                ),
            }
        })
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("bench-files: {problem}");
            ExitCode::FAILURE
        }
    }
}

async fn bench() -> Told<()> {
    let settings = Settings::from_environment()?;
    let folder = folder_in(&settings.place)?;
    let disk = folder_in(&settings.parallel_place)?;
    let system = System::on(Engine::Sqlite)
        .with(|settings| settings.log = "warn".into())
        .with_volume_at("memory", &folder.path().join("volume"))
        .with_volume_at("disk", &disk.path().join("volume"))
        .start()
        .await;
    let bare = bare::Peer::start(folder.path())?;
    let vfolder = create(&system, "memory").await?;
    let grant = grant(&system, &vfolder).await?;
    let doors = Doors::new(&system, &bare, &grant, &vfolder)?;

    let (name, size) = ("file", settings.size);
    doors
        .direct
        .write(name, size, settings.chunk, Ballast::default())
        .await?;
    let tree = system.tree(&vfolder);
    let nginx = http::Nginx::start(&settings.nginx, folder.path(), &tree)?;
    let ours = format!("{}/files/{name}", grant.http_url);

    let mut rounds = Vec::new();
    for number in 1..=settings.rounds {
        let mut round = Round::default();
        for way in Way::in_round(number, &settings.ways) {
            // Removing what is replaced takes its time, too.
            remove(&system, &vfolder, COPY).await?;
            bare.clear()?;
            let took = match way {
                Way::ReadBare => doors.bare.read(name, size, settings.chunk).await?,
                Way::ReadDirect => doors.direct.read(name, size, settings.chunk).await?,
                Way::ReadManager => doors.manager.read(name, size, settings.chunk).await?,
                Way::WriteBare => write_copy(&doors.bare, &settings).await?,
                Way::WriteKept => write_copy(&doors.keeping, &settings).await?,
                Way::WriteDirect => write_copy(&doors.direct, &settings).await?,
                Way::WriteManager => write_copy(&doors.manager, &settings).await?,
                Way::HttpOurs => http::fetch(&ours, &grant.token, size).await?,
                Way::HttpNginx => http::fetch(&nginx.url(name), "", size).await?,
            };
            eprintln!(
                "round {number}: {}: {:.2} s",
                way.name(),
                took.as_secs_f64()
            );
            round.took(way, took);
        }
        rounds.push(round);
    }
    drop(nginx);
    let memory = match settings.parallel_size {
        0 => Vec::new(),
        size => {
            let vfolder = create(&system, "disk").await?;
            let grant = crate::grant(&system, &vfolder).await?;
            let doors = Doors::new(&system, &bare, &grant, &vfolder)?;
            memory::run(&system, &doors, &settings, size).await?
        }
    };
    let page = page::write(&settings, &rounds, &memory);
    println!("{page}");
    if let Some(file) = &settings.out {
        fs::write(file, &page).map_err(|e| format!("{}: {e}", file.display()))?;
    }
    Ok(())
}

async fn write_copy(door: &Door, settings: &Settings) -> Told<Duration> {
    let Settings { size, chunk, .. } = *settings;
    door.write(COPY, size, chunk, Ballast::for_file(size)).await
}

/// The ways in over gRPC.
struct Doors {
    bare: Door,
    keeping: Door,
    direct: Door,
    manager: Door,
}

impl Doors {
    fn new(system: &System, bare: &bare::Peer, grant: &Grant, vfolder: &str) -> Told<Self> {
        Ok(Self {
            bare: Door::bare(&bare.url(), vfolder)?,
            keeping: Door::bare_keeping(&bare.url(), vfolder)?,
            direct: Door::direct(grant, vfolder)?,
            manager: Door::manager(system.user("alice").files, vfolder),
        })
    }
}

fn folder_in(place: &Path) -> Told<TempDir> {
    let folder = tempfile::Builder::new()
        .prefix("vfolder-bench-")
        .tempdir_in(place);
    folder.map_err(|e| format!("{}: {e}", place.display()))
}

async fn create(system: &System, volume: &str) -> Told<String> {
    let request = CreateVFolderRequest {
        vfolder: Some(VFolder {
            name: format!("on-{volume}"),
            volume: volume.into(),
            ..VFolder::default()
        }),
        ..CreateVFolderRequest::default()
    };
    let answer = system.user("alice").vfolders.create_v_folder(request).await;
    answer
        .map(|vfolder| vfolder.into_inner().id)
        .map_err(|e| e.to_string())
}

async fn remove(system: &System, vfolder: &str, path: &str) -> Told<()> {
    let request = RemoveFilesRequest {
        vfolder_id: vfolder.to_owned(),
        paths: vec![path.to_owned()],
        missing_ok: true,
        ..RemoveFilesRequest::default()
    };
    let answer = system.user("alice").files.remove_files(request).await;
    answer.map(drop).map_err(|e| e.to_string())
}

async fn grant(system: &System, vfolder: &str) -> Told<Grant> {
    let request = CreateGrantRequest {
        vfolder_id: vfolder.to_owned(),
        mode: MountMode::ReadWrite.into(),
        ttl: Some(prost_types::Duration {
            seconds: 24 * 3600,
            nanos: 0,
        }),
        ..CreateGrantRequest::default()
    };
    let answer = system.user("alice").grants.create_grant(request).await;
    answer
        .map(tonic::Response::into_inner)
        .map_err(|e| e.to_string())
}

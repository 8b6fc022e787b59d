//! Archives: what is downloaded, other programs unpack; what others have made is unpacked, and nothing else happens.

mod bombs;
mod download;
mod extract;
mod hostile;
mod links;
mod mutated;
mod quotas;
mod removals;
mod resumed;
pub mod tars;
mod zips;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use bytes::Bytes;
use futures_util::StreamExt as _;
use tempfile::TempDir;
use uuid::Uuid;
use vfolder_common::{
    error::Refusal,
    token::{Grant, GrantMode},
};
use vfolder_storage_proxy::{
    archive::Format,
    file::{ArchiveStream, Files},
    task::{Existing, Extraction, Outcome, Removal, Work},
    tree::RelativePath,
    volume::init,
};

use crate::{support::Rig, tasks::outcome};

/// A vfolder with an empty tree.
pub struct Scene {
    pub rig: Rig,
    pub vfolder: Uuid,
}

pub fn path(path: impl AsRef<[u8]>) -> RelativePath {
    RelativePath::parse(path.as_ref()).unwrap()
}

impl Scene {
    pub fn new() -> Self {
        Self::within(tempfile::tempdir().unwrap())
    }

    pub fn within(dir: TempDir) -> Self {
        init(&dir.path().join("v"), "v").unwrap();
        let (rig, vfolder) = (Rig::on(dir), Uuid::now_v7());
        rig.make_tree(vfolder);
        Self { rig, vfolder }
    }

    pub fn tree(&self) -> PathBuf {
        self.rig.tree(self.vfolder)
    }

    pub fn files(&self) -> Files {
        Files::new(self.rig.tasks.clone())
    }

    pub fn grant(&self) -> Grant {
        Grant {
            vfolder: self.vfolder,
            volume: "v".into(),
            mode: GrantMode::ReadOnly,
            epoch: 1,
            subject: "tester".into(),
            path: Vec::new(),
            quota: None,
        }
    }

    pub async fn open(&self, paths: &[&str], format: Format) -> Result<ArchiveStream, Refusal> {
        let paths = paths.iter().map(path).collect();
        self.files().archive(&self.grant(), paths, format).await
    }

    /// The whole archive, as a file beside the volume.
    pub async fn download(&self, paths: &[&str], format: Format) -> PathBuf {
        let stream = self.open(paths, format).await.unwrap();
        let file = self
            .rig
            .dir
            .path()
            .join(format!("download.{}", format.extension()));
        fs::write(&file, whole(stream).await.unwrap()).unwrap();
        file
    }

    /// Unpacks `archive` into "out".
    pub fn extraction(&self, archive: &str) -> Extraction {
        Extraction {
            vfolder: self.vfolder,
            archive: path(archive),
            destination: path("out"),
            format: None,
            existing: Existing::Fail,
            max_bytes: 1 << 30,
            max_files: 100_000,
        }
    }

    pub async fn run(&self, work: Work) -> Outcome {
        self.run_as(Uuid::now_v7(), work).await
    }

    pub async fn run_as(&self, operation: Uuid, work: Work) -> Outcome {
        let task = self.rig.tasks.run(operation, self.rig.spec(work)).unwrap();
        outcome(task).await
    }

    pub async fn extract(&self, extraction: Extraction) -> Outcome {
        self.run(Work::Extract(Box::new(extraction))).await
    }

    pub async fn remove(&self, paths: &[&str], missing_ok: bool) -> Outcome {
        self.run(Work::Remove(Removal {
            vfolder: self.vfolder,
            paths: paths.iter().map(path).collect(),
            missing_ok,
        }))
        .await
    }
}

pub async fn whole(mut stream: ArchiveStream) -> Result<Vec<u8>, Refusal> {
    let mut all = Vec::new();
    while let Some(chunk) = stream.next().await {
        let chunk: Bytes = chunk?;
        all.extend_from_slice(&chunk);
    }
    Ok(all)
}

/// Runs a program of the system's, which must succeed.
pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {told}");
    output
}

pub fn python(script: &str, arguments: &[&Path]) -> String {
    let output = run(Command::new("python3")
        .arg("-c")
        .arg(script)
        .args(arguments));
    String::from_utf8(output.stdout).unwrap()
}

/// What rsync would have to do to make `copy` equal to `tree` in all that it can compare.
pub fn differences(tree: &Path, copy: &Path) -> String {
    let mut command = Command::new("rsync");
    command.args(["-aHAXin", "--checksum", "--delete", "--omit-dir-times"]);
    let from = format!("{}/", tree.to_str().unwrap());
    let output = run(command.arg(from).arg(copy));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let changes = told.lines().filter(|line| !line.ends_with(" ./"));
    changes.collect::<Vec<_>>().join("\n")
}

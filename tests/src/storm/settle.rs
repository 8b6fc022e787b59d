//! After the storm: waiting until all is at rest, and reading what there is.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tokio::time;
use tonic::Status;
use uuid::Uuid;
use vfolder_proto::{
    google::longrunning::{ListOperationsRequest, Operation},
    v1::{
        ListEventsRequest, ListVFoldersRequest, OperationMetadata, VFolder, VFolderEvent,
        VFolderStatus,
    },
};

use super::{
    check::Violation,
    client::{Shared, metadata_of, told_of_operation},
    contents::Look,
    history::{Micros, Progress, Told},
    trees,
    world::World,
};
use crate::{User, tree_path};

/// After the last fault, all is at rest within this time: the longest backoff, the longest mount and some work.
pub const REST: Duration = Duration::from_secs(90);
/// What is left on the volumes is cleared away within this time after that.
pub const CLEARING: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(250);
const PAGE: i32 = 1_000;
const READINGS: usize = 20;

/// An operation as it ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its id.
    pub id: Uuid,
    /// How it ended.
    pub progress: Progress,
    /// What else is known of it.
    pub metadata: OperationMetadata,
    /// What it failed with.
    pub error: String,
}

impl Ended {
    /// The vfolder that it made or destroyed.
    #[must_use]
    pub fn vfolder(&self) -> Uuid {
        self.metadata.vfolder_id.parse().unwrap_or_default()
    }

    /// The vfolder that it copied.
    #[must_use]
    pub fn source(&self) -> Option<Uuid> {
        self.metadata.source_id.parse().ok()
    }
}

/// What there is in the end.
#[derive(Debug, Default)]
pub struct Rest {
    /// When the reading began.
    pub start: Micros,
    /// When it ended.
    pub end: Micros,
    /// Every vfolder, tombstones too.
    pub vfolders: Vec<VFolder>,
    /// Every operation.
    pub operations: Vec<Ended>,
    /// What the manager says happened to each.
    pub events: BTreeMap<Uuid, Vec<VFolderEvent>>,
    /// How long it took until all was at rest.
    pub took: Duration,
}

/// Waits and reads. What did not come to rest is a violation.
///
/// # Errors
/// If the managers can't be read from, although nothing breaks them any more.
pub async fn settle(shared: &Shared, violations: &mut Vec<Violation>) -> Result<Rest, String> {
    let world = &shared.world;
    let admin = User::new(world.managers[0].channel(), &world.tokens.admin("root"));
    let start = Instant::now();
    loop {
        let stirring = stirring(&admin).await;
        let calm = matches!(&stirring, Ok(all) if all.is_empty());
        if calm || start.elapsed() > REST {
            if let Ok(all) = stirring
                && !all.is_empty()
            {
                violations.push(Violation {
                    check: "liveness",
                    text: format!(
                        "not at rest {REST:?} after the last fault: {}",
                        all.join("; ")
                    ),
                    evidence: Vec::new(),
                });
            }
            break;
        }
        time::sleep(LOOK).await;
    }
    let took = start.elapsed();
    // A lapsed mount counts for nothing before its end is written: what is read until nothing changes is one state.
    for _ in 0..READINGS {
        let begin = world.clock.now();
        let (vfolders, rest) = read(&admin)
            .await
            .map_err(|e| format!("after the storm: {e}"))?;
        if vfolders == rest.vfolders && is_written(&rest) {
            let end = world.clock.now();
            return Ok(Rest {
                start: begin,
                end,
                took,
                ..rest
            });
        }
        time::sleep(LOOK).await;
    }
    Err("after the storm the vfolders do not stop changing".into())
}

/// Each vfolder is shown as its last event left it: no mount has lapsed without its end being written.
fn is_written(rest: &Rest) -> bool {
    rest.vfolders.iter().all(|vfolder| {
        let events = vfolder
            .id
            .parse()
            .ok()
            .and_then(|id: Uuid| rest.events.get(&id));
        let last = events.and_then(|events| events.last());
        last.is_some_and(|last| {
            last.to_status() == vfolder.status() || last.to_status() != VFolderStatus::Mounted
        })
    })
}

/// Everything, with the vfolders as they were before.
async fn read(admin: &User) -> Result<(Vec<VFolder>, Rest), Status> {
    let before = all_vfolders(admin).await?;
    let operations = all_operations(admin, "").await?;
    let mut events = BTreeMap::new();
    for vfolder in &before {
        let id = vfolder.id.parse().unwrap_or_default();
        events.insert(id, all_events(admin, &vfolder.id).await?);
    }
    let rest = Rest {
        vfolders: all_vfolders(admin).await?,
        operations: operations.iter().map(ended).collect(),
        events,
        ..Rest::default()
    };
    Ok((before, rest))
}

/// Walks every tree that there should be.
pub fn look_at_trees(shared: &Shared, rest: &Rest, violations: &mut Vec<Violation>) {
    let clock = shared.world.clock;
    for vfolder in &rest.vfolders {
        let id: Uuid = vfolder.id.parse().unwrap_or_default();
        let Some(root) = shared.world.volume(&vfolder.volume) else {
            continue;
        };
        let tree = root.join(tree_path(id));
        if vfolder.status() == VFolderStatus::Deleted {
            if tree.exists() {
                violations.push(Violation {
                    check: "trees",
                    text: format!("{id} is DELETED and has a tree: {}", tree.display()),
                    evidence: Vec::new(),
                });
            }
            continue;
        }
        let start = clock.now();
        match trees::survey(&tree) {
            Ok(bundles) => shared.contents.looked(Look {
                vfolder: id,
                start,
                end: clock.now(),
                only: None,
                bundles,
                who: "the checker, after the storm".into(),
            }),
            Err(error) => violations.push(Violation {
                check: "trees",
                text: format!(
                    "{id} is {:?} and its tree can't be read: {}: {error}",
                    vfolder.status(),
                    tree.display()
                ),
                evidence: Vec::new(),
            }),
        }
    }
}

/// Waits until nothing is left in staging, trash and journal but what is noted there for good.
pub async fn clear(world: &World) -> (Vec<PathBuf>, Duration) {
    let start = Instant::now();
    loop {
        let left: Vec<PathBuf> = world.volumes().flat_map(|v| leftovers(&v.path)).collect();
        if left.is_empty() || start.elapsed() > CLEARING {
            return (left, start.elapsed());
        }
        time::sleep(LOOK).await;
    }
}

fn leftovers(volume: &Path) -> Vec<PathBuf> {
    let areas = ["staging", "trash", "journal"].map(|area| volume.join(area));
    let entries = areas
        .iter()
        .flat_map(|area| fs::read_dir(area).into_iter().flatten());
    let paths = entries.flatten().map(|entry| entry.path());
    // The fences stay: they are what refuses whoever comes late.
    paths
        .filter(|path| !path.ends_with("journal/epochs"))
        .collect()
}

/// What is not at rest.
async fn stirring(admin: &User) -> Result<Vec<String>, Status> {
    let mut found = Vec::new();
    for operation in all_operations(admin, "done = false").await? {
        found.push(format!("{} {:?}", operation.name, metadata_of(&operation)));
    }
    for vfolder in all_vfolders(admin).await? {
        let rests = matches!(
            vfolder.status(),
            VFolderStatus::Ready
                | VFolderStatus::Trashed
                | VFolderStatus::Deleted
                | VFolderStatus::Error
        );
        // Trash whose time has come goes by itself.
        let due = vfolder.status() == VFolderStatus::Trashed
            && vfolder.purge_time.is_some_and(|time| {
                let now = std::time::SystemTime::now();
                std::time::SystemTime::try_from(time)
                    .is_ok_and(|time| time < now + Duration::from_secs(60))
            });
        if !rests || due {
            found.push(format!("{} is {:?}", vfolder.id, vfolder.status()));
        }
    }
    Ok(found)
}

fn ended(operation: &Operation) -> Ended {
    let (id, progress) = match told_of_operation(operation) {
        Told::Operation {
            operation,
            progress,
            ..
        } => (operation, progress),
        _ => (Uuid::nil(), Progress::Live),
    };
    let error = match &operation.result {
        Some(vfolder_proto::google::longrunning::operation::Result::Error(status)) => {
            status.message.clone()
        }
        _ => String::new(),
    };
    Ended {
        id,
        progress,
        metadata: metadata_of(operation),
        error,
    }
}

async fn all_vfolders(admin: &User) -> Result<Vec<VFolder>, Status> {
    let mut request = ListVFoldersRequest {
        page_size: PAGE,
        show_deleted: true,
        ..ListVFoldersRequest::default()
    };
    let mut all = Vec::new();
    loop {
        let answer = admin
            .vfolders
            .clone()
            .list_v_folders(request.clone())
            .await?;
        let page = answer.into_inner();
        all.extend(page.vfolders);
        if page.next_page_token.is_empty() {
            return Ok(all);
        }
        request.page_token = page.next_page_token;
    }
}

async fn all_operations(admin: &User, filter: &str) -> Result<Vec<Operation>, Status> {
    let mut request = ListOperationsRequest {
        filter: filter.into(),
        page_size: PAGE,
        ..ListOperationsRequest::default()
    };
    let mut all = Vec::new();
    loop {
        let answer = admin
            .operations
            .clone()
            .list_operations(request.clone())
            .await?;
        let page = answer.into_inner();
        all.extend(page.operations);
        if page.next_page_token.is_empty() {
            return Ok(all);
        }
        request.page_token = page.next_page_token;
    }
}

async fn all_events(admin: &User, vfolder: &str) -> Result<Vec<VFolderEvent>, Status> {
    let mut request = ListEventsRequest {
        vfolder_id: vfolder.into(),
        page_size: PAGE,
        page_token: String::new(),
    };
    let mut all = Vec::new();
    loop {
        let answer = admin.vfolders.clone().list_events(request.clone()).await?;
        let page = answer.into_inner();
        all.extend(page.events);
        if page.next_page_token.is_empty() {
            return Ok(all);
        }
        request.page_token = page.next_page_token;
    }
}

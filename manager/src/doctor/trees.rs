//! What is on the volumes, against the rows: invariants 4 and 5.

use std::{
    collections::{HashMap, HashSet},
    pin::pin,
};

use futures_util::StreamExt as _;
use vfolder_common::error::Refusal;
use vfolder_proto::storage::{ListVolumeContentsResponse, VolumeArea};

use super::Report;
use crate::{
    context::Context,
    model::State,
    storage::ProxyError,
    store::{Id, inspect, vfolders},
};

const PAGE: usize = 500;

/// What is on one volume.
pub(super) struct Contents {
    /// The volume's name.
    pub(super) volume: String,
    /// The vfolders that have a tree.
    pub(super) trees: HashSet<Id>,
    /// What operations have put there: area, operation, path.
    work: Vec<(VolumeArea, Id, String)>,
}

/// Reads every volume. One that does not answer is left out, and said to be.
pub(super) async fn read(ctx: &Context, report: &mut Report) -> Vec<Contents> {
    let mut all = Vec::new();
    for volume in ctx.volumes.names() {
        match read_one(ctx, volume, report).await {
            Ok(contents) => {
                report.checked.volumes += 1;
                all.push(contents);
            }
            Err(error) => report.unchecked(format!("volume {volume}"), error),
        }
    }
    all
}

async fn read_one(ctx: &Context, volume: &str, report: &mut Report) -> Result<Contents, String> {
    let text = |e: ProxyError| e.to_string();
    let proxy = ctx.volumes.owner(volume).map_err(|r| r.text().to_owned())?;
    let mut stream = pin!(proxy.contents(volume).await.map_err(text)?);
    let mut contents = Contents {
        volume: volume.to_owned(),
        trees: HashSet::new(),
        work: Vec::new(),
    };
    while let Some(found) = stream.next().await {
        add(&mut contents, found.map_err(text)?, report);
    }
    Ok(contents)
}

fn add(contents: &mut Contents, found: ListVolumeContentsResponse, report: &mut Report) {
    let path = format!("{}:{}", contents.volume, found.path);
    let area = found.area();
    if !found.problem.is_empty() {
        report.violation(5, path, found.problem);
        return;
    }
    let Ok(id) = found.id.parse::<Id>() else {
        report.violation(4, path, "its name is no id: it is not the storage-proxy's");
        return;
    };
    if area == VolumeArea::Tree {
        contents.trees.insert(id);
    } else {
        contents.work.push((area, id, path));
    }
}

/// Looks for trees without a row, and for work without an operation.
pub(super) async fn check(
    ctx: &Context,
    volumes: &[Contents],
    report: &mut Report,
) -> Result<(), Refusal> {
    for contents in volumes {
        let mut look = ctx.store.read("doctor.trees").await?;
        for id in &contents.trees {
            match vfolders::get(&mut look, *id).await? {
                None => report.violation(
                    4,
                    id.to_string(),
                    format!(
                        "volume \"{}\" has a tree of it, but it has no record: an orphan",
                        contents.volume
                    ),
                ),
                Some(row) if row.volume != contents.volume => report.violation(
                    4,
                    id.to_string(),
                    format!(
                        "volume \"{}\" has a tree of it, but it lives on \"{}\"",
                        contents.volume, row.volume
                    ),
                ),
                Some(_) => {}
            }
        }
        let ids: Vec<Id> = contents.work.iter().map(|(_, id, _)| *id).collect();
        let mut states: HashMap<Id, State> = HashMap::new();
        for chunk in ids.chunks(PAGE) {
            states.extend(inspect::states(&mut look, chunk).await?);
        }
        for (area, id, path) in &contents.work {
            work(*area, states.get(id).copied(), path, report);
        }
    }
    Ok(())
}

fn work(area: VolumeArea, state: Option<State>, path: &str, report: &mut Report) {
    match (area, state) {
        (_, Some(state)) if state.is_live() => {}
        // What is purged is destroyed in the background, long after its operation has ended; what is still pending, the
        // volume tells.
        (VolumeArea::Trash, _) => {}
        (_, Some(state)) => report.notice(
            path,
            format!("its operation has ended ({state}); the next sweep clears it away"),
        ),
        (_, None) => report.notice(
            path,
            "its operation has no record any more; the next sweep clears it away",
        ),
    }
}

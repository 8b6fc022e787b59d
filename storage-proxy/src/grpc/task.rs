//! A task of the manager's, as its request says it.

use uuid::Uuid;
use vfolder_common::error::{Fields, Refusal};
use vfolder_proto::storage::{RunTaskRequest, run_task_request::Task};

use super::inside;
use crate::task::{TaskSpec, Work};

/// The operation, and what is to be done.
///
/// # Errors
/// FIELD_INVALID.
pub fn read_task(request: RunTaskRequest) -> Result<(Uuid, TaskSpec), Refusal> {
    let mut fields = Fields::default();
    let operation = read_id(&mut fields, "operation_id", &request.operation_id);
    if request.volume.is_empty() {
        fields.wrong("volume", "must name a volume");
    }
    if request.epoch < 0 {
        fields.wrong("epoch", "must not be negative");
    }
    let work = match &request.task {
        None => {
            fields.wrong("task", "must be set");
            None
        }
        Some(Task::CreateTree(task)) => {
            let vfolder = read_id(&mut fields, "create_tree.vfolder_id", &task.vfolder_id);
            Some(Work::Create { vfolder })
        }
        Some(Task::CloneTree(task)) => {
            let source = read_id(&mut fields, "clone_tree.source_id", &task.source_id);
            let vfolder = read_id(&mut fields, "clone_tree.vfolder_id", &task.vfolder_id);
            if source == vfolder && !source.is_nil() {
                fields.wrong("clone_tree.vfolder_id", "must differ from source_id");
            }
            if task.source_epoch < 0 {
                fields.wrong("clone_tree.source_epoch", "must not be negative");
            }
            Some(Work::Clone {
                source,
                vfolder,
                source_epoch: task.source_epoch,
                receipt: task.receipt,
            })
        }
        Some(Task::PurgeTree(task)) => {
            let vfolder = read_id(&mut fields, "purge_tree.vfolder_id", &task.vfolder_id);
            Some(Work::Purge { vfolder })
        }
        Some(Task::RecountTree(task)) => {
            let vfolder = read_id(&mut fields, "recount_tree.vfolder_id", &task.vfolder_id);
            Some(Work::Recount { vfolder })
        }
        Some(Task::VerifyTree(task)) => {
            let vfolder = read_id(&mut fields, "verify_tree.vfolder_id", &task.vfolder_id);
            Some(Work::Verify { vfolder })
        }
        Some(Task::ExtractArchive(task)) => {
            let work = inside::extraction(task, &mut fields);
            work.map(|work| Work::Extract(Box::new(work)))
        }
        Some(Task::RemoveTree(task)) => inside::removal(task, &mut fields).map(Work::Remove),
    };
    fields.finish()?;
    let work = work.ok_or_else(|| Refusal::field("task", "must be set"))?;
    Ok((
        operation,
        TaskSpec {
            volume: request.volume,
            epoch: request.epoch,
            work,
        },
    ))
}

/// Nil, and noted in `fields`, if it is none.
pub fn read_id(fields: &mut Fields, field: &str, text: &str) -> Uuid {
    fields
        .check(field, Uuid::parse_str(text).map_err(|_| "must be a UUID"))
        .unwrap_or_default()
}

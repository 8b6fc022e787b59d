//! Operations in the shape of google.longrunning.Operation.

use prost::Message as _;
use tonic::Status;
use vfolder_common::error::{Exceeded, Reason, Refusal};
use vfolder_proto::{
    google::{longrunning, rpc},
    storage::CloneEstimate,
    v1,
};

use super::convert;
use crate::{
    context::Context,
    model::{Caller, Kind, State},
    operation::read::queue_place,
    store::Operation,
    vfolder::{clone::Estimate, list},
};

/// An operation with its result, if it has ended, as far as the caller may see the vfolder that it makes.
pub async fn operation(
    ctx: &Context,
    caller: &Caller,
    op: &Operation,
) -> Result<longrunning::Operation, Refusal> {
    placed(ctx, caller, op, queue_place(ctx, op).await?).await
}

/// The same among many: without its place in the queue, each of which costs a look at the whole queue.
pub async fn listed(
    ctx: &Context,
    caller: &Caller,
    op: &Operation,
) -> Result<longrunning::Operation, Refusal> {
    placed(ctx, caller, op, None).await
}

async fn placed(
    ctx: &Context,
    caller: &Caller,
    op: &Operation,
    place: Option<i64>,
) -> Result<longrunning::Operation, Refusal> {
    let target = match list::get(ctx, caller, op.vfolder_id).await {
        Ok(shown) => Some(shown),
        Err(r) if r.reason() == Reason::VFolderNotFound => None,
        Err(refusal) => return Err(refusal),
    };
    let result = match op.state {
        State::Pending | State::Running => None,
        State::Succeeded => Some(longrunning::operation::Result::Response(response(
            op,
            target.as_ref(),
        ))),
        State::Failed | State::Cancelled => Some(longrunning::operation::Result::Error(error(
            op,
            target.is_some(),
        ))),
    };
    Ok(longrunning::Operation {
        name: op.name(),
        metadata: Some(any(&convert::metadata(op, target.is_some(), place))),
        done: result.is_some(),
        result,
    })
}

/// A dry run: ended, with an estimate, and with no result that exists.
#[must_use]
pub fn dry(op: &Operation, estimate: Estimate) -> longrunning::Operation {
    let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let mut metadata = convert::metadata(op, true, None);
    let clone = match op.kind {
        Kind::Clone => estimate.usage.clone.unwrap_or_default(),
        _ => CloneEstimate::default(),
    };
    metadata.estimate = Some(v1::OperationEstimate {
        files: signed(estimate.usage.entries),
        bytes: signed(estimate.usage.bytes),
        available_bytes: signed(estimate.available),
        fits: op.kind == Kind::Purge || estimate.fits(),
        available_files: signed(estimate.available_files.unwrap_or_default()),
        method: convert::clone_method(clone.method()).into(),
        disk_bytes: signed(clone.disk_bytes),
        duration: clone.duration,
    });
    longrunning::Operation {
        name: String::new(),
        metadata: Some(any(&metadata)),
        done: true,
        result: None,
    }
}

/// An operation with nothing to do, for `allow_missing`.
#[must_use]
pub fn nothing_to_do(vfolder_id: String) -> longrunning::Operation {
    let response = v1::PurgeVFolderResult { vfolder_id };
    longrunning::Operation {
        name: String::new(),
        metadata: None,
        done: true,
        result: Some(longrunning::operation::Result::Response(any(&response))),
    }
}

fn response(op: &Operation, target: Option<&list::Shown>) -> prost_types::Any {
    match (op.kind, target) {
        (Kind::Create | Kind::Clone, Some(made)) => any(&convert::vfolder(made)),
        (Kind::Create | Kind::Clone, None) => any(&v1::VFolder::default()),
        (Kind::Purge, _) => any(&v1::PurgeVFolderResult {
            vfolder_id: op.vfolder_id.to_string(),
        }),
        (Kind::Extract, _) => any(&v1::ExtractArchiveResult {
            vfolder_id: op.vfolder_id.to_string(),
        }),
        (Kind::Remove, _) => any(&v1::RemoveTreeResult {
            vfolder_id: op.vfolder_id.to_string(),
        }),
        (Kind::Verify, _) => any(&v1::VerifyVFolderResult {
            vfolder_id: op.vfolder_id.to_string(),
            receipt: convert::receipt(op),
            expected_digest: op.expected_digest.clone(),
            matches: op.digest == op.expected_digest,
            may_have_changed: op.may_have_changed,
        }),
        (Kind::Recount, _) => any(&v1::RecountUsageResult {
            vfolder_id: op.vfolder_id.to_string(),
            bytes: op.bytes_done,
            // The root counts for the walk, and not for a limit.
            files: (op.files_done - 1).max(0),
            may_have_changed: op.may_have_changed,
        }),
    }
}

fn reason_of(op: &Operation) -> Reason {
    Reason::parse(&op.error_reason).unwrap_or(Reason::Internal)
}

/// The error that an operation ended with, as an RPC would have given it.
#[must_use]
pub fn refusal(op: &Operation) -> Refusal {
    let refusal =
        Refusal::new(reason_of(op), op.error_text.clone()).with_metadata("operation", op.name());
    match serde_json::from_str::<Exceeded>(&op.exceeded) {
        Ok(exceeded) => exceeded.explain(refusal),
        Err(_) => refusal,
    }
}

/// Who sees but the source of a clone learns the reason: the text may be about the destination, and whose limit it is.
fn error(op: &Operation, sees_target: bool) -> rpc::Status {
    let refusal = match op.kind {
        Kind::Clone if !sees_target => {
            let text = format!(
                "the clone is {}; who sees its destination can see why",
                op.state
            );
            Refusal::new(reason_of(op), text).with_metadata("operation", op.name())
        }
        _ => refusal(op),
    };
    let status = Status::from(refusal);
    // With all its details, as they travel with an RPC's error.
    rpc::Status::decode(status.details()).unwrap_or_else(|_| rpc::Status {
        code: status.code().into(),
        message: status.message().to_owned(),
        details: Vec::new(),
    })
}

/// Packs a message with its type's URL.
pub fn any<T: prost::Name>(message: &T) -> prost_types::Any {
    prost_types::Any {
        type_url: format!("type.googleapis.com/{}", T::full_name()),
        value: message.encode_to_vec(),
    }
}

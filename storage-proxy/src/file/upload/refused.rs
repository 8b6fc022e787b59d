//! Why something about an upload is refused.

use std::time::Duration;

use rustix::io::Errno;
use uuid::Uuid;
use vfolder_common::error::{Reason, Refusal};

use super::live::{Live, Phase};
use crate::{refuse, tree::Fault};

/// When to try again what somebody else is at.
const RETRY: Duration = Duration::from_secs(1);

/// There is none, or not any more.
pub fn not_found(id: Uuid) -> Refusal {
    about(
        id,
        Refusal::new(
            Reason::UploadNotFound,
            format!("there is no upload {id} in this vfolder, or it has expired; begin a new one"),
        ),
    )
}

/// Somebody else is at it.
pub fn busy(id: Uuid, what: &str) -> Refusal {
    let text = format!("{what}; try again in a moment");
    about(id, Refusal::new(Reason::UploadBusy, text).with_retry(RETRY))
}

/// It is in the tree already.
pub fn committed(id: Uuid) -> Refusal {
    let text = format!("the upload {id} is committed: its file is in the tree");
    about(id, Refusal::new(Reason::UploadCommitted, text))
}

/// It is in the tree already, and nobody has checked that digest before.
pub fn committed_unchecked(id: Uuid, digest: &str) -> Refusal {
    let text = format!(
        "the upload {id} is committed: its file is in the tree, and its {digest} was not computed; read the file"
    );
    about(id, Refusal::new(Reason::UploadCommitted, text))
}

/// It is in the tree, but that is not known to be durable.
pub fn landed(id: Uuid) -> Refusal {
    busy(
        id,
        "the upload's file is in the tree, which is not durable yet: commit it again",
    )
}

/// A sync of its bytes failed.
pub fn lost(live: &Live, call: &'static str, errno: Errno) -> Refusal {
    let refusal = failed(live, call, errno);
    let text = format!(
        "{}: what was not on the disk before counts as not arrived; ask GetUpload what to send again",
        refusal.text()
    );
    let reason = refusal.reason();
    about(live.id, Refusal::new(reason, text))
}

/// Part of it is missing.
pub fn incomplete(id: Uuid, text: String) -> Refusal {
    about(id, Refusal::new(Reason::UploadIncomplete, text))
}

/// It is not what it was to be.
pub fn mismatch(id: Uuid, text: String) -> Refusal {
    about(id, Refusal::new(Reason::DigestMismatch, text))
}

/// There are as many pieces, or uploads, as may be.
pub fn too_many(id: Uuid, text: String) -> Refusal {
    about(id, Refusal::new(Reason::CountExceeded, text))
}

/// A system call on its files failed. Of one that was given up meanwhile, for no other reason.
pub fn failed(live: &Live, call: &'static str, errno: Errno) -> Refusal {
    if matches!(live.lock().phase, Phase::Gone) {
        return not_found(live.id);
    }
    if errno == Errno::FBIG {
        let text = "leads beyond what a file can have on the volume's filesystem";
        return Refusal::field("offset", text);
    }
    refuse::by_fault(Fault::System(call, errno), &live.path().to_string())
}

fn about(id: Uuid, refusal: Refusal) -> Refusal {
    let description = refusal.text().to_owned();
    refusal.with_resource("upload", id.to_string(), description)
}

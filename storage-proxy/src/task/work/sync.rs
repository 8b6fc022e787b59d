//! A sync that a wish to stop needn't wait for.

use std::{sync::mpsc, thread, time::Duration};

use rustix::{fs::syncfs, io::Errno};

use crate::{
    tree::{Control, Fault, TreeError},
    volume::{Staging, VolumeError, on},
};

/// Between two looks at the stop flag.
const LOOK: Duration = Duration::from_millis(20);

/// Makes all that was written to the volume durable. Asked to stop, it answers at once, and the sync goes on by itself.
///
/// # Errors
/// Those of syncfs(2), which tells each open file description once of the writes that have failed since it was opened.
/// That of `staging` is this task's own and older than all that the task has written: no other task's sync can swallow
/// what concerns this one.
pub(super) fn sync(staging: &Staging, control: &Control) -> Result<(), VolumeError> {
    let failed = on("staging", "syncfs");
    let handle = staging.sync_handle()?;
    let (done, synced) = mpsc::channel();
    let spawned = thread::Builder::new().name("sync".into()).spawn(move || {
        // Whoever asked may have gone.
        let _ = done.send(syncfs(handle));
    });
    if spawned.is_err() {
        return syncfs(staging.directory()).map_err(failed);
    }
    loop {
        match synced.recv_timeout(LOOK) {
            Ok(result) => return result.map_err(failed),
            Err(mpsc::RecvTimeoutError::Timeout) => control
                .check()
                .map_err(|fault: Fault| VolumeError::Tree(TreeError::new(fault, Vec::new())))?,
            Err(mpsc::RecvTimeoutError::Disconnected) => return Err(failed(Errno::IO)),
        }
    }
}

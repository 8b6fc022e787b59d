//! A sync that a wish to stop needn't wait for.

use std::{os::fd::OwnedFd, sync::mpsc, thread, time::Duration};

use rustix::{fs::syncfs, io::Errno};

use super::{Control, Fault};

/// Between two looks at the stop flag.
const LOOK: Duration = Duration::from_millis(20);

/// Makes all durable that was written to the filesystem of `handle`. Asked to stop, it answers at once, and the sync goes on
/// by itself.
///
/// # Errors
/// [`Fault::Cancelled`], and those of syncfs(2), which tells each open file description once of the writes that have failed
/// since it was opened: the handle must be older than the writes, and nobody else's.
pub fn sync(handle: OwnedFd, control: &Control) -> Result<(), Fault> {
    let failed = |errno| Fault::System("syncfs", errno);
    let (done, synced) = mpsc::channel();
    let sync = move || {
        // Whoever asked may have gone.
        let _ = done.send(syncfs(handle));
    };
    thread::Builder::new()
        .name("sync".into())
        .spawn(sync)
        .map_err(|error| failed(Errno::from_io_error(&error).unwrap_or(Errno::AGAIN)))?;
    loop {
        match synced.recv_timeout(LOOK) {
            Ok(result) => return result.map_err(failed),
            Err(mpsc::RecvTimeoutError::Timeout) => control.check()?,
            Err(mpsc::RecvTimeoutError::Disconnected) => return Err(failed(Errno::IO)),
        }
    }
}

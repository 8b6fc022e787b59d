//! Where the tests put their data: in memory where there is room, in one folder that goes away with the run.

use std::{
    env, fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::statfs;
use tempfile::TempDir;

/// The variable by which `with-postgres` tells the tests under it where to put their data.
pub const ROOT_VARIABLE: &str = "VFOLDER_TEST_ROOT";

/// statfs(2)'s `f_type` of tmpfs.
const TMPFS_MAGIC: i64 = 0x0102_1994;
/// With less than this, memory is left alone.
const ROOM: u64 = 2 << 30;

/// A temporary folder.
pub type Place = TempDir;

/// Where the tests' folders are made.
fn root() -> PathBuf {
    env::var_os(ROOT_VARIABLE).map_or_else(fastest, PathBuf::from)
}

/// Makes a folder that is removed when the value is dropped. Other users may pass through it.
pub fn make_root(label: &str) -> io::Result<Place> {
    let place = tempfile::Builder::new()
        .prefix(&format!("vfolder-{label}-"))
        .tempdir_in(root())?;
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o711))?;
    Ok(place)
}

fn fastest() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if is_roomy_memory(memory) {
        memory.to_owned()
    } else {
        env::temp_dir()
    }
}

fn is_roomy_memory(path: &Path) -> bool {
    statfs(path).is_ok_and(|fs| {
        let block = u64::try_from(fs.f_bsize).unwrap_or(0);
        fs.f_type == TMPFS_MAGIC && fs.f_bavail.saturating_mul(block) >= ROOM
    })
}

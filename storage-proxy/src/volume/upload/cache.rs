//! Which page cache this is: what was written without a sync is all there for as long as it stays the same.

use std::{fs, os::fd::AsFd, sync::OnceLock};

use rustix::fs::{AtFlags, StatxFlags, statx};

/// `STATX_MNT_ID_UNIQUE`, since Linux 6.8: unlike `STATX_MNT_ID`, never given to another mount (statx(2)).
const MOUNT: StatxFlags = StatxFlags::from_bits_retain(0x4000);

/// Another after each boot of the kernel (random(4), boot_id) and each mount: of a disk that was lost and came back, the
/// cache is gone without having been written. None where it can't be told: then nothing counts but what was synced. A
/// mount namespace that is made anew, as of a container, has other mounts than the one before.
pub fn cache_id(of: impl AsFd) -> Option<[u8; 32]> {
    static BOOT: OnceLock<Option<String>> = OnceLock::new();
    let boot = BOOT.get_or_init(|| fs::read_to_string("/proc/sys/kernel/random/boot_id").ok());
    let found = statx(of, c"", AtFlags::EMPTY_PATH, MOUNT).ok()?;
    let told = StatxFlags::from_bits_retain(found.stx_mask).contains(MOUNT);
    let mount = told.then_some(found.stx_mnt_id)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(boot.as_ref()?.trim().as_bytes());
    hasher.update(&mount.to_le_bytes());
    Some(hasher.finalize().into())
}

//! Which boot of the kernel this is.

use std::{fs, sync::OnceLock};

use uuid::Uuid;

/// The kernel's boot id (random(4)): what was written without a sync is all there for as long as it stays the same.
/// None where it can't be told: then nothing counts but what was synced.
pub fn boot_id() -> Option<Uuid> {
    static BOOT: OnceLock<Option<Uuid>> = OnceLock::new();
    *BOOT.get_or_init(|| {
        let told = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        Uuid::parse_str(told.trim()).ok()
    })
}

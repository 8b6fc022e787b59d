//! Where an administrator has enabled quotas.

use std::{
    fs,
    io::{ErrorKind, Write as _},
    os::fd::AsFd as _,
};

use uuid::Uuid;
use vfolder_common::token::{Limits, Quota};
use vfolder_storage_proxy::{task::Work, volume::init};

use super::{btrfs, run};
use crate::{
    mounted::Mounted,
    support::{Rig, directory},
};

/// Quotas are the administrator's to enable: then what a session writes past us meets the vfolder's limit.
#[tokio::test]
async fn where_quotas_are_enabled_a_session_is_stopped_at_the_vfolders_limit() {
    const LIMIT: u64 = 8 << 20;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("v");
    let Some(_mounted) = Mounted::image("btrfs", &path, 1 << 30) else {
        return;
    };
    btrfs(&["quota", "enable"], &path);
    init(&path, "v").unwrap();
    let rig = Rig::on(dir);
    let accounts = rig.tasks.accounts("v").unwrap();
    let limited = |revision, bytes| Quota {
        owner: "user:alice".into(),
        revision,
        vfolder: Limits { bytes, files: 0 },
        ..Quota::default()
    };
    let write = |vfolder: Uuid, name: &str| {
        let mut file = fs::File::create(rig.tree(vfolder).join(name))?;
        // Not compressible, and not only in memory.
        (0..64_u64).try_for_each(|number| file.write_all(&noise(number, 256 << 10)))?;
        file.sync_all()
    };
    let (vfolder, copy) = (Uuid::now_v7(), Uuid::now_v7());
    accounts.learn(vfolder, &limited(1, LIMIT));
    run(&rig, Work::Create { vfolder }).await;
    let refused = write(vfolder, "too much").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::QuotaExceeded, "{refused}");
    fs::remove_file(rig.tree(vfolder).join("too much")).unwrap();
    btrfs(&["filesystem", "sync"], &rig.root());
    // A snapshot comes with its source's limit: unless it is to have another.
    let clone = Work::Clone {
        source: vfolder,
        vfolder: copy,
        source_epoch: 1,
        receipt: false,
    };
    accounts.learn(copy, &limited(1, 0));
    assert_eq!(run(&rig, clone).await.failure, None);
    write(copy, "as much as it likes").unwrap();
    // What is limited later is, once somebody comes to write or it is told.
    accounts.learn(copy, &limited(2, LIMIT));
    let volume = rig.volume.get().unwrap();
    accounts.keep(&volume, copy).unwrap();
    let refused = write(copy, "more").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::QuotaExceeded, "{refused}");
    let tree = directory(&rig.tree(copy));
    let used = volume.backend().quota_use(tree.as_fd()).unwrap().bytes;
    assert!(used > LIMIT && used < 4 * LIMIT, "{used}");
}

fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        // xorshift64 (Marsaglia 2003)
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..bytes).map(|_| next()).collect()
}

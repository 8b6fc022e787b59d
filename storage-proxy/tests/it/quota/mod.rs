//! Accounts: nobody is let in beyond a limit, and what is said to be in a tree is in there, also after a crash.

mod clones;
mod counting;
mod extremes;
mod figures;
mod limits;
mod racing;
mod scene;
mod served;
mod told;

use std::{fs, os::unix::fs::MetadataExt as _, path::Path, sync::Arc};

use uuid::Uuid;
use vfolder_common::token::{Limits, Quota};
use vfolder_storage_proxy::{
    account::{Accounts, Amount},
    task::{Outcome, Work},
};

use crate::{support::Rig, tasks::outcome};

pub use served::granted;

pub const OWNER: &str = "user:alice";

pub fn quota(revision: i64, bytes: u64, files: u64, all: u64) -> Quota {
    Quota {
        owner: OWNER.into(),
        revision,
        vfolder: Limits { bytes, files },
        owner_revision: revision,
        all: Limits {
            bytes: all,
            files: 0,
        },
        ..Quota::default()
    }
}

/// What is in a tree, found without any of the code that is tested.
pub fn found(tree: &Path) -> Amount {
    fn walk(directory: &Path, seen: &mut Vec<u64>, sum: &mut Amount) {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let meta = entry.metadata().unwrap();
            sum.files += 1;
            if meta.is_dir() {
                walk(&entry.path(), seen, sum);
            } else if meta.is_file() && (meta.nlink() == 1 || !seen.contains(&meta.ino())) {
                seen.push(meta.ino());
                sum.bytes += meta.len();
            }
        }
    }
    let mut sum = Amount::default();
    walk(tree, &mut Vec::new(), &mut sum);
    sum
}

pub fn accounts(rig: &Rig) -> Arc<Accounts> {
    rig.tasks.accounts("v").unwrap()
}

pub fn used(rig: &Rig) -> Amount {
    let volume = rig.volume.get().unwrap();
    accounts(rig).owner_use(&volume, OWNER).unwrap().used
}

fn note(rig: &Rig, vfolder: Uuid) -> Option<String> {
    fs::read_to_string(rig.root().join(format!("journal/quotas/{vfolder}"))).ok()
}

async fn run(rig: &Rig, work: Work) -> Outcome {
    outcome(rig.tasks.run(Uuid::now_v7(), rig.spec(work)).unwrap()).await
}

fn clone_of(source: Uuid, vfolder: Uuid) -> Work {
    Work::Clone {
        source,
        vfolder,
        source_epoch: 1,
        receipt: false,
    }
}

//! Many callers who let go at once, and the dice that say what each asks for.

use std::{collections::BTreeMap, env, sync::Arc};

use futures_util::future::join_all;
use prost_types::FieldMask;
use tokio::sync::Barrier;
use tonic::{Code, Status};
use uuid::Uuid;
use vfolder_proto::v1::{MountMode, PurgeVFolderRequest, UpdateVFolderRequest, VFolder};
use vfolder_tests::{User, reason_of};

/// What a caller asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    Clone,
    Trash,
    Restore,
    Purge,
    MountReadOnly,
    MountReadWrite,
    Unmount,
    Update,
}

impl Act {
    pub const ALL: [Self; 8] = [
        Self::Clone,
        Self::Trash,
        Self::Restore,
        Self::Purge,
        Self::MountReadOnly,
        Self::MountReadWrite,
        Self::Unmount,
        Self::Update,
    ];

    /// What the history calls it.
    pub fn action(self) -> &'static str {
        match self {
            Self::Clone => "CloneVFolder",
            Self::Trash => "DeleteVFolder",
            Self::Restore => "RestoreVFolder",
            Self::Purge => "PurgeVFolder",
            Self::MountReadOnly | Self::MountReadWrite => "Mount",
            Self::Unmount => "Unmount",
            Self::Update => "UpdateVFolder",
        }
    }

    async fn perform(self, user: &User, vfolder: &str, number: usize) -> Result<(), Status> {
        let session = format!("session-{number}");
        match self {
            Self::Clone => user
                .clone_to(vfolder, &format!("copy-{vfolder}-{number}"))
                .await
                .map(drop),
            Self::Trash => user.trash(vfolder).await.map(drop),
            Self::Restore => user.restore(vfolder).await.map(drop),
            Self::Purge => purge(user, vfolder).await,
            Self::MountReadOnly => user
                .mount(vfolder, &session, MountMode::ReadOnly)
                .await
                .map(drop),
            Self::MountReadWrite => user
                .mount(vfolder, &session, MountMode::ReadWrite)
                .await
                .map(drop),
            Self::Unmount => {
                let mount = user.mount(vfolder, &session, MountMode::ReadOnly).await?;
                user.unmount(&mount).await
            }
            Self::Update => {
                let request = UpdateVFolderRequest {
                    vfolder: Some(VFolder {
                        id: vfolder.into(),
                        description: session,
                        ..VFolder::default()
                    }),
                    update_mask: Some(FieldMask {
                        paths: vec!["description".into()],
                    }),
                    validate_only: false,
                };
                user.vfolders
                    .clone()
                    .update_v_folder(request)
                    .await
                    .map(drop)
            }
        }
    }
}

/// All callers let go at once; who asked for what, and whether it was admitted.
pub async fn race(user: &User, vfolder: &str, acts: Vec<Act>) -> BTreeMap<Act, usize> {
    let barrier = Arc::new(Barrier::new(acts.len()));
    let callers = acts.into_iter().enumerate().map(|(number, act)| {
        let (user, vfolder, barrier) = (user.clone(), vfolder.to_owned(), Arc::clone(&barrier));
        tokio::spawn(async move {
            barrier.wait().await;
            (act, act.perform(&user, &vfolder, number).await)
        })
    });
    let mut admitted = BTreeMap::new();
    for caller in join_all(callers).await {
        let (act, answer) = caller.unwrap();
        match answer {
            Ok(()) => *admitted.entry(act).or_default() += 1,
            Err(status) => assert_loser(act, &status),
        }
    }
    admitted
}

/// Who loses is told in which status the vfolder is, and nothing else goes wrong.
fn assert_loser(act: Act, status: &Status) {
    let told = (status.code(), reason_of(status));
    let fine = matches!(
        (told.0, told.1.as_str()),
        (Code::Aborted, "VFOLDER_BUSY") | (Code::FailedPrecondition, "VFOLDER_STATUS")
    );
    assert!(fine, "{act:?} lost with {told:?}: {}", status.message());
}

async fn purge(user: &User, vfolder: &str) -> Result<(), Status> {
    let request = PurgeVFolderRequest {
        vfolder_id: vfolder.into(),
        skip_trash: true,
        ..PurgeVFolderRequest::default()
    };
    user.vfolders
        .clone()
        .purge_v_folder(request)
        .await
        .map(drop)
}

/// Numbers that look random; what a failing run had is printed, and VFOLDER_TEST_SEED has them again.
pub struct Dice(u64);

impl Dice {
    pub fn new() -> Self {
        let given = env::var("VFOLDER_TEST_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| Uuid::new_v4().as_u64_pair().0);
        println!("VFOLDER_TEST_SEED={seed}");
        Self(seed)
    }

    /// Below `bound`: SplitMix64 (Steele, Lea, Flood 2014).
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let bound = u64::try_from(bound).unwrap();
        usize::try_from((z ^ (z >> 31)) % bound).unwrap()
    }
}

//! Limits of a served process: killed, and over the wire.

use std::time::Duration;

use tonic::{Code, Request};
use tonic_types::StatusExt as _;
use uuid::Uuid;
use vfolder_common::token::{GRANT_HEADER, Grant, GrantMode, Limits, Quota};
use vfolder_proto::{storage::GetOwnerUsageRequest, v1::CreateDirectoryRequest};

use super::{OWNER, found, quota};
use crate::{proxy::Proxy, support::Dice};

/// A request with a grant that brings `quota` along.
pub fn granted<T>(proxy: &Proxy, vfolder: Uuid, quota: &Quota, message: T) -> Request<T> {
    let grant = Grant {
        vfolder,
        volume: "v".into(),
        mode: GrantMode::ReadWrite,
        epoch: 1,
        subject: "alice".into(),
        path: Vec::new(),
        quota: Some(quota.clone()),
    };
    let token = proxy.secret.sign_grant(&grant, Duration::from_secs(60));
    let mut request = Request::new(message);
    let token = token.unwrap().parse().unwrap();
    request.metadata_mut().insert(GRANT_HEADER, token);
    request
}

fn mkdir(vfolder: Uuid, path: String) -> CreateDirectoryRequest {
    CreateDirectoryRequest {
        vfolder_id: vfolder.to_string(),
        path,
        ..CreateDirectoryRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_kill_at_any_moment_the_first_figures_told_are_those_of_the_disk() {
    let seed = crate::support::seed();
    println!("VFOLDER_TEST_SEED={seed}");
    let mut dice = Dice(seed);
    let mut proxy = Proxy::start().await;
    let vfolder = proxy.create().await;
    let limits = quota(1, 1 << 40, 1 << 30, 0);
    for life in 0..8 {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let mut files = proxy.files();
                let requests: Vec<_> = (0..1_000)
                    .map(|n| mkdir(vfolder, format!("{life}-{writer}-{n}")))
                    .map(|message| granted(&proxy, vfolder, &limits, message))
                    .collect();
                tokio::spawn(async move {
                    for request in requests {
                        if files.create_directory(request).await.is_err() {
                            break;
                        }
                    }
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(dice.roll(150) as u64)).await;
        proxy = Proxy::start_in(proxy.kill()).await;
        for writer in writers {
            writer.await.unwrap();
        }
        // The first who writes again makes it known.
        let first = granted(&proxy, vfolder, &limits, mkdir(vfolder, format!("{life}")));
        proxy.files().create_directory(first).await.unwrap();
        let asked = GetOwnerUsageRequest {
            volume: "v".into(),
            owner: OWNER.into(),
        };
        let told = proxy.storage().get_owner_usage(proxy.signed(asked)).await;
        let told = told.unwrap().into_inner();
        let there = found(&proxy.tree(vfolder));
        assert_eq!(
            (told.bytes, told.files),
            (there.bytes, there.files),
            "{life}"
        );
        assert_eq!((told.reserved_files, told.uncounted), (0, 0));
    }
}

#[tokio::test]
async fn a_refusal_names_limit_used_and_asked() {
    let proxy = Proxy::start().await;
    let vfolder = proxy.create().await;
    let limits = quota(1, 0, 2, 0);
    let make = async |path: &str| {
        let request = granted(&proxy, vfolder, &limits, mkdir(vfolder, path.into()));
        proxy.files().create_directory(request).await
    };
    make("a").await.unwrap();
    make("b").await.unwrap();
    let status = make("c").await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.reason, "QUOTA_EXCEEDED");
    let said = |key: &str| info.metadata[key].clone();
    let subject = format!("vfolder:{vfolder}");
    assert_eq!(
        (said("subject"), said("unit")),
        (subject.clone(), "files".into())
    );
    assert_eq!(
        [said("limit"), said("used"), said("asked")],
        ["2", "2", "1"]
    );
    let quota = status.get_details_quota_failure().unwrap();
    assert_eq!(quota.violations[0].subject, subject);
    // An old grant does not bring the old limit back, and a new one lifts it at once.
    let unlimited = Quota {
        revision: 2,
        vfolder: Limits::default(),
        ..limits.clone()
    };
    let lifted = granted(&proxy, vfolder, &unlimited, mkdir(vfolder, "c".into()));
    proxy.files().create_directory(lifted).await.unwrap();
    make("d").await.unwrap();
}

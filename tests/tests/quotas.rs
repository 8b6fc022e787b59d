//! Limits of vfolders and of owners: kept by the manager, enforced where the bytes are written.

use std::{fs, path::Path};

use prost::Message as _;
use prost_types::FieldMask;
use tonic::Code;
use vfolder_proto::{
    google::{
        longrunning::{Operation, operation::Result as Outcome},
        rpc::{ErrorInfo, QuotaFailure},
    },
    v1::{
        CloneVFolderRequest, GetOwnerQuotaRequest, ListOwnerQuotasRequest, MountMode,
        OperationKind, Owner, OwnerQuota, OwnerUsage, PurgeVFolderRequest, RecountUsageRequest,
        RecountUsageResult, SetOwnerQuotaRequest, UpdateVFolderRequest, VFolder, VFolderStatus,
        owner,
    },
};
use vfolder_tests::{
    Engine, System, User, assert_refused, fill, on_each_engine, operation_metadata,
};

on_each_engine!(
    a_clone_beyond_its_limits_is_refused_and_foretold,
    a_clone_has_its_sources_limits_unless_it_says_otherwise,
    an_owners_quota_counts_all_the_owners_vfolders_on_the_volume,
    a_recount_says_what_is_in_the_tree,
    who_may_set_and_see_an_owners_quota,
);

/// Bytes and entries in a tree without hard links, found without any of the code that is tested.
fn found(tree: &Path) -> (i64, i64) {
    let mut sum = (0, 0);
    for entry in fs::read_dir(tree).unwrap() {
        let entry = entry.unwrap();
        let meta = entry.metadata().unwrap();
        sum.1 += 1;
        if meta.is_dir() {
            let below = found(&entry.path());
            sum = (sum.0 + below.0, sum.1 + below.1);
        } else if meta.is_file() {
            sum.0 += i64::try_from(meta.len()).unwrap();
        }
    }
    sum
}

pub fn limited(name: &str, max_bytes: Option<i64>, max_files: Option<i64>) -> VFolder {
    VFolder {
        name: name.into(),
        max_bytes,
        max_files,
        ..VFolder::default()
    }
}

pub async fn clone(user: &User, source: &str, vfolder: VFolder, dry: bool) -> Operation {
    let request = CloneVFolderRequest {
        source_id: source.into(),
        vfolder: Some(vfolder),
        validate_only: dry,
        ..CloneVFolderRequest::default()
    };
    let begun = user.vfolders.clone().clone_v_folder(request).await;
    let begun = begun.unwrap().into_inner();
    match dry {
        true => begun,
        false => user.wait(&begun.name).await,
    }
}

/// The message of the error that an operation has ended with.
fn exceeded(ended: &Operation) -> String {
    match &ended.result {
        Some(Outcome::Error(status)) => {
            assert_eq!(
                status.code,
                i32::from(Code::ResourceExhausted),
                "{status:?}"
            );
            status.message.clone()
        }
        other => panic!("it did not fail: {other:?}"),
    }
}

/// What the details of an operation's error say: whose limit, and what it is, what is used, what was asked for.
fn limit_of(ended: &Operation) -> (String, [i64; 3]) {
    let Some(Outcome::Error(status)) = &ended.result else {
        panic!("it did not fail: {ended:?}")
    };
    let detail = |name: &str| {
        let mut found = status.details.iter();
        let any = found.find(|any| any.type_url.ends_with(name)).unwrap();
        any.value.as_slice()
    };
    let failure = QuotaFailure::decode(detail("google.rpc.QuotaFailure")).unwrap();
    let info = ErrorInfo::decode(detail("google.rpc.ErrorInfo")).unwrap();
    let figures = ["limit", "used", "asked"].map(|key| info.metadata[key].parse().unwrap());
    assert_eq!(failure.violations[0].subject, info.metadata["subject"]);
    (info.metadata["subject"].clone(), figures)
}

pub fn fits(dry: &Operation) -> bool {
    operation_metadata(dry).estimate.unwrap().fits
}

async fn a_clone_beyond_its_limits_is_refused_and_foretold(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let source = alice.create("source").await.unwrap().id;
    fill(&system.tree(&source), 10, 100);
    let (bytes, files) = found(&system.tree(&source));
    for (max_bytes, max_files, limit) in [
        (bytes - 1, 0, format!("{} bytes", bytes - 1)),
        (0, files - 1, format!("{} files", files - 1)),
    ] {
        let small = || limited("small", Some(max_bytes), Some(max_files));
        assert!(!fits(&clone(&alice, &source, small(), true).await));
        let ended = clone(&alice, &source, small(), false).await;
        let why = exceeded(&ended);
        assert!(why.contains(&limit) && why.contains("0 are used"), "{why}");
        let (subject, figures) = limit_of(&ended);
        let id = &operation_metadata(&ended).vfolder_id;
        assert_eq!(subject, format!("vfolder:{id}"));
        let (most, asked) = match max_bytes {
            0 => (max_files, files),
            _ => (max_bytes, bytes),
        };
        assert_eq!(figures, [most, 0, asked]);
        let id = operation_metadata(&ended).vfolder_id;
        assert_eq!(alice.status(&id).await, VFolderStatus::Deleted);
        assert!(!system.tree(&id).exists());
    }
    let enough = || limited("enough", Some(bytes), Some(files));
    assert!(fits(&clone(&alice, &source, enough(), true).await));
    let ended = clone(&alice, &source, enough(), false).await;
    let id = operation_metadata(&ended).vfolder_id;
    assert_eq!(found(&system.tree(&id)), (bytes, files));
    system.doctor().await;
}

async fn a_clone_has_its_sources_limits_unless_it_says_otherwise(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let source = alice.create("source").await.unwrap();
    assert_eq!((source.max_bytes, source.max_files), (Some(0), Some(0)));
    let set = UpdateVFolderRequest {
        vfolder: Some(VFolder {
            id: source.id.clone(),
            ..limited("", Some(1_000), Some(10))
        }),
        update_mask: Some(FieldMask {
            paths: vec!["max_bytes".into(), "max_files".into()],
        }),
        validate_only: false,
    };
    let set = alice.vfolders.clone().update_v_folder(set).await;
    let set = set.unwrap().into_inner();
    assert_eq!((set.max_bytes, set.max_files), (Some(1_000), Some(10)));
    for (name, asked, expected) in [
        ("as it is", (None, None), (Some(1_000), Some(10))),
        ("lifted", (Some(0), None), (Some(0), Some(10))),
        ("other", (Some(5), Some(6)), (Some(5), Some(6))),
    ] {
        let ended = clone(&alice, &source.id, limited(name, asked.0, asked.1), false).await;
        let made = alice.get(&operation_metadata(&ended).vfolder_id).await;
        let made = made.unwrap();
        assert_eq!((made.max_bytes, made.max_files), expected, "{name}");
    }
    let event = alice
        .vfolders
        .clone()
        .list_events(vfolder_proto::v1::ListEventsRequest {
            vfolder_id: source.id,
            ..Default::default()
        })
        .await
        .unwrap()
        .into_inner();
    let told = event
        .events
        .iter()
        .any(|e| e.reason.contains("max_bytes 0 → 1000"));
    assert!(told, "{event:?}");
}

pub fn of_user(id: &str) -> Option<Owner> {
    Some(Owner {
        owner: Some(owner::Owner::User(id.into())),
    })
}

async fn set_quota(admin: &User, user: &str, max_bytes: i64) -> OwnerQuota {
    let request = SetOwnerQuotaRequest {
        owner: of_user(user),
        max_bytes,
        ..SetOwnerQuotaRequest::default()
    };
    let set = admin.quotas.clone().set_owner_quota(request).await;
    set.unwrap().into_inner()
}

pub async fn usage(user: &User) -> OwnerUsage {
    let request = GetOwnerQuotaRequest::default();
    let quota = user.quotas.clone().get_owner_quota(request).await;
    quota.unwrap().into_inner().usage.unwrap()
}

async fn an_owners_quota_counts_all_the_owners_vfolders_on_the_volume(engine: Engine) {
    let mut system = System::start(engine).await;
    let (alice, admin) = (system.user("alice"), system.admin());
    let source = alice.create("source").await.unwrap().id;
    fill(&system.tree(&source), 10, 100);
    let (bytes, files) = found(&system.tree(&source));
    // What is there already counts, and a clone of it.
    let set = set_quota(&admin, "alice", bytes * 3 - 1).await;
    assert_eq!(set.usage.unwrap().uncounted_vfolders, 1);
    let plain = |name: &str| limited(name, None, None);
    assert!(fits(&clone(&alice, &source, plain("first"), true).await));
    let first = clone(&alice, &source, plain("first"), false).await;
    let first = operation_metadata(&first).vfolder_id;
    let both = OwnerUsage {
        bytes: bytes * 2,
        files: files * 2,
        ..OwnerUsage::default()
    };
    assert_eq!(usage(&alice).await, both);
    assert!(!fits(&clone(&alice, &source, plain("second"), true).await));
    let why = exceeded(&clone(&alice, &source, plain("second"), false).await);
    assert!(why.contains("user:alice"), "{why}");
    // Others are not concerned, and a crash changes nothing.
    let bob = system.user("bob");
    assert_eq!(usage(&bob).await, OwnerUsage::default());
    system.storage.kill();
    system.start_storage().await;
    let mut now = usage(&alice).await;
    if now.uncounted_vfolders > 0 {
        let why = exceeded(&clone(&alice, &source, plain("second"), false).await);
        assert!(why.contains("user:alice"), "{why}");
        now = usage(&alice).await;
    }
    assert_eq!(now, both);
    let purge = PurgeVFolderRequest {
        vfolder_id: first,
        skip_trash: true,
        ..PurgeVFolderRequest::default()
    };
    let purge = alice.vfolders.clone().purge_v_folder(purge).await.unwrap();
    alice.wait(&purge.get_ref().name).await;
    assert_eq!(usage(&alice).await.bytes, bytes);
    let second = clone(&alice, &source, plain("second"), false).await;
    assert_eq!(usage(&alice).await, both);
    // Handed over, it counts for whom it belongs to.
    let handed = UpdateVFolderRequest {
        vfolder: Some(VFolder {
            id: operation_metadata(&second).vfolder_id,
            owner: of_user("bob"),
            ..VFolder::default()
        }),
        update_mask: Some(FieldMask {
            paths: vec!["owner".into()],
        }),
        validate_only: false,
    };
    admin
        .vfolders
        .clone()
        .update_v_folder(handed)
        .await
        .unwrap();
    assert_eq!(usage(&alice).await.bytes, bytes);
    assert_eq!(usage(&bob).await.bytes, bytes);
    system.doctor().await;
}

async fn a_recount_says_what_is_in_the_tree(engine: Engine) {
    let system = System::start(engine).await;
    let (alice, admin) = (system.user("alice"), system.admin());
    let vfolder = alice.create("data").await.unwrap().id;
    set_quota(&admin, "alice", 1 << 40).await;
    // A session writes past the storage-proxy.
    let mount = alice
        .mount(&vfolder, "s", MountMode::ReadWrite)
        .await
        .unwrap();
    fill(&system.tree(&vfolder), 7, 1_000);
    let recount = async || {
        let request = RecountUsageRequest {
            vfolder_id: vfolder.clone(),
        };
        let begun = alice.vfolders.clone().recount_usage(request).await.unwrap();
        let ended = alice.wait(&begun.get_ref().name).await;
        assert_eq!(operation_metadata(&ended).kind(), OperationKind::Recount);
        match ended.result {
            Some(Outcome::Response(any)) => {
                RecountUsageResult::decode(any.value.as_slice()).unwrap()
            }
            other => panic!("it did not succeed: {other:?}"),
        }
    };
    let (bytes, files) = found(&system.tree(&vfolder));
    let mut expected = RecountUsageResult {
        vfolder_id: vfolder.clone(),
        bytes,
        files,
        may_have_changed: true,
    };
    assert_eq!(recount().await, expected);
    assert_eq!(usage(&alice).await.bytes, bytes);
    alice.unmount(&mount).await.unwrap();
    // The events of a mount stay: a later recount is not about them.
    expected.may_have_changed = false;
    assert_eq!(recount().await, expected);
    assert_eq!(alice.status(&vfolder).await, VFolderStatus::Ready);
}

async fn who_may_set_and_see_an_owners_quota(engine: Engine) {
    let system = System::start(engine).await;
    let (alice, admin) = (system.user("alice"), system.admin());
    let set = SetOwnerQuotaRequest {
        owner: of_user("alice"),
        max_bytes: 1,
        ..SetOwnerQuotaRequest::default()
    };
    let refused = alice.quotas.clone().set_owner_quota(set).await;
    assert_refused(refused, Code::PermissionDenied, "PERMISSION_TOO_SMALL");
    let all = ListOwnerQuotasRequest::default();
    let refused = alice.quotas.clone().list_owner_quotas(all).await;
    assert_refused(refused, Code::PermissionDenied, "PERMISSION_TOO_SMALL");
    let of_bob = GetOwnerQuotaRequest {
        owner: of_user("bob"),
        ..GetOwnerQuotaRequest::default()
    };
    let refused = alice.quotas.clone().get_owner_quota(of_bob).await;
    assert_refused(refused, Code::PermissionDenied, "PERMISSION_TOO_SMALL");
    for (user, bytes) in [("carol", 3), ("alice", 1), ("bob", 2), ("dave", 4)] {
        set_quota(&admin, user, bytes).await;
    }
    // Lifted, there is none.
    set_quota(&admin, "dave", 0).await;
    let (mut named, mut token) = (Vec::new(), String::new());
    loop {
        let page = ListOwnerQuotasRequest {
            page_size: 2,
            page_token: token,
            ..ListOwnerQuotasRequest::default()
        };
        let page = admin.quotas.clone().list_owner_quotas(page).await;
        let page = page.unwrap().into_inner();
        named.extend(page.quotas.iter().map(|q| (q.owner.clone(), q.max_bytes)));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let expected = [("alice", 1), ("bob", 2), ("carol", 3)];
    assert_eq!(named, expected.map(|(user, bytes)| (of_user(user), bytes)));
}

//! What a tree is, said by a clone and said again by VerifyVFolder: whatever is changed behind the service's back shows,
//! and reading a tree changes nothing and keeps nobody from anything.

use std::{fs, os::unix::fs::FileExt as _, path::Path};

use prost::Message as _;
use tonic::{Code, Status};
use vfolder_proto::{
    google::longrunning::{Operation, operation::Result as Outcome},
    v1::{
        CloneMethod, CloneVFolderRequest, ExplainRequest, ListEventsRequest, MountMode,
        OperationKind, OperationState, PurgeVFolderRequest, TreeReceipt, VFolder, VFolderStatus,
        VerifyVFolderRequest, VerifyVFolderResult,
    },
};
use vfolder_tests::{
    Engine, System, User, assert_field_refused, assert_refused, eventually, fill, on_each_engine,
    operation_metadata,
};

on_each_engine!(
    a_byte_changed_behind_the_services_back_shows,
    a_clone_without_a_receipt_has_none_and_can_be_verified_all_the_same,
    verifying_changes_nothing_and_its_vfolder_stays_in_use,
    who_could_write_meanwhile_is_told_of,
    a_verification_survives_the_storage_proxy_and_the_manager,
    a_verification_is_cancelled_while_it_reads,
    a_purge_ends_the_verification_and_it_says_why,
    the_same_request_with_and_without_a_receipt_is_not_the_same,
    an_estimate_says_how_and_how_long,
);

async fn clone_with_receipt(user: &User, source: &str, name: &str) -> Operation {
    let request = CloneVFolderRequest {
        source_id: source.into(),
        vfolder: named(name),
        receipt: true,
        ..CloneVFolderRequest::default()
    };
    let begun = user.vfolders.clone().clone_v_folder(request).await.unwrap();
    user.wait(&begun.get_ref().name).await
}

fn named(name: &str) -> Option<VFolder> {
    Some(VFolder {
        name: name.into(),
        ..VFolder::default()
    })
}

async fn verify(user: &User, id: &str, expected: &str) -> Result<Operation, Status> {
    let request = VerifyVFolderRequest {
        vfolder_id: id.into(),
        expected_digest: expected.into(),
    };
    let begun = user.vfolders.clone().verify_v_folder(request).await?;
    Ok(begun.into_inner())
}

async fn verified(user: &User, id: &str, expected: &str) -> VerifyVFolderResult {
    let begun = verify(user, id, expected).await.unwrap();
    result(&user.wait(&begun.name).await)
}

fn result(ended: &Operation) -> VerifyVFolderResult {
    let metadata = operation_metadata(ended);
    assert_eq!(metadata.kind(), OperationKind::Verify);
    match &ended.result {
        Some(Outcome::Response(any)) => {
            let result = VerifyVFolderResult::decode(any.value.as_slice()).unwrap();
            assert_eq!(result.receipt, metadata.receipt);
            assert_eq!(result.vfolder_id, metadata.vfolder_id);
            result
        }
        other => panic!("it did not succeed: {other:?}"),
    }
}

fn error(ended: &Operation) -> String {
    match &ended.result {
        Some(Outcome::Error(status)) => status.message.clone(),
        other => panic!("it did not fail: {other:?}"),
    }
}

/// A tree whose digest takes about a second: two gibibytes to hash, in few blocks on disk.
fn fill_large(tree: &Path) {
    const BLOCKS: u64 = 16 * 1024;
    for name in ["one", "other"] {
        let file = fs::File::create(tree.join(name)).unwrap();
        file.set_len(BLOCKS << 16).unwrap();
        for block in 0..BLOCKS {
            file.write_all_at(b"x", block << 16).unwrap();
        }
    }
}

async fn reads(user: &User, operation: &str) {
    eventually("the tree is being read", async || {
        let op = user.operation(operation).await.unwrap();
        let metadata = operation_metadata(&op);
        let begun = metadata.progress.is_some_and(|p| p.bytes_done > 0);
        (begun && metadata.state() == OperationState::Running).then_some(())
    })
    .await;
}

async fn a_byte_changed_behind_the_services_back_shows(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let source = alice.create("source").await.unwrap().id;
    fill(&system.tree(&source), 40, 3000);
    let cloned = clone_with_receipt(&alice, &source, "copy").await;
    let metadata = operation_metadata(&cloned);
    let receipt = metadata.receipt.unwrap();
    assert_eq!(receipt.files, metadata.progress.unwrap().files_done);
    assert!(receipt.digest.starts_with("blake3-tree-v1:"), "{receipt:?}");
    let copy = alice.get(&metadata.vfolder_id).await.unwrap();
    let kept = copy.receipt.clone().unwrap();
    let told = |r: &TreeReceipt| (r.digest.clone(), r.files, r.bytes, r.time.is_some());
    assert_eq!(told(&kept), told(&receipt));
    assert_eq!(alice.get(&source).await.unwrap().receipt, None);

    // With what it was made with, and, of its source, with what somebody has written down.
    for (id, expected) in [(&copy.id, ""), (&source, kept.digest.as_str())] {
        let found = verified(&alice, id, expected).await;
        assert!(found.matches && !found.may_have_changed, "{found:?}");
        assert_eq!(found.expected_digest, kept.digest);
        assert_eq!(found.receipt.unwrap().digest, kept.digest);
    }

    let file = walk_to_a_file(&system.tree(&copy.id));
    let before = fs::metadata(&file).unwrap().modified().unwrap();
    let open = fs::File::options()
        .read(true)
        .write(true)
        .open(&file)
        .unwrap();
    let mut byte = [0];
    open.read_exact_at(&mut byte, 77).unwrap();
    open.write_all_at(&[byte[0] ^ 1], 77).unwrap();
    open.set_modified(before).unwrap();
    let found = verified(&alice, &copy.id, "").await;
    assert!(!found.matches, "{found:?}");
    assert_eq!(found.expected_digest, kept.digest);
    open.write_all_at(&byte, 77).unwrap();
    open.set_modified(before).unwrap();
    assert!(verified(&alice, &copy.id, "").await.matches);
    system.assert_sound().await;
}

fn walk_to_a_file(tree: &Path) -> std::path::PathBuf {
    let mut entries = fs::read_dir(tree).unwrap().map(|e| e.unwrap().path());
    entries
        .find(|path| path.is_file() && !path.is_symlink())
        .unwrap_or_else(|| {
            let below = fs::read_dir(tree).unwrap().map(|e| e.unwrap().path());
            walk_to_a_file(&below.into_iter().find(|path| path.is_dir()).unwrap())
        })
}

async fn a_clone_without_a_receipt_has_none_and_can_be_verified_all_the_same(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let source = alice.create("source").await.unwrap().id;
    let begun = alice.clone_to(&source, "copy").await.unwrap();
    let metadata = operation_metadata(&alice.wait(&begun.name).await);
    assert_eq!(metadata.receipt, None);
    let copy = alice.get(&metadata.vfolder_id).await.unwrap();
    assert_eq!(copy.receipt, None);
    let found = verified(&alice, &copy.id, "").await;
    assert!(
        !found.matches && found.expected_digest.is_empty(),
        "{found:?}"
    );
    let digest = found.receipt.unwrap().digest;
    assert!(verified(&alice, &source, &digest).await.matches);
    let refused = verify(&alice, &source, &digest.to_uppercase()).await;
    assert_field_refused(refused, &["expected_digest"]);
    let bob = system.user("bob");
    let refused = verify(&bob, &source, "").await;
    assert_refused(refused, Code::NotFound, "VFOLDER_NOT_FOUND");
}

async fn verifying_changes_nothing_and_its_vfolder_stays_in_use(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("v").await.unwrap().id;
    fill_large(&system.tree(&id));
    let events = async || {
        let request = ListEventsRequest {
            vfolder_id: id.clone(),
            ..ListEventsRequest::default()
        };
        let listed = alice.vfolders.clone().list_events(request).await;
        listed.unwrap().into_inner().events
    };
    let (before, history) = (alice.get(&id).await.unwrap(), events().await);
    let begun = verify(&alice, &id, "").await.unwrap();
    reads(&alice, &begun.name).await;
    let during = alice.get(&id).await.unwrap();
    assert_eq!(during.status(), VFolderStatus::Ready);
    assert_eq!(
        (during.etag, during.epoch),
        (before.etag.clone(), before.epoch)
    );
    assert_eq!(during.operations, [begun.name.clone()]);
    let request = ExplainRequest {
        vfolder_id: id.clone(),
    };
    let why = alice.vfolders.clone().explain(request).await.unwrap();
    assert!(why.get_ref().explanation.contains("at rest"), "{why:?}");
    // In the trash and out of it again, while it goes on.
    alice.trash(&id).await.unwrap();
    alice.restore(&id).await.unwrap();
    system.assert_sound().await;
    assert!(!result(&alice.wait(&begun.name).await).matches);
    let after = alice.get(&id).await.unwrap();
    assert_eq!(after.operations, Vec::<String>::new());
    // Only what was done to it is in its history.
    assert_eq!(events().await.len(), history.len() + 2);
    system.assert_sound().await;
}

async fn who_could_write_meanwhile_is_told_of(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("v").await.unwrap().id;
    let reader = alice
        .mount(&id, "reader", MountMode::ReadOnly)
        .await
        .unwrap();
    assert!(!verified(&alice, &id, "").await.may_have_changed);
    let writer = alice
        .mount(&id, "writer", MountMode::ReadWrite)
        .await
        .unwrap();
    let found = verified(&alice, &id, "").await;
    assert!(found.may_have_changed, "{found:?}");
    alice.unmount(&writer).await.unwrap();
    assert!(!verified(&alice, &id, "").await.may_have_changed);
    alice.unmount(&reader).await.unwrap();
    // Taken and released while it was read.
    fill_large(&system.tree(&id));
    let begun = verify(&alice, &id, "").await.unwrap();
    reads(&alice, &begun.name).await;
    let writer = alice
        .mount(&id, "writer", MountMode::ReadWrite)
        .await
        .unwrap();
    alice.unmount(&writer).await.unwrap();
    assert!(result(&alice.wait(&begun.name).await).may_have_changed);
    system.assert_sound().await;
}

async fn a_verification_survives_the_storage_proxy_and_the_manager(engine: Engine) {
    let mut system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("v").await.unwrap().id;
    fill_large(&system.tree(&id));
    let wanted = verified(&alice, &id, "").await.receipt.unwrap();
    let begun = verify(&alice, &id, &wanted.digest).await.unwrap();
    reads(&alice, &begun.name).await;
    system.storage.kill();
    system.start_storage().await;
    let ended = alice.wait(&begun.name).await;
    assert!(result(&ended).matches);
    assert!(operation_metadata(&ended).attempt > 1, "{ended:?}");

    let begun = verify(&alice, &id, &wanted.digest).await.unwrap();
    reads(&alice, &begun.name).await;
    system.manager.kill();
    system.start_manager().await;
    let alice = system.user("alice");
    assert!(result(&alice.wait(&begun.name).await).matches);
    system.assert_sound().await;
}

async fn a_verification_is_cancelled_while_it_reads(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("v").await.unwrap().id;
    fill_large(&system.tree(&id));
    let begun = verify(&alice, &id, "").await.unwrap();
    reads(&alice, &begun.name).await;
    alice.cancel(&begun.name).await.unwrap();
    let ended = alice.wait(&begun.name).await;
    assert_eq!(
        operation_metadata(&ended).state(),
        OperationState::Cancelled
    );
    assert_eq!(alice.status(&id).await, VFolderStatus::Ready);
    // Nobody was shut out of the tree.
    let writer = alice
        .mount(&id, "writer", MountMode::ReadWrite)
        .await
        .unwrap();
    alice.unmount(&writer).await.unwrap();
    assert!(alice.clone_to(&id, "copy").await.is_ok());
    system.assert_sound().await;
}

async fn a_purge_ends_the_verification_and_it_says_why(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let id = alice.create("v").await.unwrap().id;
    fill_large(&system.tree(&id));
    let begun = verify(&alice, &id, "").await.unwrap();
    reads(&alice, &begun.name).await;
    let request = PurgeVFolderRequest {
        vfolder_id: id.clone(),
        skip_trash: true,
        ..PurgeVFolderRequest::default()
    };
    let purge = alice
        .vfolders
        .clone()
        .purge_v_folder(request)
        .await
        .unwrap();
    let why = error(&alice.wait(&begun.name).await);
    assert!(why.contains("has changed hands while it was read"), "{why}");
    assert!(alice.wait(&purge.get_ref().name).await.done);
    assert_eq!(alice.status(&id).await, VFolderStatus::Deleted);
    let refused = verify(&alice, &id, "").await;
    assert_refused(refused, Code::FailedPrecondition, "VFOLDER_STATUS");
    system.assert_sound().await;
}

async fn the_same_request_with_and_without_a_receipt_is_not_the_same(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let source = alice.create("source").await.unwrap().id;
    let request = CloneVFolderRequest {
        source_id: source,
        vfolder: named("copy"),
        request_id: "01890a5d-ac96-774b-bcce-b302099a8057".into(),
        receipt: true,
        ..CloneVFolderRequest::default()
    };
    let mut vfolders = alice.vfolders.clone();
    let first = vfolders.clone_v_folder(request.clone()).await.unwrap();
    let again = vfolders.clone_v_folder(request.clone()).await.unwrap();
    assert_eq!(first.get_ref().name, again.get_ref().name);
    let other = CloneVFolderRequest {
        receipt: false,
        ..request
    };
    let refused = vfolders.clone_v_folder(other).await;
    assert_refused(refused, Code::AlreadyExists, "REQUEST_ID_REUSED");
    alice.wait(&first.get_ref().name).await;
}

async fn an_estimate_says_how_and_how_long(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let source = alice.create("source").await.unwrap().id;
    fill(&system.tree(&source), 10, 100_000);
    let hole = fs::File::create(system.tree(&source).join("hole")).unwrap();
    hole.set_len(1 << 40).unwrap();
    let request = CloneVFolderRequest {
        source_id: source,
        vfolder: named("copy"),
        validate_only: true,
        ..CloneVFolderRequest::default()
    };
    let would = alice
        .vfolders
        .clone()
        .clone_v_folder(request)
        .await
        .unwrap();
    let estimate = operation_metadata(would.get_ref()).estimate.unwrap();
    match estimate.method() {
        CloneMethod::Copy => assert!(estimate.disk_bytes >= 1_000_000, "{estimate:?}"),
        CloneMethod::Reflink => assert_eq!(estimate.disk_bytes, 0),
        other => panic!("{other:?}: {estimate:?}"),
    }
    // A terabyte of holes needs no space.
    assert!(
        estimate.bytes > 1 << 40 && estimate.disk_bytes < 1 << 30,
        "{estimate:?}"
    );
    assert!(estimate.fits, "{estimate:?}");
    let duration = estimate.duration.unwrap();
    assert!(duration.seconds > 0 || duration.nanos > 0, "{duration:?}");
}

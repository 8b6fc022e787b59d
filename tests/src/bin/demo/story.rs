//! The story, step by step.

use std::time::Instant;

use prost_types::FieldMask;
use tonic::Code;
use vfolder_proto::v1::{
    ListEventsRequest, MountMode, UpdateVFolderRequest, VFolder, VFolderStatus,
};
use vfolder_tests::{System, User, assert_same_tree, operation_metadata};

use crate::{
    Told, chapter, check,
    library::{self, Library},
    progress::Watched,
    refusal::refused,
    say,
};

pub(crate) async fn tell(system: &System) -> Told<()> {
    let alice = system.user("alice");
    let library = create_and_fill(&alice).await?;
    let copy = clone_with_a_rename_in_between(system, &alice, &library).await?;
    mount_and_try_to_trash(&alice, &library).await?;
    trash_and_restore(system, &alice, &library).await?;
    purge(system, &alice, &copy).await?;
    history(&alice, &library).await?;
    doctor(system).await
}

async fn create_and_fill(alice: &User) -> Told<String> {
    chapter("Alice creates a vfolder and fills it through the API");
    let made = alice.create("library").await.map_err(said)?;
    expect_status(&made, VFolderStatus::Ready)?;
    say(format!("vfolder {} is READY", made.id));
    let library = blocking(Library::collect)
        .await?
        .map_err(|error| error.to_string())?;
    check(
        library.files() >= library::FILES,
        "the library has too few files",
    )?;
    let start = Instant::now();
    library.write(alice, &made.id).await?;
    say(format!(
        "she wrote {} files, {} MB: the sources of VFolder's dependencies, {} times over, in {:.1?}",
        library.files(),
        library.bytes() / 1_000_000,
        library.shelves,
        start.elapsed()
    ));
    let start = Instant::now();
    let read = library.check(alice, &made.id).await?;
    say(format!(
        "a list tells every one of them with its size, and {read} that she read back have every byte; that took {:.1?}",
        start.elapsed()
    ));
    Ok(made.id)
}

async fn clone_with_a_rename_in_between(
    system: &System,
    alice: &User,
    library: &str,
) -> Told<String> {
    chapter("She clones it, and tries to rename it while that runs");
    let operation = alice.clone_to(library, "copy").await.map_err(said)?;
    let copy = operation_metadata(&operation).vfolder_id;
    let mut watched = Watched::new(alice, &operation.name).await?;
    let news = watched.next().await?;
    check(
        !news.done,
        "the clone was over before the rename could be tried: the tree is too small for this machine",
    )?;
    println!();
    expect_status(
        &alice.get(library).await.map_err(said)?,
        VFolderStatus::Cloning,
    )?;
    say("the source is CLONING: it can be read and cloned again, not changed. So a rename is");
    refused(
        rename(alice, library, "books").await,
        Code::Aborted,
        "VFOLDER_BUSY",
    )?;
    let took = watched.finish().await?;
    say(format!("the clone took {took:.2?}"));
    expect_status(
        &alice.get(library).await.map_err(said)?,
        VFolderStatus::Ready,
    )?;
    expect_status(&alice.get(&copy).await.map_err(said)?, VFolderStatus::Ready)?;
    let (source, destination) = (system.tree(library), system.tree(&copy));
    blocking(move || assert_same_tree(&source, &destination)).await?;
    say("both are READY, and the copy is the same in every name, mode, owner, time and byte.");
    rename(alice, library, "books").await.map_err(said)?;
    say("now the rename is admitted.");
    Ok(copy)
}

async fn mount_and_try_to_trash(alice: &User, library: &str) -> Told<()> {
    chapter("A session mounts it, and she tries to trash it");
    let mount = alice
        .mount(library, "notebook-7", MountMode::ReadOnly)
        .await
        .map_err(said)?;
    say("the session \"notebook-7\" holds a mount, so the trash is");
    refused(
        alice.trash(library).await,
        Code::FailedPrecondition,
        "VFOLDER_STATUS",
    )?;
    alice.unmount(&mount).await.map_err(said)?;
    say("the session unmounted it.");
    Ok(())
}

async fn trash_and_restore(system: &System, alice: &User, library: &str) -> Told<()> {
    chapter("She trashes it and changes her mind");
    let trashed = alice.trash(library).await.map_err(said)?;
    expect_status(&trashed, VFolderStatus::Trashed)?;
    let purge_time = trashed
        .purge_time
        .ok_or("a trashed vfolder has a purge time")?;
    say(format!(
        "TRASHED; it would be purged at {purge_time}. Its name is free meanwhile."
    ));
    check(system.tree(library).is_dir(), "the trash keeps the tree")?;
    let restored = alice.restore(library).await.map_err(said)?;
    expect_status(&restored, VFolderStatus::Ready)?;
    say("restored: READY, with all its files.");
    Ok(())
}

async fn purge(system: &System, alice: &User, copy: &str) -> Told<()> {
    chapter("She trashes the copy and purges it");
    let tree = system.tree(copy);
    alice.trash(copy).await.map_err(said)?;
    let operation = alice.purge(copy).await.map_err(said)?;
    let took = Watched::new(alice, &operation.name).await?.finish().await?;
    say(format!("the purge took {took:.2?}"));
    expect_status(
        &alice.get(copy).await.map_err(said)?,
        VFolderStatus::Deleted,
    )?;
    check(!tree.exists(), "a purged tree is gone")?;
    say("DELETED: the record stays for a while, the tree is gone.");
    Ok(())
}

async fn history(alice: &User, library: &str) -> Told<()> {
    chapter("What happened to the first one, as its history has it");
    let request = ListEventsRequest {
        vfolder_id: library.to_owned(),
        ..ListEventsRequest::default()
    };
    let events = alice
        .vfolders
        .clone()
        .list_events(request)
        .await
        .map_err(said)?
        .into_inner()
        .events;
    for event in &events {
        let (from, to) = (
            event.from_status().as_str_name(),
            event.to_status().as_str_name(),
        );
        let from = if event.from_status == 0 { "" } else { from };
        say(format!(
            "{:>3}  {from:>8} → {to:<8}  {} by {}",
            event.sequence, event.action, event.actor
        ));
    }
    check(!events.is_empty(), "there is a history")
}

async fn doctor(system: &System) -> Told<()> {
    chapter("The doctor");
    let findings = system.doctor().await;
    check(
        findings.is_empty(),
        format!("the doctor found {findings:#?}"),
    )?;
    say("finds nothing wrong: every status has its backing, every tree its record.");
    Ok(())
}

async fn rename(alice: &User, id: &str, name: &str) -> Result<VFolder, tonic::Status> {
    let request = UpdateVFolderRequest {
        vfolder: Some(VFolder {
            id: id.to_owned(),
            name: name.to_owned(),
            ..VFolder::default()
        }),
        update_mask: Some(FieldMask {
            paths: vec!["name".to_owned()],
        }),
        validate_only: false,
    };
    Ok(alice
        .vfolders
        .clone()
        .update_v_folder(request)
        .await?
        .into_inner())
}

fn expect_status(vfolder: &VFolder, expected: VFolderStatus) -> Told<()> {
    let (found, expected) = (vfolder.status().as_str_name(), expected.as_str_name());
    check(
        found == expected,
        format!("{} was to be {expected}, and is {found}", vfolder.name),
    )
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Told<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| e.to_string())
}

/// What a refusal says.
pub(crate) fn said(status: tonic::Status) -> String {
    format!("{:?}: {}", status.code(), status.message())
}

//! The admission table of the design, walked over the wire: all statuses × all access kinds, and every refusal's code,
//! reason and details. What is refused changes nothing.

use std::collections::BTreeMap;

use prost_types::FieldMask;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use vfolder_proto::v1::{
    CreateDirectoryRequest, DeleteVFolderRequest, GetUsageRequest, ListFilesRequest, MountMode,
    MoveFileRequest, PurgeVFolderRequest, RemoveFilesRequest, SearchFilesRequest, StatFileRequest,
    UpdateVFolderRequest, VFolder, VFolderStatus,
};
use vfolder_tests::{Engine, System, User, assert_refused, on_each_engine, reason_of};

use crate::staged::Staged;

on_each_engine!(
    each_status_admits_what_the_design_says,
    what_is_settled_already_succeeds_with_allow_missing,
);

/// By hand: rows are access kinds, with the condition that the row is about; columns are statuses.
/// `yes` admitted; `busy` ABORTED VFOLDER_BUSY; `status` FAILED_PRECONDITION VFOLDER_STATUS.
const TABLE: &str = "
    access               CREATING READY  PERFORMING CLONING MOUNTED TRASHED DELETING DELETED ERROR
    METADATA             yes      yes    yes        yes     yes     yes     yes      yes     yes
    READABLE             busy     yes    yes        yes     yes     yes     busy     status  status
    WRITABLE             busy     yes    busy       busy    yes     status  busy     status  status
    UPDATABLE            busy     yes    busy       busy    status  status  busy     status  status
    CLONABLE/ro-mounted  busy     yes    busy       yes     yes     status  busy     status  status
    CLONABLE/rw-mounted  busy     yes    busy       yes     status  status  busy     status  status
    MOUNTABLE/ro         busy     yes    yes        yes     yes     status  busy     status  status
    MOUNTABLE/rw         busy     yes    busy       busy    yes     status  busy     status  status
    DELETABLE            busy     yes    busy       busy    status  status  busy     status  yes
    RESTORABLE           busy     status busy       busy    status  yes     busy     status  status
    PURGABLE             busy     status busy       busy    status  yes     busy     status  yes
    PURGABLE/skip-trash  busy     yes    busy       busy    status  yes     busy     status  yes
";

#[derive(Debug)]
struct Cell {
    access: &'static str,
    status: VFolderStatus,
    expected: &'static str,
    vfolder: String,
}

async fn each_status_admits_what_the_design_says(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let cells = stage(&system, &alice).await;
    assert_eq!(cells.len(), 12 * 9);
    for cell in cells {
        let before = alice.get(&cell.vfolder).await.unwrap();
        assert_eq!(before.status(), cell.status, "{cell:?}");
        let answer = ask(&alice, &cell).await;
        match cell.expected {
            "yes" => answer.unwrap_or_else(|e| panic!("{cell:?} was refused: {e:?}")),
            "busy" => assert_busy(answer, &cell),
            "status" => assert_resting(answer, &cell),
            other => panic!("the table says {other:?}"),
        }
        if cell.expected != "yes" {
            assert_eq!(alice.get(&cell.vfolder).await.unwrap(), before, "{cell:?}");
        }
    }
}

/// A vfolder in its status for each cell.
async fn stage(system: &System, alice: &User) -> Vec<Cell> {
    let mut lines = TABLE.lines().map(str::trim).filter(|l| !l.is_empty());
    let statuses: Vec<VFolderStatus> = lines
        .next()
        .unwrap()
        .split_whitespace()
        .skip(1)
        .map(|name| VFolderStatus::from_str_name(name).unwrap())
        .collect();
    let mut cells = Vec::new();
    let mut statements = Vec::new();
    for line in lines {
        let mut words = line.split_whitespace();
        let access = words.next().unwrap();
        for (&status, expected) in statuses.iter().zip(words) {
            let name = format!("{}-{}", access.replace('/', "-"), status.as_str_name());
            let vfolder = alice.create(&name).await.unwrap().id;
            let mut staged = Staged::on(&system.database, &vfolder).status(status);
            if status == VFolderStatus::Mounted {
                staged = staged.mount("reader", "ro");
                if access == "CLONABLE/rw-mounted" {
                    staged = staged.mount("writer", "rw");
                }
            }
            statements.push(staged.into_sql());
            cells.push(Cell {
                access,
                status,
                expected,
                vfolder,
            });
        }
    }
    system.database.execute(&statements.join(";\n")).await;
    cells
}

/// Does what needs this access.
async fn ask(alice: &User, cell: &Cell) -> Result<(), Status> {
    let id = cell.vfolder.clone();
    let done = |_: VFolder| ();
    match cell.access {
        "METADATA" => alice.get(&id).await.map(done),
        "READABLE" => alike(&look(alice, &id).await),
        "WRITABLE" => alike(&change(alice, &id).await),
        "UPDATABLE" => {
            let request = UpdateVFolderRequest {
                vfolder: Some(VFolder {
                    id,
                    description: "new".into(),
                    ..VFolder::default()
                }),
                update_mask: Some(FieldMask {
                    paths: vec!["description".into()],
                }),
                validate_only: false,
            };
            alice
                .vfolders
                .clone()
                .update_v_folder(request)
                .await
                .map(|_| ())
        }
        "CLONABLE/ro-mounted" | "CLONABLE/rw-mounted" => alice
            .clone_to(&id, &format!("clone-{id}"))
            .await
            .map(|_| ()),
        "MOUNTABLE/ro" => alice
            .mount(&id, "new", MountMode::ReadOnly)
            .await
            .map(|_| ()),
        "MOUNTABLE/rw" => alice
            .mount(&id, "new", MountMode::ReadWrite)
            .await
            .map(|_| ()),
        "DELETABLE" => alice.trash(&id).await.map(done),
        "RESTORABLE" => alice.restore(&id).await.map(done),
        "PURGABLE" => alice.purge(&id).await.map(|_| ()),
        "PURGABLE/skip-trash" => {
            let request = PurgeVFolderRequest {
                vfolder_id: id,
                skip_trash: true,
                ..PurgeVFolderRequest::default()
            };
            alice
                .vfolders
                .clone()
                .purge_v_folder(request)
                .await
                .map(|_| ())
        }
        other => panic!("nothing is known that needs {other}"),
    }
}

/// Every RPC that looks at files.
async fn look(alice: &User, id: &str) -> Vec<Result<(), Status>> {
    let (vfolder_id, mut files) = (id.to_owned(), alice.files.clone());
    let list = ListFilesRequest {
        vfolder_id: vfolder_id.clone(),
        ..ListFilesRequest::default()
    };
    let stat = StatFileRequest {
        vfolder_id: vfolder_id.clone(),
        ..StatFileRequest::default()
    };
    let search = SearchFilesRequest {
        vfolder_id: vfolder_id.clone(),
        pattern: "*".into(),
        ..SearchFilesRequest::default()
    };
    let usage = GetUsageRequest {
        vfolder_id,
        ..GetUsageRequest::default()
    };
    vec![
        files.list_files(list).await.map(drop),
        files.stat_file(stat).await.map(drop),
        files.search_files(search).await.map(drop),
        files.get_usage(usage).await.map(drop),
    ]
}

/// Every RPC that changes them at once.
async fn change(alice: &User, id: &str) -> Vec<Result<(), Status>> {
    let (vfolder_id, mut files) = (id.to_owned(), alice.files.clone());
    let make = CreateDirectoryRequest {
        vfolder_id: vfolder_id.clone(),
        path: "made".into(),
        ..CreateDirectoryRequest::default()
    };
    let rename = MoveFileRequest {
        vfolder_id: vfolder_id.clone(),
        path: "made".into(),
        new_path: "moved".into(),
        ..MoveFileRequest::default()
    };
    let remove = RemoveFilesRequest {
        vfolder_id,
        paths: vec!["moved".into()],
        ..RemoveFilesRequest::default()
    };
    vec![
        files.create_directory(make).await.map(drop),
        files.move_file(rename).await.map(drop),
        files.remove_files(remove).await.map(drop),
    ]
}

/// The answer that all of them have.
fn alike(answers: &[Result<(), Status>]) -> Result<(), Status> {
    let told = |answer: &Result<(), Status>| {
        let refusal = answer.as_ref().err();
        refusal.map(|status| (status.code(), reason_of(status)))
    };
    let first = told(&answers[0]);
    assert!(
        answers.iter().all(|answer| told(answer) == first),
        "{answers:?}"
    );
    answers[0].clone()
}

/// Ends by itself: told when to try again, and who is at work.
fn assert_busy(answer: Result<(), Status>, cell: &Cell) {
    let status = assert_refused(answer, Code::Aborted, "VFOLDER_BUSY");
    let retry = status.get_details_retry_info().and_then(|r| r.retry_delay);
    assert!(
        retry.is_some_and(|delay| !delay.is_zero()),
        "{cell:?}: {status:?}"
    );
    // Nothing backs a staged PERFORMING, because no operation works in place yet.
    if cell.status != VFolderStatus::Performing {
        let operation = metadata(&status).remove("operation").unwrap_or_default();
        assert!(operation.starts_with("operations/"), "{cell:?}: {status:?}");
    }
}

/// Rests until somebody acts: told which statuses would do, and who holds the mounts.
fn assert_resting(answer: Result<(), Status>, cell: &Cell) {
    let status = assert_refused(answer, Code::FailedPrecondition, "VFOLDER_STATUS");
    let failure = status.get_details_precondition_failure().unwrap();
    let violations: Vec<String> = failure
        .violations
        .iter()
        .map(|v| format!("{} {} {}", v.r#type, v.subject, v.description))
        .collect();
    let told = violations.join("\n");
    for admitting in admitting(cell.access) {
        assert!(
            told.contains(admitting),
            "{cell:?} does not name {admitting}: {told}"
        );
    }
    if cell.status == VFolderStatus::Mounted {
        assert!(
            told.contains("reader"),
            "{cell:?} does not name the holder: {told}"
        );
    }
}

/// The statuses that the table admits an access kind in.
fn admitting(access: &str) -> Vec<&'static str> {
    let mut rows = TABLE
        .lines()
        .map(|l| l.split_whitespace().collect::<Vec<_>>());
    let header = rows
        .by_ref()
        .find(|row| row.first() == Some(&"access"))
        .unwrap();
    let row = rows.find(|row| row.first() == Some(&access)).unwrap();
    let columns = header.into_iter().zip(row).skip(1);
    columns
        .filter(|(_, cell)| *cell == "yes")
        .map(|(status, _)| status)
        .collect()
}

fn metadata(status: &Status) -> BTreeMap<String, String> {
    let info = status.get_details_error_info().unwrap();
    info.metadata.into_iter().collect()
}

async fn what_is_settled_already_succeeds_with_allow_missing(engine: Engine) {
    use VFolderStatus::{Deleted, Deleting, Trashed};
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let (delete, purge) = ([Trashed, Deleting, Deleted], [Deleted]);
    for (number, status) in delete.into_iter().chain(purge).enumerate() {
        let id = alice.create(&format!("v{number}")).await.unwrap().id;
        Staged::on(&system.database, &id)
            .status(status)
            .write()
            .await;
        if number < delete.len() {
            let request = DeleteVFolderRequest {
                vfolder_id: id.clone(),
                allow_missing: true,
                ..DeleteVFolderRequest::default()
            };
            alice
                .vfolders
                .clone()
                .delete_v_folder(request)
                .await
                .unwrap();
        } else {
            let request = PurgeVFolderRequest {
                vfolder_id: id.clone(),
                allow_missing: true,
                ..PurgeVFolderRequest::default()
            };
            let done = alice
                .vfolders
                .clone()
                .purge_v_folder(request)
                .await
                .unwrap();
            assert!(done.into_inner().done);
        }
        assert_eq!(alice.status(&id).await, status);
    }
}

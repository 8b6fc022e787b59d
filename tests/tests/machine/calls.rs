//! The calls: what each asks, and what is so once it was answered well.

use std::{collections::BTreeSet, fs};

use prost_types::FieldMask;
use tonic::Code;
use vfolder_manager::model::{Kind, Status};
use vfolder_proto::{
    google::longrunning,
    v1::{
        self, CreateDirectoryRequest, ListFilesRequest, MountMode, PurgeVFolderRequest,
        RenewMountRequest, RestoreVFolderRequest, UpdateVFolderRequest, VFolder,
        VFolderServiceWatchRequest,
    },
};
use vfolder_tests::{User, assert_refused, fill, operation_metadata};

use super::{
    compare::{BULK, FILES},
    drive::{World, name_of, status_of},
    reference::{Mount, Operation, Reference, Resting, Unpacked, Vfolder},
    step::Step,
    work::{OUT, PACKED},
};

impl World {
    pub async fn on_vfolder(&mut self, v: usize, step: Step) {
        let id = self.reference.vfolders[v].id.clone();
        match step {
            Step::Rename { name, .. } => self.update(v, Some(name_of(name)), None).await,
            Step::Describe { text, .. } => self.update(v, None, Some(format!("text {text}"))).await,
            Step::Clone { name, .. } => self.clone_to(v, name_of(name)).await,
            Step::Mount {
                session, writes, ..
            } => self.mount(v, session, writes).await,
            Step::Trash { .. } => {
                let trashed = self
                    .ask(|r| r.may_trash(v), async |a| a.trash(&id).await)
                    .await;
                if trashed.is_some() {
                    self.reference.vfolders[v].resting = Resting::Trashed;
                }
            }
            Step::Restore { name, .. } => self.restore(v, name.map(name_of)).await,
            Step::Purge { skip_trash, .. } => self.purge(v, skip_trash).await,
            Step::MakeDirectory { name, .. } => self.make_directory(v, name_of(name)).await,
            Step::MakeDirectoryByGrant { name, .. } => {
                self.make_directory_by_grant(v, name_of(name)).await;
            }
            Step::ListFiles { .. } => self.list_files(v).await,
            Step::Extract { .. } => self.extract(v).await,
            Step::Remove { .. } => self.remove(v).await,
            Step::Recount { .. } => self.recount(v).await,
            Step::Limit { tight, .. } => self.limit(v, tight).await,
            Step::Watch { .. } => self.watch(v).await,
            Step::Stranger { .. } => {
                let bob = self.system.user("bob");
                assert_refused(bob.get(&id).await, Code::NotFound, "VFOLDER_NOT_FOUND");
                assert_refused(bob.trash(&id).await, Code::NotFound, "VFOLDER_NOT_FOUND");
            }
            _ => {
                self.ask(|_| Ok(()), async |a| a.get(&id).await).await;
            }
        }
    }

    pub async fn create(&mut self, name: String) {
        let may = |r: &Reference| r.name_is_free(&name, None);
        if let Some(made) = self.ask(may, async |a| a.create(&name).await).await {
            assert_eq!(status_of(&made), Status::Ready);
            // Enough for a clone to be under way while the next steps are taken.
            let bulk = self.system.tree(&made.id).join(BULK);
            fs::create_dir(&bulk).unwrap();
            fill(&bulk, FILES, 10);
            let packed = self.source.with_extension("tar");
            fs::copy(packed, self.system.tree(&made.id).join(PACKED)).unwrap();
            self.reference.vfolders.push(Vfolder {
                id: made.id,
                name,
                description: String::new(),
                resting: Resting::Kept,
                directories: BTreeSet::from([BULK.to_owned(), PACKED.to_owned()]),
                unpacked: Unpacked::No,
                tight: false,
            });
            // All of that came in behind everybody's back.
            self.recount(self.reference.vfolders.len() - 1).await;
            self.wait_for(self.reference.operations.len() - 1).await;
        }
    }

    pub async fn update(&mut self, v: usize, name: Option<String>, description: Option<String>) {
        let path = if name.is_some() {
            "name"
        } else {
            "description"
        };
        let request = UpdateVFolderRequest {
            vfolder: Some(VFolder {
                id: self.reference.vfolders[v].id.clone(),
                name: name.clone().unwrap_or_default(),
                description: description.clone().unwrap_or_default(),
                ..VFolder::default()
            }),
            update_mask: Some(FieldMask {
                paths: vec![path.into()],
            }),
            validate_only: false,
        };
        let may = |r: &Reference| r.may_update(v, name.as_deref());
        let asked = async |mut a: User| a.vfolders.update_v_folder(request).await;
        if self.ask(may, asked).await.is_some() {
            let row = &mut self.reference.vfolders[v];
            row.name = name.unwrap_or_else(|| row.name.clone());
            row.description = description.unwrap_or_else(|| row.description.clone());
        }
    }

    pub async fn clone_to(&mut self, source: usize, name: String) {
        let id = self.reference.vfolders[source].id.clone();
        let may = |r: &Reference| r.may_clone(source, &name);
        if let Some(begun) = self.ask(may, async |a| a.clone_to(&id, &name).await).await {
            self.reference.vfolders.push(Vfolder {
                id: operation_metadata(&begun).vfolder_id,
                name,
                description: String::new(),
                resting: Resting::Kept,
                ..self.reference.vfolders[source].clone()
            });
            self.begun(
                Kind::Clone,
                &begun,
                self.reference.vfolders.len() - 1,
                Some(source),
            );
        }
    }

    pub fn begun(
        &mut self,
        kind: Kind,
        begun: &longrunning::Operation,
        target: usize,
        source: Option<usize>,
    ) {
        self.reference.operations.push(Operation {
            name: begun.name.clone(),
            kind,
            target,
            source,
            wished: false,
            ended: false,
        });
    }

    pub async fn purge(&mut self, v: usize, skip_trash: bool) {
        let request = PurgeVFolderRequest {
            vfolder_id: self.reference.vfolders[v].id.clone(),
            skip_trash,
            ..PurgeVFolderRequest::default()
        };
        let may = |r: &Reference| r.may_purge(v, skip_trash);
        let asked = async |mut a: User| a.vfolders.purge_v_folder(request).await;
        if let Some(begun) = self.ask(may, asked).await {
            self.begun(Kind::Purge, begun.get_ref(), v, None);
        }
    }

    pub async fn cancel(&mut self, o: usize) {
        let name = self.reference.operations[o].name.clone();
        let may = |r: &Reference| r.may_cancel(o);
        // The operation may end as cancelled before the answer is looked at.
        self.reference.operations[o].wished |= self.reference.operations[o].kind.is_cancellable();
        self.ask(may, async |a| a.cancel(&name).await).await;
    }

    pub async fn mount(&mut self, v: usize, session: u8, writes: bool) {
        let id = self.reference.vfolders[v].id.clone();
        let mode = if writes {
            MountMode::ReadWrite
        } else {
            MountMode::ReadOnly
        };
        let may = |r: &Reference| r.may_mount(v, session, writes);
        let asked = async |a: User| a.mount(&id, &format!("session-{session}"), mode).await;
        let Some(taken) = self.ask(may, asked).await else {
            return;
        };
        match self.reference.held(v, session) {
            Some(held) => assert_eq!(held.id, taken.id, "a session has one mount"),
            None => self.reference.mounts.push(Mount {
                id: taken.id,
                vfolder: v,
                session,
                writes,
                released: false,
            }),
        }
    }

    pub fn as_proto(&self, m: usize) -> v1::Mount {
        let mount = &self.reference.mounts[m];
        v1::Mount {
            id: mount.id.clone(),
            vfolder_id: self.reference.vfolders[mount.vfolder].id.clone(),
            ..Default::default()
        }
    }

    pub async fn renew(&mut self, m: usize) {
        let mount = self.as_proto(m);
        let request = RenewMountRequest {
            vfolder_id: mount.vfolder_id,
            mount_id: mount.id,
            ttl: None,
        };
        let asked = async |mut a: User| a.mounts.renew_mount(request).await;
        self.ask(|r| r.may_use_mount(m), asked).await;
    }

    pub async fn unmount(&mut self, m: usize) {
        let mount = self.as_proto(m);
        let asked = async |a: User| a.unmount(&mount).await;
        if self.ask(|r| r.may_use_mount(m), asked).await.is_some() {
            self.reference.mounts[m].released = true;
        }
    }

    pub async fn restore(&mut self, v: usize, name: Option<String>) {
        let row = &self.reference.vfolders[v];
        let (id, to) = (row.id.clone(), name.clone().unwrap_or(row.name.clone()));
        let request = RestoreVFolderRequest {
            vfolder_id: id,
            name: name.unwrap_or_default(),
            ..RestoreVFolderRequest::default()
        };
        let may = |r: &Reference| r.may_restore(v, &to);
        let asked = async |mut a: User| a.vfolders.restore_v_folder(request).await;
        if self.ask(may, asked).await.is_some() {
            self.reference.vfolders[v].resting = Resting::Kept;
            self.reference.vfolders[v].name = to;
        }
    }

    pub async fn make_directory(&mut self, v: usize, name: String) {
        let request = CreateDirectoryRequest {
            vfolder_id: self.reference.vfolders[v].id.clone(),
            path: name.clone(),
            ..CreateDirectoryRequest::default()
        };
        let may = |r: &Reference| r.may_make_directory(v, &name);
        let asked = async |mut a: User| a.files.create_directory(request).await;
        if self.ask(may, asked).await.is_some() {
            self.reference.vfolders[v].directories.insert(name);
        }
    }

    pub async fn list_files(&mut self, v: usize) {
        let request = ListFilesRequest {
            vfolder_id: self.reference.vfolders[v].id.clone(),
            ..ListFilesRequest::default()
        };
        self.look_at_operations().await;
        let before = self.reference.clone();
        let asked = async |mut a: User| a.files.list_files(request).await;
        if let Some(page) = self.ask(|r| r.may_list(v), asked).await {
            let entries = page.into_inner().entries;
            let mut found: BTreeSet<String> = entries.into_iter().map(|e| e.name).collect();
            let unpacked = found.remove(OUT);
            let of = |r: &Reference| (!r.is_worked_in(v)).then_some(r.vfolders[v].unpacked);
            match (of(&before), of(&self.reference)) {
                (Some(Unpacked::No), Some(Unpacked::No)) => assert!(!unpacked),
                (
                    Some(Unpacked::Whole | Unpacked::Over),
                    Some(Unpacked::Whole | Unpacked::Over),
                ) => {
                    assert!(unpacked);
                }
                _ => {}
            }
            assert_eq!(found, self.reference.vfolders[v].directories);
        }
    }

    pub async fn watch(&mut self, v: usize) {
        let request = VFolderServiceWatchRequest {
            vfolder_id: self.reference.vfolders[v].id.clone(),
            ..VFolderServiceWatchRequest::default()
        };
        let before = self.reference.status(v);
        let asked = async |mut a: User| {
            let mut stream = a.vfolders.watch(request).await?.into_inner();
            stream.message().await
        };
        let first = self.ask(|_| Ok(()), asked).await.flatten().unwrap();
        assert_eq!(first.event, None);
        let (found, after) = (status_of(&first.vfolder.unwrap()), self.reference.status(v));
        assert!(
            found == before || found == after,
            "{found}, not {before} or {after}"
        );
    }
}

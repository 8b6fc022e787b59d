//! The services under the steps, and the comparison.

use std::{fmt::Debug, path::PathBuf, str::FromStr as _};

use proptest_state_machine::StateMachineTest;
use tokio::runtime::Runtime;
use tonic::{Code, Status as Refusal};
use vfolder_common::error::Reason;
use vfolder_manager::model::Status;
use vfolder_proto::{
    google::longrunning::{self, operation::Result as Outcome},
    v1::{CreateVFolderRequest, VFolder},
};
use vfolder_tests::{System, User, eventually};

use super::{
    reference::{End, Reference},
    step::{Plan, Service, Step},
    work::{pack, reason_of},
};

/// Services, a caller, and what must be so.
pub struct World {
    pub system: System,
    pub alice: User,
    pub reference: Reference,
    /// What every tree has packed.
    pub source: PathBuf,
}

pub struct Machine {
    runtime: Runtime,
    world: World,
}

impl StateMachineTest for Machine {
    type SystemUnderTest = Self;
    type Reference = Plan;

    fn init_test(plan: &Plan) -> Self {
        let runtime = Runtime::new().unwrap();
        let world = runtime.block_on(async {
            let system = System::on(plan.engine)
                .with(|s| s.mount_ttl = "1h".into())
                .start()
                .await;
            let alice = system.user("alice");
            World {
                source: pack(system.folder()),
                system,
                alice,
                reference: Reference::default(),
            }
        });
        Self { runtime, world }
    }

    fn apply(mut machine: Self, _: &Plan, step: Step) -> Self {
        let Self { runtime, world } = &mut machine;
        runtime.block_on(async {
            world.take(step).await;
            world.compare_rows().await;
        });
        machine
    }

    fn teardown(mut machine: Self, _: Plan) {
        let Self { runtime, world } = &mut machine;
        runtime.block_on(async {
            world.wait().await;
            world.compare_rows().await;
            world.compare_trees();
            world.system.assert_sound().await;
        });
    }
}

pub fn name_of(number: u8) -> String {
    format!("name-{number}")
}

impl World {
    /// Makes a call and compares its answer. An operation may end meanwhile: then either answer will do.
    pub async fn ask<T: Debug>(
        &mut self,
        may: impl Fn(&Reference) -> Result<(), Reason>,
        answer: impl AsyncFnOnce(User) -> Result<T, Refusal>,
    ) -> Option<T> {
        self.look_at_operations().await;
        let before = may(&self.reference);
        let answer = answer(self.alice.clone()).await;
        self.look_at_operations().await;
        let after = may(&self.reference);
        let got = match &answer {
            Ok(_) => Ok(()),
            Err(refusal) => Err(Reason::of(refusal).unwrap_or_else(|| panic!("{refusal:?}"))),
        };
        assert!(
            got == before || got == after,
            "answered {answer:?}; to be answered {before:?} or {after:?} by {:#?}",
            self.reference
        );
        if let Err(refusal) = &answer {
            assert_eq!(Some(refusal.code()), got.err().map(Reason::code));
        }
        answer.ok()
    }

    /// Which have ended, and how.
    pub async fn look_at_operations(&mut self) {
        for i in 0..self.reference.operations.len() {
            if !self.reference.operations[i].ended {
                let name = self.reference.operations[i].name.clone();
                let found = self.alice.operation(&name).await.unwrap();
                self.note_end(i, &found);
            }
        }
    }

    fn note_end(&mut self, i: usize, found: &longrunning::Operation) {
        let end = match &found.result {
            None => {
                assert!(!found.done);
                return;
            }
            Some(Outcome::Response(_)) => End::Succeeded,
            Some(Outcome::Error(error)) if error.code == i32::from(Code::Cancelled) => {
                End::Cancelled
            }
            Some(Outcome::Error(error)) => End::Failed(reason_of(error)),
        };
        assert!(
            self.reference.may_end(i, end),
            "{end:?} of {i}: {found:?}, by {:#?}",
            self.reference
        );
        self.reference.end(i, end);
    }

    pub async fn wait(&mut self) {
        for i in 0..self.reference.operations.len() {
            self.wait_for(i).await;
        }
    }

    pub async fn wait_for(&mut self, i: usize) {
        if !self.reference.operations[i].ended {
            let name = self.reference.operations[i].name.clone();
            let found = self.alice.wait(&name).await;
            self.note_end(i, &found);
        }
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Create { name } => self.create(name_of(name)).await,
            Step::List { show_deleted } => self.list(show_deleted).await,
            Step::Wait => self.wait().await,
            Step::Restart { service, kill } => self.restart(service, kill).await,
            Step::Cancel { operation } => {
                if let Some(o) = self.reference.operation(operation) {
                    self.cancel(o).await;
                }
            }
            Step::Renew { mount } => {
                if let Some(m) = self.reference.mount(mount) {
                    self.renew(m).await;
                }
            }
            Step::Unmount { mount } => {
                if let Some(m) = self.reference.mount(mount) {
                    self.unmount(m).await;
                }
            }
            Step::Get { vfolder }
            | Step::Rename { vfolder, .. }
            | Step::Describe { vfolder, .. }
            | Step::Clone {
                source: vfolder, ..
            }
            | Step::Mount { vfolder, .. }
            | Step::Trash { vfolder }
            | Step::Restore { vfolder, .. }
            | Step::Purge { vfolder, .. }
            | Step::MakeDirectory { vfolder, .. }
            | Step::MakeDirectoryByGrant { vfolder, .. }
            | Step::ListFiles { vfolder }
            | Step::Extract { vfolder }
            | Step::Remove { vfolder }
            | Step::Recount { vfolder }
            | Step::Limit { vfolder, .. }
            | Step::Watch { vfolder }
            | Step::Stranger { vfolder } => {
                if let Some(v) = self.reference.vfolder(vfolder) {
                    self.on_vfolder(v, step).await;
                }
            }
        }
    }

    async fn restart(&mut self, service: Service, kill: bool) {
        let process = match service {
            Service::Manager => &mut self.system.manager,
            Service::Storage => &mut self.system.storage,
        };
        if kill {
            process.kill();
        } else {
            assert!(process.terminate().await.success());
        }
        match service {
            Service::Manager => {
                self.system.start_manager().await;
                self.alice = self.system.user("alice");
            }
            Service::Storage => {
                self.system.start_storage().await;
                let alice = self.alice.clone();
                eventually("the manager finds the storage-proxy again", async || {
                    let request = CreateVFolderRequest {
                        vfolder: Some(VFolder {
                            name: "unused".into(),
                            ..VFolder::default()
                        }),
                        validate_only: true,
                        ..CreateVFolderRequest::default()
                    };
                    alice.vfolders.clone().create_v_folder(request).await.ok()
                })
                .await;
            }
        }
    }
}

pub fn status_of(vfolder: &VFolder) -> Status {
    Status::from_str(vfolder.status().as_str_name()).unwrap()
}

//! The process dies between any two steps of a task: asked for again, the task ends, and its result is whole.

use std::{fs, os::unix::fs::symlink, path::Path};

use uuid::Uuid;
use vfolder_storage_proxy::task::{TaskSpec, Work};

use crate::{oracle, support::Rig, tasks::outcome};

struct Scene {
    rig: Rig,
    operation: Uuid,
    spec: TaskSpec,
}

impl Scene {
    fn of(work: impl FnOnce(&Rig) -> Work) -> Self {
        let rig = Rig::new();
        let spec = rig.spec(work(&rig));
        Self {
            rig,
            operation: Uuid::now_v7(),
            spec,
        }
    }

    fn journal(&self, totals: Option<(u64, u64)>) {
        let totals = totals
            .map(|(entries, bytes)| serde_json::json!({ "entries": entries, "bytes": bytes }));
        let record = serde_json::json!({ "spec": self.spec, "totals": totals });
        self.rig
            .volume
            .get()
            .unwrap()
            .write_journal(self.operation, &record)
            .unwrap();
    }

    fn at(&self, area: &str, rest: &str) -> std::path::PathBuf {
        self.rig
            .root()
            .join(area)
            .join(self.operation.to_string())
            .join(rest)
    }

    fn throw_away(&self, make: impl FnOnce(&Path)) {
        self.rig.throw_away(self.operation, make);
    }

    async fn run(&self) -> vfolder_storage_proxy::task::Outcome {
        outcome(
            self.rig
                .tasks
                .run(self.operation, self.spec.clone())
                .unwrap(),
        )
        .await
    }

    async fn succeeds_and_leaves_only_its_journal(&self) {
        assert_eq!(self.run().await.failure, None);
        self.rig.reclaimed().await;
        assert!(!self.at("staging", "").exists());
        assert_eq!(self.rig.count("journal"), 1);
    }
}

fn copy(from: &Path, to: &Path) {
    let done = std::process::Command::new("cp")
        .arg("-a")
        .arg(from)
        .arg(to)
        .status()
        .unwrap();
    assert!(done.success());
}

#[tokio::test]
async fn a_clone_is_whole_whenever_the_process_died() {
    for step in 0..6 {
        let (source, vfolder) = (Uuid::now_v7(), Uuid::now_v7());
        let scene = Scene::of(|_| Work::Clone {
            source,
            vfolder,
            source_epoch: 1,
            receipt: false,
        });
        let tree = scene.rig.fill(source);
        scene.journal((step >= 4).then_some((123, 456)));
        fs::create_dir_all(scene.rig.tree(vfolder).parent().unwrap()).unwrap();
        match step {
            // After the journal was written.
            0 => {}
            // After staging was made.
            1 => fs::create_dir_all(scene.at("staging", "links")).unwrap(),
            // In the middle of the copy.
            2 => {
                fs::create_dir_all(scene.at("staging", "tree/d0/sub")).unwrap();
                fs::create_dir_all(scene.at("staging", "links")).unwrap();
                fs::write(scene.at("staging", "links/1-2"), "half").unwrap();
                symlink("/", scene.at("staging", "tree/out")).unwrap();
            }
            // In the middle of throwing an older attempt away.
            3 => {
                fs::create_dir_all(scene.at("staging", "tree")).unwrap();
                scene.throw_away(|of| fs::create_dir_all(of.join("0/tree/d0")).unwrap());
            }
            // Before the rename.
            4 => {
                fs::create_dir_all(scene.at("staging", "links")).unwrap();
                copy(&tree, &scene.at("staging", "tree"));
            }
            // After the rename.
            _ => {
                fs::create_dir_all(scene.at("staging", "links")).unwrap();
                copy(&tree, &scene.rig.tree(vfolder));
            }
        }
        scene.succeeds_and_leaves_only_its_journal().await;
        oracle::assert_same(
            &oracle::describe(&tree),
            &oracle::describe(&scene.rig.tree(vfolder)),
        );
        let totals = scene.run().await.progress;
        let wanted = if step == 5 {
            123
        } else {
            oracle::walk(&tree).len() as u64
        };
        assert_eq!(totals.entries_done, wanted, "step {step}");
    }
}

#[tokio::test]
async fn a_purge_is_complete_whenever_the_process_died() {
    for step in 0..4 {
        let vfolder = Uuid::now_v7();
        let scene = Scene::of(|_| Work::Purge { vfolder });
        let tree = scene.rig.fill(vfolder);
        scene.journal(None);
        match step {
            // After the journal was written.
            0 => {}
            // After the trash was made.
            1 => scene.throw_away(|of| fs::create_dir(of).unwrap()),
            // After the rename.
            2 => scene.throw_away(|of| {
                fs::create_dir(of).unwrap();
                fs::rename(&tree, of.join("0")).unwrap();
            }),
            // After everything.
            _ => fs::remove_dir_all(&tree).unwrap(),
        }
        scene.succeeds_and_leaves_only_its_journal().await;
        assert!(!tree.exists(), "step {step}");
    }
}

#[tokio::test]
async fn a_creation_is_complete_whenever_the_process_died() {
    for step in 0..3 {
        let vfolder = Uuid::now_v7();
        let scene = Scene::of(|_| Work::Create { vfolder });
        scene.journal(None);
        match step {
            0 => {}
            1 => fs::create_dir_all(scene.at("staging", "tree")).unwrap(),
            _ => {
                fs::create_dir_all(scene.at("staging", "links")).unwrap();
                fs::create_dir_all(scene.rig.tree(vfolder)).unwrap();
                fs::write(scene.rig.tree(vfolder).join("already"), "used").unwrap();
            }
        }
        scene.succeeds_and_leaves_only_its_journal().await;
        assert_eq!(scene.rig.tree(vfolder).join("already").exists(), step == 2);
    }
}

#[tokio::test]
async fn what_is_in_the_trash_at_the_start_is_destroyed() {
    let rig = Rig::new();
    let name = Uuid::now_v7();
    rig.throw_away(name, |of| fs::create_dir_all(of.join("0/deep/er")).unwrap());
    let left = rig.root().join(format!("trash/{name}"));
    let Rig { dir, volume, tasks } = rig;
    drop((volume, tasks));
    let rig = crate::tasks::reopened(dir).await;
    // Any task's end wakes the reclaimer; its own timer would do.
    while left.exists() {
        let work = Work::Purge {
            vfolder: Uuid::now_v7(),
        };
        outcome(rig.tasks.run(Uuid::now_v7(), rig.spec(work)).unwrap()).await;
    }
    assert_eq!(rig.count("trash"), 0);
}

//! What a session does with a mount: it works on the tree itself, and stops before its lease may have ended.

use std::{path::PathBuf, time::Duration};

use tokio::time;
use uuid::Uuid;
use vfolder_proto::v1::{
    Mount, MountMode, MountRequest, RenewMountRequest, UnmountRequest, VFolderStatus,
};

use super::{Client, ask::Repeat};
use crate::{
    User,
    storm::{
        contents::{Look, Write},
        history::{Deed, Micros, NEVER, Outcome, Told, micros},
        trees,
    },
};

/// A session that can't be sure of its mount for so long does not touch the tree: as long as its own writes may take
/// where many processes share few cores.
const MARGIN: Duration = Duration::from_millis(1_500);
/// A tree with more bundles of one client gets no more of them.
const ENOUGH: usize = 4;

/// A mount that a client holds.
struct Held {
    vfolder: Uuid,
    mount: Uuid,
    ttl: Duration,
    tree: PathBuf,
    /// The lease lasts at least until then: the time to live began when the call was sent, or later.
    until: Micros,
}

impl Client {
    /// Mounts something for writing, writes, and lets it go.
    pub(super) async fn write_session(&mut self) {
        let registry = &self.shared.registry;
        let Some(card) = registry.any_in(VFolderStatus::Ready, &mut self.dice) else {
            return;
        };
        let Some(mut held) = self.mount(card.id, true).await else {
            return;
        };
        for _ in 0..self.dice.u32(1..4) {
            if !self.may_touch(&held) {
                break;
            }
            self.write(&held);
            time::sleep(Duration::from_millis(self.dice.u64(..150))).await;
            if self.dice.u32(..4) == 0 {
                self.renew(&mut held).await;
            }
        }
        self.leave(held).await;
    }

    /// Mounts something for reading, looks at it, and lets it go.
    pub(super) async fn read_session(&mut self) {
        if let Some(card) = self
            .shared
            .registry
            .any_in(VFolderStatus::Ready, &mut self.dice)
        {
            self.look_at(card.id).await;
        }
    }

    /// The same of this vfolder.
    pub(super) async fn look_at(&mut self, vfolder: Uuid) {
        let Some(held) = self.mount(vfolder, false).await else {
            return;
        };
        if self.may_touch(&held) {
            let clock = self.shared.world.clock;
            let start = clock.now();
            // Somebody who writes may take something away under our eyes; then it was no look.
            if let Ok(bundles) = trees::survey(&held.tree) {
                self.shared.contents.looked(Look {
                    vfolder,
                    start,
                    end: clock.now(),
                    only: None,
                    bundles,
                    who: format!("c{} through mount {}", self.number, held.mount),
                });
            }
        }
        self.leave(held).await;
    }

    async fn mount(&mut self, vfolder: Uuid, write: bool) -> Option<Held> {
        let session = self.fresh();
        let ttl = Duration::from_secs(self.dice.u64(3..12));
        let request = MountRequest {
            vfolder_id: vfolder.to_string(),
            session: session.clone(),
            mode: if write {
                MountMode::ReadWrite
            } else {
                MountMode::ReadOnly
            }
            .into(),
            ttl: prost_types::Duration::try_from(ttl).ok(),
        };
        let start = self.shared.world.clock.now();
        let deed = Deed::Mount {
            vfolder,
            session,
            write,
            ttl,
        };
        let send = |user: User, request| async move {
            let answer = user.mounts.clone().mount(request).await?;
            Ok(answer.into_inner())
        };
        let mount = self
            .ask(deed, Repeat::Until, request, send, told_of_mount)
            .await
            .ok()?;
        let root = self.shared.world.volume(&mount.volume)?;
        Some(Held {
            vfolder,
            mount: mount.id.parse().ok()?,
            ttl,
            tree: root.join(&mount.tree_path),
            // Of several attempts it may be the first that counts.
            until: start + micros(ttl),
        })
    }

    async fn renew(&mut self, held: &mut Held) {
        let request = RenewMountRequest {
            vfolder_id: held.vfolder.to_string(),
            mount_id: held.mount.to_string(),
            ttl: prost_types::Duration::try_from(held.ttl).ok(),
        };
        let start = self.shared.world.clock.now();
        let deed = Deed::Renew {
            vfolder: held.vfolder,
            mount: held.mount,
            ttl: held.ttl,
        };
        let send = |user: User, request| async move {
            let answer = user.mounts.clone().renew_mount(request).await?;
            Ok(answer.into_inner())
        };
        match self
            .ask(deed, Repeat::Never, request, send, told_of_mount)
            .await
        {
            Ok(_) => held.until = start + micros(held.ttl),
            Err(Outcome::Refused { .. }) => held.until = 0,
            Err(_) => {}
        }
    }

    /// Unmounts; now and then the session just ends, as if its host had died.
    async fn leave(&mut self, held: Held) {
        if self.dice.u32(..12) == 0 {
            return;
        }
        let request = UnmountRequest {
            vfolder_id: held.vfolder.to_string(),
            mount_id: held.mount.to_string(),
            allow_missing: true,
        };
        let deed = Deed::Unmount {
            vfolder: held.vfolder,
            mount: held.mount,
        };
        let send = |user: User, request| async move {
            user.mounts.clone().unmount(request).await.map(drop)
        };
        let _ = self
            .ask(deed, Repeat::Until, request, send, |()| Told::Nothing)
            .await;
    }

    fn may_touch(&self, held: &Held) -> bool {
        self.shared.world.clock.now() + micros(MARGIN) < held.until
    }

    /// Adds a bundle, replaces one of its own or removes one. Without a pause: nothing may come in between.
    fn write(&mut self, held: &Held) {
        let ours = format!("c{}-", self.number);
        let Ok(entries) = std::fs::read_dir(&held.tree) else {
            return; // The final checks find a tree that is gone; here it can be a mount that has just ended.
        };
        let names = entries
            .flatten()
            .map(|e| e.file_name().to_string_lossy().into_owned());
        let mut mine: Vec<String> = names.filter(|name| name.starts_with(&ours)).collect();
        // Not by the filesystem's order: the dice decide.
        mine.sort();
        let old = (!mine.is_empty()).then(|| mine[self.dice.usize(..mine.len())].clone());
        let name = match (old, self.dice.u32(..4)) {
            (Some(old), 0) => {
                self.remove(held, &old);
                return;
            }
            (Some(old), 1) => {
                self.remove(held, &old);
                old
            }
            (Some(old), _) if mine.len() > ENOUGH => {
                self.remove(held, &old);
                return;
            }
            _ => self.fresh(),
        };
        let clock = self.shared.world.clock;
        let start = clock.now();
        let made = trees::make_bundle(&held.tree, &name, &mut self.dice);
        self.wrote(held, name, start, made.map(Some));
    }

    fn remove(&mut self, held: &Held, name: &str) {
        self.uploaded
            .retain(|known| (known.vfolder, known.path.as_str()) != (held.vfolder, name));
        let start = self.shared.world.clock.now();
        let removed = trees::remove_bundle(&held.tree, name);
        self.wrote(held, name.to_owned(), start, removed.map(|()| None));
    }

    fn wrote(
        &self,
        held: &Held,
        bundle: String,
        start: Micros,
        done: std::io::Result<Option<trees::Digest>>,
    ) {
        let end = self.shared.world.clock.now();
        // One that failed, or that lasted beyond the lease, promises nothing.
        let kept = done.is_ok() && end < held.until;
        self.shared.contents.wrote(Write {
            vfolder: held.vfolder,
            bundle,
            start,
            end: if kept { end } else { NEVER },
            value: done.unwrap_or_default(),
        });
    }
}

fn told_of_mount(mount: &Mount) -> Told {
    Told::Mount {
        mount: mount.id.parse().unwrap_or_default(),
    }
}

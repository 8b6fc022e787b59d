//! The clients: each draws what to do next from its own dice, does it, and writes down what it was told.

mod acts;
mod ask;
mod caller;
mod files;
mod records;
mod registry;
mod session;
mod unpack;
mod upload;

use std::{sync::Arc, time::Duration};

use fastrand::Rng;
use tokio::time;

use super::{contents::Contents, history::History, plan::Plan, trees::Archive, world::World};
use caller::Caller;

pub use caller::{OWNER, metadata_of, seen, told_of_operation};
pub use registry::Registry;

/// How names begin that more than one client uses.
pub const SHARED_NAME: &str = "shared-";

/// What all clients share.
pub struct Shared {
    /// What runs.
    pub world: Arc<World>,
    /// What is to be.
    pub plan: Plan,
    /// What was asked and answered.
    pub history: History,
    /// What was written into the trees and seen there.
    pub contents: Contents,
    /// The vfolders that there are to work with.
    pub registry: Registry,
    /// What is unpacked.
    pub archives: Vec<Archive>,
}

/// A client.
pub struct Client {
    number: usize,
    shared: Arc<Shared>,
    caller: Caller,
    dice: Rng,
    /// Counts what it names.
    names: usize,
    /// Clones that it began and has not seen the end of.
    begun: Vec<acts::Begun>,
    /// What it has uploaded or unpacked, and has not removed.
    uploaded: Vec<upload::Uploaded>,
}

impl Client {
    /// Client `number`.
    #[must_use]
    pub fn new(number: usize, shared: Arc<Shared>) -> Self {
        let dice = shared.plan.dice(&format!("client {number}"));
        let caller = Caller::new(number, &shared.world);
        Self {
            number,
            shared,
            caller,
            dice,
            names: 0,
            begun: Vec::new(),
            uploaded: Vec::new(),
        }
    }

    /// Works until the storm is over.
    pub async fn work(mut self) {
        let end = time::Instant::now() + self.shared.plan.duration;
        while time::Instant::now() < end {
            self.act().await;
            // People think, too.
            let pause = Duration::from_millis(self.dice.u64(..20));
            time::sleep(pause).await;
        }
    }

    /// A name that others may have, too.
    fn shared_name(&mut self) -> String {
        format!("{SHARED_NAME}{}", self.dice.u32(..6))
    }

    /// A name that nobody has used.
    fn fresh(&mut self) -> String {
        self.names += 1;
        format!("c{}-{}", self.number, self.names)
    }
}

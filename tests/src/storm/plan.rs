//! What a storm is to be.

use std::time::Duration;

use fastrand::Rng;

/// How long, how many, and the seed of all that is drawn.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How long the clients work and the nemesis breaks things.
    pub duration: Duration,
    /// What is drawn: by the nemesis which fault, when, for how long; by each client what it asks for. When a process
    /// gets to run is not drawn, so that one seed gives like storms, not equal ones.
    pub seed: u64,
    /// How many managers.
    pub managers: usize,
    /// How many clients.
    pub clients: usize,
    /// How many vfolders the clients keep in use between them: few, so that they meet.
    pub vfolders: usize,
    /// The mean time between two faults.
    pub pace: Duration,
}

impl Plan {
    /// With everything but these at its default.
    #[must_use]
    pub fn new(duration: Duration, seed: u64) -> Self {
        Self {
            duration,
            seed,
            managers: 3,
            clients: 8,
            vfolders: 30,
            pace: Duration::from_millis(1_100),
        }
    }

    /// The random numbers of one actor: its own stream, whatever the others draw.
    #[must_use]
    pub fn dice(&self, actor: &str) -> Rng {
        // FNV-1a (Fowler, Noll, Vo), so that it is the same with every compiler.
        let name = actor.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Rng::with_seed(self.seed ^ name)
    }
}

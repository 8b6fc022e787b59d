//! What can happen, how often, and for how long.

use std::time::Duration;

use fastrand::Rng;

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "Fault::text says it")]
pub enum Fault {
    KillManager,
    PauseManager,
    RestartManager,
    KillProxy,
    PauseProxy,
    RestartProxy,
    KillPostgres,
    CrashPostgres,
    StopPostgres,
    EndSessions,
    Cut,
    Refuse,
    Stall,
    NearHangs,
    FarHangs,
}

/// Each fault with how often it is drawn.
const WEIGHTS: [(Fault, u32); 15] = [
    (Fault::KillManager, 18),
    (Fault::PauseManager, 10),
    (Fault::RestartManager, 7),
    (Fault::KillProxy, 13),
    (Fault::PauseProxy, 6),
    (Fault::RestartProxy, 5),
    (Fault::KillPostgres, 2),
    (Fault::CrashPostgres, 3),
    (Fault::StopPostgres, 2),
    (Fault::EndSessions, 4),
    (Fault::Cut, 13),
    (Fault::Refuse, 5),
    (Fault::Stall, 6),
    (Fault::NearHangs, 3),
    (Fault::FarHangs, 3),
];

impl Fault {
    /// Every one.
    pub fn all() -> impl Iterator<Item = Self> {
        WEIGHTS.iter().map(|(fault, _)| *fault)
    }

    pub(super) fn draw(dice: &mut Rng) -> Self {
        let sum: u32 = WEIGHTS.iter().map(|(_, weight)| weight).sum();
        let mut drawn = dice.u32(..sum);
        for (fault, weight) in WEIGHTS {
            if drawn < weight {
                return fault;
            }
            drawn -= weight;
        }
        Self::Cut
    }

    /// How long it lasts: of what is killed, until it is started again.
    pub(super) fn length(self, dice: &mut Rng) -> Duration {
        let (kind, part) = (dice.u32(..4), dice.f64());
        let between =
            |least: f64, most: f64| Duration::from_secs_f64(least + (most - least) * part);
        match self {
            Self::KillManager | Self::KillProxy | Self::RestartManager | Self::RestartProxy => {
                match kind {
                    0 | 1 => Duration::ZERO,
                    _ => between(0.1, 2.5),
                }
            }
            // A quarter of them longer than the lease.
            Self::PauseManager => match kind {
                0 | 1 => between(0.2, 2.0),
                2 => between(2.0, 7.0),
                _ => between(7.0, 15.0),
            },
            Self::PauseProxy => match kind {
                0..3 => between(0.2, 3.0),
                _ => between(3.0, 12.0),
            },
            Self::KillPostgres | Self::CrashPostgres | Self::StopPostgres => match kind {
                0..3 => between(0.0, 1.0),
                _ => between(1.0, 5.0),
            },
            Self::EndSessions | Self::Cut => Duration::ZERO,
            Self::Refuse => between(0.2, 4.0),
            Self::Stall | Self::NearHangs | Self::FarHangs => match kind {
                0..3 => between(0.2, 3.0),
                _ => between(3.0, 12.0),
            },
        }
    }

    /// For people.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::KillManager => "kill -9 of a manager",
            Self::PauseManager => "SIGSTOP of a manager, 0.2 to 15 s",
            Self::RestartManager => "SIGTERM of a manager",
            Self::KillProxy => "kill -9 of a storage-proxy",
            Self::PauseProxy => "SIGSTOP of a storage-proxy, 0.2 to 12 s",
            Self::RestartProxy => "SIGTERM of a storage-proxy",
            Self::KillPostgres => "kill -9 of PostgreSQL",
            Self::CrashPostgres => "immediate shutdown of PostgreSQL",
            Self::StopPostgres => "restart of PostgreSQL",
            Self::EndSessions => "all sessions of PostgreSQL ended",
            Self::Cut => "connections cut",
            Self::Refuse => "connections refused, 0.2 to 4 s",
            Self::Stall => "network stalled, 0.2 to 12 s",
            Self::NearHangs => "half open, the caller not told, 0.2 to 12 s",
            Self::FarHangs => "half open, the called not told, 0.2 to 12 s",
        }
    }

    pub(super) const fn is_of_manager(self) -> bool {
        matches!(
            self,
            Self::KillManager | Self::PauseManager | Self::RestartManager
        )
    }

    pub(super) const fn is_of_proxy(self) -> bool {
        matches!(
            self,
            Self::KillProxy | Self::PauseProxy | Self::RestartProxy
        )
    }

    /// The database is away, for everybody.
    #[must_use]
    pub const fn is_of_postgres(self) -> bool {
        matches!(
            self,
            Self::KillPostgres | Self::CrashPostgres | Self::StopPostgres | Self::EndSessions
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_the_same_faults_again_and_all_kinds_of_them() {
        let draw = |seed| {
            let mut dice = Rng::with_seed(seed);
            let one = move |_| {
                let fault = Fault::draw(&mut dice);
                (fault, fault.length(&mut dice))
            };
            (0..1_000).map(one).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        for fault in Fault::all() {
            assert!(
                draw(7).iter().any(|(drawn, _)| *drawn == fault),
                "{fault:?}"
            );
        }
    }
}

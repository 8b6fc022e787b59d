//! The steps, and how they are chosen.

use proptest::prelude::*;
use proptest_state_machine::ReferenceStateMachine;
use vfolder_tests::Engine;

/// One step. Vfolders, operations and mounts are counted from the newest, names are few: so they meet.
#[derive(Clone, Debug)]
pub enum Step {
    Create {
        name: u8,
    },
    Get {
        vfolder: u8,
    },
    List {
        show_deleted: bool,
    },
    Rename {
        vfolder: u8,
        name: u8,
    },
    Describe {
        vfolder: u8,
        text: u8,
    },
    Clone {
        source: u8,
        name: u8,
    },
    Cancel {
        operation: u8,
    },
    Mount {
        vfolder: u8,
        session: u8,
        writes: bool,
    },
    Renew {
        mount: u8,
    },
    Unmount {
        mount: u8,
    },
    Trash {
        vfolder: u8,
    },
    Restore {
        vfolder: u8,
        name: Option<u8>,
    },
    Purge {
        vfolder: u8,
        skip_trash: bool,
    },
    MakeDirectory {
        vfolder: u8,
        name: u8,
    },
    ListFiles {
        vfolder: u8,
    },
    /// A grant, and a directory that is made with it at the storage-proxy itself.
    MakeDirectoryByGrant {
        vfolder: u8,
        name: u8,
    },
    /// Unpacks the archive that every tree has.
    Extract {
        vfolder: u8,
    },
    /// Removes what was unpacked.
    Remove {
        vfolder: u8,
    },
    Recount {
        vfolder: u8,
    },
    /// To less than is there, or to nothing.
    Limit {
        vfolder: u8,
        tight: bool,
    },
    Watch {
        vfolder: u8,
    },
    /// Somebody else asks for it.
    Stranger {
        vfolder: u8,
    },
    /// All operations end.
    Wait,
    Restart {
        service: Service,
        kill: bool,
    },
}

/// What is restarted.
#[derive(Clone, Copy, Debug)]
pub enum Service {
    Manager,
    Storage,
}

/// What the choice of steps knows: only how many vfolders there may be. What must come of a step is the business of
/// `reference`, because when an operation ends is up to the services.
#[derive(Clone, Debug)]
pub struct Plan {
    pub engine: Engine,
    vfolders: usize,
}

impl Plan {
    pub fn on(engine: Engine) -> Self {
        Self {
            engine,
            vfolders: 0,
        }
    }
}

fn vfolder() -> impl Strategy<Value = u8> {
    // The newest are what most happens to.
    prop_oneof![4 => Just(0), 2 => Just(1), 1 => 0..5_u8]
}

fn name() -> impl Strategy<Value = u8> {
    0..12_u8
}

impl ReferenceStateMachine for Plan {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self::on(Engine::Sqlite)).boxed()
    }

    fn transitions(plan: &Self) -> BoxedStrategy<Step> {
        let create = name().prop_map(|name| Step::Create { name });
        if plan.vfolders == 0 {
            return create.boxed();
        }
        let service = prop_oneof![Just(Service::Manager), Just(Service::Storage)];
        prop_oneof![
            3 => create,
            2 => vfolder().prop_map(|vfolder| Step::Get { vfolder }),
            2 => any::<bool>().prop_map(|show_deleted| Step::List { show_deleted }),
            4 => (vfolder(), name()).prop_map(|(vfolder, name)| Step::Rename { vfolder, name }),
            2 => (vfolder(), 0..9_u8).prop_map(|(vfolder, text)| Step::Describe { vfolder, text }),
            10 => (vfolder(), name()).prop_map(|(source, name)| Step::Clone { source, name }),
            4 => (0..3_u8).prop_map(|operation| Step::Cancel { operation }),
            10 => (vfolder(), 0..3_u8, prop::bool::weighted(0.3))
                .prop_map(|(vfolder, session, writes)| Step::Mount { vfolder, session, writes }),
            2 => (0..3_u8).prop_map(|mount| Step::Renew { mount }),
            5 => (0..3_u8).prop_map(|mount| Step::Unmount { mount }),
            5 => vfolder().prop_map(|vfolder| Step::Trash { vfolder }),
            5 => (vfolder(), prop::option::of(name()))
                .prop_map(|(vfolder, name)| Step::Restore { vfolder, name }),
            6 => (vfolder(), any::<bool>())
                .prop_map(|(vfolder, skip_trash)| Step::Purge { vfolder, skip_trash }),
            6 => (vfolder(), 0..4_u8).prop_map(|(vfolder, name)| Step::MakeDirectory { vfolder, name }),
            4 => vfolder().prop_map(|vfolder| Step::ListFiles { vfolder }),
            4 => (vfolder(), 0..4_u8)
                .prop_map(|(vfolder, name)| Step::MakeDirectoryByGrant { vfolder, name }),
            8 => vfolder().prop_map(|vfolder| Step::Extract { vfolder }),
            5 => vfolder().prop_map(|vfolder| Step::Remove { vfolder }),
            3 => vfolder().prop_map(|vfolder| Step::Recount { vfolder }),
            4 => (vfolder(), any::<bool>())
                .prop_map(|(vfolder, tight)| Step::Limit { vfolder, tight }),
            2 => vfolder().prop_map(|vfolder| Step::Watch { vfolder }),
            1 => vfolder().prop_map(|vfolder| Step::Stranger { vfolder }),
            3 => Just(Step::Wait),
            4 => (service, any::<bool>()).prop_map(|(service, kill)| Step::Restart { service, kill }),
        ]
        .boxed()
    }

    fn apply(mut plan: Self, step: &Step) -> Self {
        plan.vfolders += usize::from(matches!(step, Step::Create { .. } | Step::Clone { .. }));
        plan
    }
}

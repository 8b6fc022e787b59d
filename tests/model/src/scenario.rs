//! What may happen in one search, and how often.

/// How often each thing may happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bounds {
    /// CreateVFolder.
    pub create: u8,
    /// CloneVFolder.
    pub clone: u8,
    /// A file RPC that writes is admitted.
    pub write: u8,
    /// DeleteVFolder.
    pub trash: u8,
    /// RestoreVFolder.
    pub restore: u8,
    /// PurgeVFolder.
    pub purge: u8,
    /// RemoveTree or ExtractArchive.
    pub perform: u8,
    /// A read-only Mount.
    pub mount_ro: u8,
    /// A writing Mount.
    pub mount_rw: u8,
    /// CancelOperation.
    pub cancel: u8,
    /// ResetStatus or DeleteVFolder of a vfolder in ERROR.
    pub repair: u8,
    /// A manager dies.
    pub manager_crash: u8,
    /// A lease lapses while its holder, paused or slow, doesn't know.
    pub lapse: u8,
    /// A storage-proxy dies.
    pub proxy_crash: u8,
    /// A connection breaks while an answer is awaited.
    pub broken_connection: u8,
    /// A message arrives once more.
    pub duplicate: u8,
    /// A task fails for good: a full disk.
    pub failure: u8,
    /// An operation's retries are given up.
    pub give_up: u8,
}

impl Bounds {
    const NONE: Self = Self {
        create: 0,
        clone: 0,
        write: 0,
        trash: 0,
        restore: 0,
        purge: 0,
        perform: 0,
        mount_ro: 0,
        mount_rw: 0,
        cancel: 0,
        repair: 0,
        manager_crash: 0,
        lapse: 0,
        proxy_crash: 0,
        broken_connection: 0,
        duplicate: 0,
        failure: 0,
        give_up: 0,
    };
}

/// A search: it begins with some vfolders at rest, READY with a tree.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// For people.
    pub name: &'static str,
    /// How many vfolders there are at the start.
    pub ready: u8,
    /// How often each thing may happen.
    pub bounds: Bounds,
}

macro_rules! scenarios {
    ($($(#[$doc:meta])* $name:ident = $ready:literal { $($what:ident $count:literal),* $(,)? };)*) => {
        impl Scenario {
            $($(#[$doc])* pub const $name: Self = Self {
                name: stringify!($name),
                ready: $ready,
                bounds: Bounds { $($what: $count,)* ..Bounds::NONE },
            };)*
        }
    };
}

scenarios! {
    /// A clone while its source is written, and one of everything dies.
    CLONE_AND_CRASHES = 1 { clone 1, write 1, lapse 1, manager_crash 1, proxy_crash 1 };
    /// A clone while its source is written, before and after.
    CLONE_AND_WRITES = 1 { clone 1, write 2, lapse 1, proxy_crash 1, duplicate 1 };
    /// A clone that is cancelled, or fails, or neither.
    CLONE_OR_CANCEL = 1 { clone 1, cancel 1, lapse 1, manager_crash 1, proxy_crash 1, duplicate 1, failure 1 };
    /// Two clones of one source.
    TWO_CLONES = 1 { clone 2, write 1, lapse 1 };
    /// Three clones of one source, one of which is given up.
    CLONES_GIVEN_UP = 1 { clone 3, broken_connection 1, give_up 1 };
    /// A clone that is given up, and what an administrator does about its destination.
    CLONE_GIVEN_UP = 1 { clone 1, write 1, lapse 1, broken_connection 1, give_up 1, duplicate 1, repair 1 };
    /// A clone that is given up, and a purge of either.
    CLONE_GIVEN_UP_AND_PURGE = 1 { clone 1, purge 1, write 1, broken_connection 1, give_up 1, proxy_crash 1 };
    /// A purge that is given up, and what an administrator does about it.
    PURGE_GIVEN_UP = 1 { purge 1, write 1, lapse 1, broken_connection 1, give_up 1, duplicate 1, repair 1, restore 1 };
    /// In and out of the trash, while the tree is written.
    TRASH = 1 { trash 1, write 2, restore 1, purge 1, lapse 1, proxy_crash 1 };
    /// Mounts beside clones and the trash.
    MOUNTS = 1 { mount_ro 1, mount_rw 1, clone 1, trash 1, write 1, lapse 1 };
    /// Two vfolders, one cloned and one purged.
    TWO_VFOLDERS = 2 { clone 1, purge 1, lapse 1 };
    /// A clone, and a purge of it.
    CLONE_AND_PURGE = 1 { clone 1, purge 1, proxy_crash 1, duplicate 1, failure 1 };
    /// A creation, and all that can become of it.
    CREATE = 0 { create 1, purge 1, cancel 1, proxy_crash 1, duplicate 1 };

    /// Work in a tree between writes, and one of everything dies.
    WORK_AND_CRASHES = 1 { perform 1, write 2, lapse 1, manager_crash 1, proxy_crash 1 };
    /// Work in a tree that is cancelled, or fails, or neither.
    WORK_OR_CANCEL = 1 { perform 1, cancel 1, lapse 1, proxy_crash 1, duplicate 1, failure 1 };
    /// Work in a tree twice, beside a mount.
    WORK_AND_MOUNT = 1 { perform 2, mount_ro 1, lapse 1, proxy_crash 1 };
    /// Work in a tree that is given up, and what an administrator does about it.
    WORK_GIVEN_UP = 1 { perform 1, mount_ro 1, write 1, broken_connection 1, give_up 1, duplicate 1, repair 1 };
    /// Work in a tree beside a clone of it that was given up.
    CLONE_GIVEN_UP_AND_WORK = 1 { clone 1, perform 1, broken_connection 1, give_up 1, proxy_crash 1 };

    /// Larger: two of each fault for a clone.
    LONG_CLONE = 1 { clone 1, write 2, lapse 2, manager_crash 1, proxy_crash 2, broken_connection 1, duplicate 1 };
    /// Larger: cancels and failures under two of each fault.
    LONG_CANCEL = 1 { clone 1, cancel 1, lapse 2, manager_crash 1, proxy_crash 2, duplicate 2, failure 1 };
    /// Larger: two clones, a write and faults.
    LONG_TWO_CLONES = 1 { clone 2, write 1, manager_crash 1, proxy_crash 1 };
    /// Larger: clones and purges given up, and repaired.
    LONG_GIVEN_UP = 1 { clone 1, purge 1, write 1, lapse 1, broken_connection 1, give_up 1, duplicate 1, repair 1 };
    /// Larger: the trash, with faults.
    LONG_TRASH = 1 { trash 2, write 2, restore 2, purge 1, lapse 1, proxy_crash 1, manager_crash 1 };
    /// Larger: mounts, clones and purges of two vfolders.
    LONG_MOUNTS = 2 { mount_ro 1, mount_rw 1, clone 1, purge 1, write 1 };
    /// Larger: work in a tree with two of most faults.
    LONG_WORK = 1 { perform 1, write 2, lapse 2, manager_crash 1, proxy_crash 2, duplicate 1 };
    /// Larger: work in a tree that is given up, then repaired, purged or cloned.
    LONG_WORK_GIVEN_UP = 1 { perform 1, purge 1, write 1, mount_ro 1, broken_connection 1, give_up 1, duplicate 1, repair 1 };
    /// Larger: work in a tree, before and after clones of it.
    LONG_WORK_AND_CLONE = 1 { perform 1, clone 1, write 1, lapse 1, proxy_crash 1 };
    /// Larger: a creation with every fault.
    LONG_CREATE = 0 { create 1, purge 1, cancel 1, proxy_crash 1, duplicate 1, failure 1, lapse 1, write 1 };
}

impl Scenario {
    /// Each is searched in seconds.
    pub const SHORT: &[Self] = &[
        Self::CLONE_AND_CRASHES,
        Self::CLONE_AND_WRITES,
        Self::CLONE_OR_CANCEL,
        Self::TWO_CLONES,
        Self::CLONES_GIVEN_UP,
        Self::CLONE_GIVEN_UP,
        Self::CLONE_GIVEN_UP_AND_PURGE,
        Self::PURGE_GIVEN_UP,
        Self::TRASH,
        Self::MOUNTS,
        Self::TWO_VFOLDERS,
        Self::CLONE_AND_PURGE,
        Self::CREATE,
        Self::WORK_AND_CRASHES,
        Self::WORK_OR_CANCEL,
        Self::WORK_AND_MOUNT,
        Self::WORK_GIVEN_UP,
        Self::CLONE_GIVEN_UP_AND_WORK,
    ];
    /// These take minutes.
    pub const LONG: &[Self] = &[
        Self::LONG_CLONE,
        Self::LONG_CANCEL,
        Self::LONG_TWO_CLONES,
        Self::LONG_GIVEN_UP,
        Self::LONG_TRASH,
        Self::LONG_MOUNTS,
        Self::LONG_CREATE,
        Self::LONG_WORK,
        Self::LONG_WORK_GIVEN_UP,
        Self::LONG_WORK_AND_CLONE,
    ];
}

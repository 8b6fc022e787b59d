//! The storage-proxy on real filesystems: the engine, volumes, tasks, and the served process.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::large_futures,
    reason = "tests"
)]

mod archives;
mod backend;
mod btrfs;
mod cancel;
mod clone;
mod crash;
mod deep;
mod digest;
mod digest_reference;
mod direct;
mod disk_faults;
mod ending;
mod estimate;
mod everything;
mod failed_sync;
mod fence;
mod fence_race;
mod fidelity;
mod files;
mod foreign;
mod full;
mod inherited;
mod kill;
mod lanes;
mod late;
mod list;
mod mkdir;
mod mounted;
mod name_lock;

mod not_root;
mod offline;
mod oracle;
mod owner;
mod power_cut;
mod projects;
mod proxy;
mod public;
mod quota;
mod racing;
mod reclaim;
mod remove;
mod resume;
mod resumed;
mod rsync;
mod scenario;
mod service;
mod stale_grant;
mod suites;
mod support;
mod tasks;
mod transfers;
mod vanish;
mod verify;
mod volume;

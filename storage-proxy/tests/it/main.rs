//! The storage-proxy on real filesystems: the engine, volumes, tasks, and the served process.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::large_futures,
    reason = "tests"
)]

mod backend;
mod btrfs;
mod clone;
mod crash;
mod deep;
mod disk_faults;
mod ending;
mod fence;
mod fence_race;
mod foreign;
mod full;
mod kill;
mod lanes;
mod late;
mod list;
mod mkdir;
mod mounted;
mod oracle;
mod owner;
mod proxy;
mod public;
mod racing_writer;
mod reclaim;
mod remove;
mod scenario;
mod service;
mod stale_grant;
mod support;
mod tasks;
mod vanish;
mod volume;

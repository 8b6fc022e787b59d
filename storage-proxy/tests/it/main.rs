//! The storage-proxy on real filesystems: the engine, volumes, tasks, and the served process.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::large_futures,
    reason = "tests"
)]

mod clone;
mod crash;
mod deep;
mod ending;
mod foreign;
mod full;
mod lanes;
mod list;
mod mkdir;
mod oracle;
mod proxy;
mod public;
mod racing_writer;
mod remove;
mod service;
mod support;
mod tasks;
mod volume;

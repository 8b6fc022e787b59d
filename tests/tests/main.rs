//! The end-to-end tests: every file here is one subject.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod bad_input;
mod bad_requests;
mod broken_streams;
mod clones;
mod credentials;
mod crowd;
mod doctor_repairs;
mod dry_runs;
mod fault_points;
mod feed;
mod fences;
mod gave_up;
mod grants;
mod history;
mod kills;
mod life;
mod machine;
mod matrix;
mod names;
mod operations;
mod pages;
mod paused_manager;
mod permissions;
mod queue;
mod quotas;
mod quotas_told;
mod races;
mod raw;
mod receipts;
mod requests;
mod schema;
mod staged;
mod storm;
mod time;
mod tls;
mod tree_work;
mod updates;
mod uploads;
mod visibility;
mod volumes;
mod watch;
mod wire;

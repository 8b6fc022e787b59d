//! Uploads: files that arrive in pieces and appear whole.
//!
//! What arrives is written to a file outside of all trees ([`crate::volume`] has its layout), where parts may be written
//! in parallel ([`UploadWriter`], `arrive`, `durable`). It survives the end of the process, and as far as it was synced that of the machine.
//! A commit checks it, makes it durable, and puts it into the tree by one step (`commit`, `land`); where a rename can't
//! lead there, by way of a copy without a name (`copy`). Where that step is not known to be durable, the next call for the
//! upload makes sure of it (`settle`).
//!
//! What there is of uploads in memory (`live`) is read from the volume when it is first asked for after each opening
//! (`shelf`), so that an upload is not forgotten, nor what it has reserved.

mod arrive;
mod commit;
mod copy;
mod create;
mod digest;
mod durable;
mod end;
mod hidden;
mod land;
mod live;
mod recover;
mod refused;
mod request;
mod settle;
mod shelf;
mod sweep;
mod whole;
mod write;

pub use request::{FileCheck, NewUpload, Start, UploadState};
pub use shelf::SYNCS;
pub(super) use shelf::Uploads;
pub use whole::{Whole, WholeWriter};
pub use write::UploadWriter;

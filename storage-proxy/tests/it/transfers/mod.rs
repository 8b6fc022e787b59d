//! Reading and writing files over the wire.

mod accounting;
mod ends;
mod kills;
pub mod kit;
mod landing;
mod leftovers;
mod limits;
mod reading;
mod syncs;
mod uploading;
mod whole;

pub use kit::{Client, blake3_check, content, pieces, target};

//! Reading and writing files over the wire.

mod kills;
mod kit;
mod landing;
mod limits;
mod reading;
mod uploading;
mod whole;

pub use kit::{Client, blake3_check, content, pieces, target};

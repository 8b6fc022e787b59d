//! Reading and writing files over the wire.

mod kills;
pub mod kit;
mod landing;
mod limits;
mod reading;
mod uploading;
mod whole;

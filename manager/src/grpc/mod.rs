//! The services: from wire to domain and back, nothing else.
//!
//! What is wrong with a request is collected in [`vfolder_common::error::Fields`], so that the client learns all of it
//! at once.

pub mod convert;
pub mod fields;
pub mod grants;
pub mod lro;
pub mod mounts;
pub mod operations;
pub mod page;
mod vfolder_requests;
pub mod vfolders;
pub mod volumes;

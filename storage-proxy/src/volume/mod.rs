//! A volume: a mounted filesystem that exactly one storage-proxy owns, and its layout on disk.
//!
//! ```text
//! <volume root>/
//!   volume.json            the volume's id, name and layout version; written once
//!   lock                   locked by the storage-proxy that owns the volume, and says who that is
//!   tree/<yy>/<zz>/<uuid>  the vfolders' own files; of a uuid that ends in …cdef, yy is "cd" and zz is "ef"
//!   staging/<operation>/   work that is not published, and a clone's checkpoint
//!   uploads/<uuid>/<id>/   files of a vfolder that are not whole yet (`upload`)
//!   trash/<operation>[.n]  trees and staging that are being destroyed
//!   journal/<operation>    what a task needs to know after a restart
//!   journal/epochs/<uuid>  the least epochs that may still write and read a vfolder's tree
//!   journal/quotas/<uuid>  what is in a limited vfolder's tree, while nobody changes it
//! ```
//!
//! What appears in `tree/` appears whole, by one rename, after it is durable (`publish`); what leaves it leaves by one
//! rename, into `trash/`.

mod account;
mod capacity;
mod checkpoint;
mod configured;
mod contents;
mod description;
mod durable;
mod error;
mod fence;
mod init;
mod journal;
mod kept;
mod layout;
mod lock;
pub mod method;
mod opened;
mod publish;
mod scratch;
mod trash;
mod upload;

pub use account::{AccountNote, Figures};
pub use capacity::{Capacity, Health};
pub use configured::Volume;
pub use contents::{Area, Found};
pub use description::{Description, LAYOUT};
pub(crate) use durable::{move_tree, rename_to_free};
pub(crate) use error::on;
pub use error::{OpenError, VolumeError};
pub use fence::Fence;
pub use init::{InitError, init};
pub use layout::tree_path;
pub use lock::Holder;
pub use opened::{NewTrees, OpenVolume};
pub use publish::Staging;
pub use trash::operation_of;
pub use upload::{
    Arrivals, Committed, KnownDigests, LandedFile, Landing, RangeSet, TooManyRanges, UploadFolder,
    UploadRecord,
};

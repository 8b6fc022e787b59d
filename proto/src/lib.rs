//! VFolder's API: the code generated from the .proto files and their encoded descriptors.
//!
//! The documentation of each type is in the .proto files, from where it is also served by reflection.

#![allow(
    missing_docs,
    clippy::all,
    rustdoc::all,
    reason = "generated code; its documentation is the .proto files'"
)]

/// The encoded `FileDescriptorSet` of every .proto here and of what they import, with comments and extensions.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

pub mod vfolder {
    pub mod v1 {
        tonic::include_proto!("vfolder.v1");
    }
    pub mod storage {
        pub mod v1 {
            tonic::include_proto!("vfolder.storage.v1");
        }
    }
}

pub mod google {
    pub mod longrunning {
        tonic::include_proto!("google.longrunning");
    }
    pub mod rpc {
        tonic::include_proto!("google.rpc");
    }
}

pub use vfolder::{storage::v1 as storage, v1};

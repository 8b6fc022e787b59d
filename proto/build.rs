//! Compiles the .proto files without protoc and writes the encoded descriptor set that reflection and the gate read.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

const FILES: &[&str] = &[
    "google/longrunning/operations.proto",
    "google/rpc/error_details.proto",
    "google/rpc/status.proto",
    "vfolder/storage/v1/storage.proto",
    "vfolder/v1/annotations.proto",
    "vfolder/v1/archive.proto",
    "vfolder/v1/file.proto",
    "vfolder/v1/grant.proto",
    "vfolder/v1/mount.proto",
    "vfolder/v1/operation.proto",
    "vfolder/v1/quota.proto",
    "vfolder/v1/tree.proto",
    "vfolder/v1/upload.proto",
    "vfolder/v1/vfolder.proto",
    "vfolder/v1/volume.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!("cargo:rerun-if-changed={file}");
    }
    let mut compiler = protox::Compiler::new(["."])?;
    compiler
        .include_imports(true)
        .include_source_info(true)
        .open_files(FILES)?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // protox's own encoding: unlike prost's, it keeps the extensions in which the rules are written.
    fs::write(
        out.join("descriptors.bin"),
        compiler.encode_file_descriptor_set(),
    )?;
    let descriptors = compiler.file_descriptor_set();
    debug_assert!(descriptors.encoded_len() > 0);
    let mut prost = prost_build::Config::new();
    // Every message knows its name, as google.protobuf.Any needs it.
    prost.enable_type_names();
    tonic_prost_build::configure()
        .bytes(".vfolder.v1")
        .compile_well_known_types(false)
        .compile_fds_with_config(descriptors, prost)?;
    Ok(())
}

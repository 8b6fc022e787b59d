//! The storage-proxy.

fn main() {}

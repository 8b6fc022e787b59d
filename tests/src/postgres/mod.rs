//! A private PostgreSQL cluster for the tests, made from the server binaries that are installed.
//!
//! [`Cluster`] makes, runs and removes one. It lives in the `with-postgres` executable: either around a whole test run,
//! whose tests find it by [`SOCKET_VARIABLE`], or, for a test that was started alone, in a child that stops it when the
//! test process is gone, however it went.

mod cluster;
mod installed;
mod shared;

pub use cluster::{Cluster, Stop};
pub use shared::{socket_dir, url, url_of};

/// The variable that says in which folder the cluster's socket is.
pub const SOCKET_VARIABLE: &str = "VFOLDER_TEST_POSTGRES";
/// The cluster's superuser.
const SUPERUSER: &str = "postgres";

//! The cluster that this process uses: the one that it was started under, else one that it keeps in a child.

use std::{
    env,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

use super::{SOCKET_VARIABLE, SUPERUSER};
use crate::binaries::Binaries;

struct Shared {
    socket_dir: PathBuf,
    /// Its keeper stops when our end of its standard input closes, which it does when we end.
    _keeper: Option<Child>,
}

/// The folder with the socket of the cluster; starts one if none was given.
///
/// # Panics
///
/// If none can be started; the message says what to install.
pub fn socket_dir() -> &'static Path {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    &SHARED
        .get_or_init(|| given().unwrap_or_else(keep_one))
        .socket_dir
}

/// The URL of one database of that cluster.
#[must_use]
pub fn url(database: &str) -> String {
    url_of(socket_dir(), database)
}

/// The URL of a database of the cluster with this socket folder.
#[must_use]
pub fn url_of(socket_dir: &Path, database: &str) -> String {
    let host = socket_dir.display().to_string().replace('/', "%2F");
    format!("postgres://{SUPERUSER}@{host}/{database}")
}

fn given() -> Option<Shared> {
    Some(Shared {
        socket_dir: env::var_os(SOCKET_VARIABLE)?.into(),
        _keeper: None,
    })
}

#[allow(
    clippy::zombie_processes,
    reason = "the keeper outlives us, to clean up after us"
)]
fn keep_one() -> Shared {
    let mut keeper = Command::new(Binaries::beside_us().with_postgres)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the keeper of a PostgreSQL cluster starts");
    let mut line = String::new();
    BufReader::new(keeper.stdout.take().expect("it is piped"))
        .read_line(&mut line)
        .expect("the keeper says where the socket is");
    assert!(
        !line.is_empty(),
        "there is no PostgreSQL cluster: see above"
    );
    Shared {
        socket_dir: line.trim_end().into(),
        _keeper: Some(keeper),
    }
}

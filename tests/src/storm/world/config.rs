//! What the storm's processes are configured with: the defaults, wherever there are any.

use std::{fmt::Write as _, net::SocketAddr, path::Path};

use crate::Volume;

/// The secrets' files.
pub(super) struct Secrets<'a> {
    pub(super) callers: &'a Path,
    pub(super) storage: &'a Path,
}

/// A storage-proxy's, but for `listen`.
pub(super) fn storage_proxy(secrets: &Secrets<'_>, volumes: &[Volume]) -> String {
    let mut text = format!("secret_file = {:?}\n", secrets.storage);
    for Volume { name, path } in volumes {
        let _ = writeln!(text, "[[volumes]]\nname = {name:?}\npath = {path:?}");
    }
    text
}

/// A manager's, but for `listen`.
pub(super) fn manager(
    secrets: &Secrets<'_>,
    database: &str,
    proxies: &[(SocketAddr, Vec<Volume>)],
) -> String {
    let Secrets { callers, storage } = secrets;
    let default = &proxies[0].1[0].name;
    let mut text = format!(
        "default_volume = {default:?}\n[database]\nurl = {database:?}\n[auth]\nhs256_secret_file = {callers:?}\n\
         [storage]\nsecret_file = {storage:?}\n"
    );
    for (address, volumes) in proxies {
        let names: Vec<_> = volumes.iter().map(|volume| &volume.name).collect();
        let _ = writeln!(
            text,
            "[[storage.proxies]]\naddress = \"http://{address}\"\nvolumes = {names:?}"
        );
    }
    text
}

//! Finding the server binaries and a user who may run them.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

/// The folder with `initdb` and `postgres`: from PATH, else where Debian has them, the newest first.
pub(super) fn binaries() -> io::Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut debian: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|e| {
            let major = e.file_name().to_str()?.parse().ok()?;
            Some((major, e.path().join("bin")))
        })
        .collect();
    debian.sort();
    env::split_paths(&path)
        .chain(debian.into_iter().rev().map(|(_, bin)| bin))
        .find(|bin| bin.join("initdb").exists() && bin.join("postgres").exists())
        .ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                "no PostgreSQL server binaries (initdb, postgres) in PATH or /usr/lib/postgresql/*/bin: \
                 run `make setup`, or install the Debian package `postgresql`",
            )
        })
}

/// Who runs the server when we are root, which it refuses to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// None: we ourselves, who are not root.
pub(super) fn unprivileged() -> io::Result<Option<Account>> {
    if !rustix::process::getuid().is_root() {
        return Ok(None);
    }
    let passwd = fs::read_to_string(Path::new("/etc/passwd"))?;
    ["postgres", "nobody"]
        .iter()
        .find_map(|name| account(&passwd, name))
        .map(Some)
        .ok_or_else(|| {
            io::Error::other(
                "PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody`",
            )
        })
}

fn account(passwd: &str, name: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then_some(())?;
        Some(Account {
            uid: fields.nth(1)?.parse().ok()?,
            gid: fields.next()?.parse().ok()?,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\npostgres2:x:7:8:::\npostgres:x:101:104:,,,:/var:/bin/sh\n";
        let found = account(passwd, "postgres");
        assert_eq!(found, Some(Account { uid: 101, gid: 104 }));
        assert_eq!(account(passwd, "nobody"), None);
    }
}

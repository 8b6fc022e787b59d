//! Ours and the others: how each is told to copy a tree and to remove one.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{cases::Case, measure::Steps, settings::Settings};

/// Whom we measure.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Hash, Serialize)]
pub enum Tool {
    /// The engine.
    Ours,
    /// GNU coreutils.
    Cp,
    /// rsync.
    Rsync,
    /// GNU tar, writing into itself.
    Tar,
    /// Of fuc.
    Cpz,
    /// xcp.
    Xcp,
    /// fcp.
    Fcp,
    /// GNU coreutils.
    Rm,
    /// Of fuc.
    Rmz,
    /// What nothing can be faster than: see [`crate::bound`].
    Bound,
}

impl Tool {
    /// All but ours.
    pub const PEERS: &[Self] = &[
        Self::Cp,
        Self::Cpz,
        Self::Xcp,
        Self::Fcp,
        Self::Rsync,
        Self::Tar,
        Self::Rm,
        Self::Rmz,
        Self::Bound,
    ];

    /// As PEERS says it.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Cp => "cp",
            Self::Rsync => "rsync",
            Self::Tar => "tar",
            Self::Cpz => "cpz",
            Self::Xcp => "xcp",
            Self::Fcp => "fcp",
            Self::Rm => "rm",
            Self::Rmz => "rmz",
            Self::Bound => "bound",
        }
    }

    /// As the tables say it.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Cp => "cp -a",
            Self::Rsync => "rsync -aHAX",
            Self::Tar => "tar \\| tar",
            Self::Xcp => "xcp -r",
            Self::Rm => "rm -rf",
            Self::Bound => "bound",
            other => other.key(),
        }
    }

    /// Whether it copies.
    pub const fn clones(self) -> bool {
        !matches!(self, Self::Rm | Self::Rmz)
    }

    /// Whether it removes.
    pub const fn removes(self) -> bool {
        matches!(self, Self::Ours | Self::Rm | Self::Rmz | Self::Bound)
    }

    /// Whether it is on the PATH, or is us.
    pub fn is_installed(self) -> bool {
        matches!(self, Self::Ours | Self::Bound) || on_path(self.key()).is_some()
    }

    /// To copy `from` to `to`, which does not exist.
    pub fn clone_steps(
        self,
        settings: &Settings,
        case: Case,
        (from, to): (&Path, &Path),
        sync: bool,
    ) -> Steps {
        let (source, target) = (text(from), text(to));
        let sparse = case == Case::Sparse;
        let mut steps = match self {
            Self::Ours => {
                let mut line = vec![text(&settings.ours)];
                line.extend(["tree", "clone", "--quiet"].map(String::from));
                line.extend((!sync).then(|| "--no-sync".into()));
                line.extend([source, target]);
                return vec![line];
            }
            Self::Cp => vec![line("cp -a", &[&source, &target])],
            Self::Rsync => {
                let flags = if sparse {
                    "rsync -aHAXS"
                } else {
                    "rsync -aHAX"
                };
                vec![line(flags, &[&format!("{source}/"), &format!("{target}/")])]
            }
            Self::Tar => {
                let all = "--acls --xattrs --xattrs-include='*' --numeric-owner";
                let holes = if sparse { "--sparse" } else { "" };
                let pipe = format!(
                    "set -o pipefail; mkdir '{target}'; \
                     tar -C '{source}' {all} {holes} -cf - . | tar -C '{target}' {all} -xpf -"
                );
                vec![line("bash -c", &[&pipe])]
            }
            Self::Xcp => vec![line("xcp -r --no-progress", &[&source, &target])],
            other => vec![line(other.key(), &[&source, &target])],
        };
        if sync {
            steps.push(line("sync -f", &[&target]));
        }
        steps
    }

    /// To remove `path`.
    pub fn remove_steps(self, settings: &Settings, path: &Path, sync: bool) -> Steps {
        let target = text(path);
        let mut steps = match self {
            Self::Ours => {
                let mut line = vec![text(&settings.ours)];
                line.extend(["tree", "remove", "--quiet"].map(String::from));
                line.extend((!sync).then(|| "--no-sync".into()));
                line.push(target);
                return vec![line];
            }
            Self::Rm => vec![line("rm -rf", &[&target])],
            other => vec![line(other.key(), &[&target])],
        };
        if let Some(parent) = path.parent().filter(|_| sync) {
            steps.push(line("sync -f", &[&text(parent)]));
        }
        steps
    }
}

/// Words of our own, then arguments.
fn line(words: &str, arguments: &[&str]) -> Vec<String> {
    let words = words.split(' ').chain(arguments.iter().copied());
    words.map(str::to_owned).collect()
}

/// Paths here are made by us, in UTF-8.
fn text(path: &Path) -> String {
    path.display().to_string()
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path: OsString = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.exists())
}

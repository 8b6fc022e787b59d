//! What is to be measured, from the environment.

use std::{env, path::PathBuf, time::Duration};

use crate::{Told, cases::Case, image::Filesystem, tools::Tool};

/// All settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// FILESYSTEMS: `ext4 xfs btrfs`.
    pub filesystems: Vec<Filesystem>,
    /// CASES: `A B C D E F`.
    pub cases: Vec<Case>,
    /// PEERS: whom to compare with; those of them that are not installed are left out.
    pub peers: Vec<Tool>,
    /// ROUNDS: how often each is measured, 5.
    pub rounds: usize,
    /// SCALE: inputs are this many times smaller; 1.
    pub scale: u64,
    /// LONG=1: memory at ten million files, not at one million.
    pub long: bool,
    /// EXTRAS=0: leaves out what is measured besides the tables.
    pub extras: bool,
    /// PLACE: a directory in memory for the images, /dev/shm.
    pub place: PathBuf,
    /// KEEP: the file with what was measured before, and need not be measured again.
    pub keep: Option<PathBuf>,
    /// OUT: the file that the page is written to.
    pub out: Option<PathBuf>,
    /// `STORAGE_PROXY`: the program under test.
    pub ours: PathBuf,
    /// TIMEOUT: seconds after which a tool hangs, 300.
    pub timeout: Duration,
}

impl Settings {
    /// Reads them.
    ///
    /// # Errors
    /// What can't be understood.
    pub fn from_environment() -> Told<Self> {
        let ours = match variable("STORAGE_PROXY") {
            Some(path) => PathBuf::from(path),
            None => beside_us("storage-proxy")?,
        };
        if !ours.exists() {
            let ours = ours.display();
            return Err(format!(
                "{ours} is not built; `cargo build -p vfolder-storage-proxy` builds it"
            ));
        }
        let peers: Vec<Tool> = words("PEERS", Tool::PEERS, |tool| tool.key())?;
        Ok(Self {
            filesystems: words("FILESYSTEMS", Filesystem::ALL, |one| one.name())?,
            cases: words("CASES", Case::ALL, |one| one.letter())?,
            peers: peers
                .into_iter()
                .filter(|peer| peer.is_installed())
                .collect(),
            rounds: usize::try_from(number("ROUNDS", 5)?)
                .map_err(|e| e.to_string())?
                .max(1),
            scale: number("SCALE", 1)?.max(1),
            long: number("LONG", 0)? != 0,
            extras: number("EXTRAS", 1)? != 0,
            place: PathBuf::from(variable("PLACE").unwrap_or_else(|| "/dev/shm".into())),
            keep: variable("KEEP").map(PathBuf::from),
            out: variable("OUT").map(PathBuf::from),
            ours,
            timeout: Duration::from_secs(number("TIMEOUT", 300)?),
        })
    }
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|text| !text.is_empty())
}

fn number(name: &str, default: u64) -> Told<u64> {
    match variable(name) {
        Some(text) => text
            .parse()
            .map_err(|_| format!("{name}={text} is no number")),
        None => Ok(default),
    }
}

fn words<T: Copy>(name: &str, all: &[T], word: impl Fn(T) -> &'static str) -> Told<Vec<T>> {
    let Some(text) = variable(name) else {
        return Ok(all.to_vec());
    };
    let chosen = text
        .split([' ', ','])
        .filter(|one| !one.is_empty())
        .map(|chosen| {
            let found = all
                .iter()
                .find(|one| word(**one).eq_ignore_ascii_case(chosen));
            found.copied().ok_or_else(|| {
                let all: Vec<_> = all.iter().map(|one| word(*one)).collect();
                format!("{name}: there is no {chosen}; there are: {}", all.join(" "))
            })
        });
    chosen.collect()
}

fn beside_us(name: &str) -> Told<PathBuf> {
    let us = env::current_exe().map_err(|e| e.to_string())?;
    Ok(us.with_file_name(name))
}

//! What is to be measured, from the environment.

use std::{env, path::PathBuf};

use crate::Told;

const MEBIBYTE: u64 = 1 << 20;

/// What is to be measured.
pub struct Settings {
    /// Bytes of the file: SIZE, in MiB.
    pub size: u64,
    /// Bytes in one message: CHUNK, in KiB.
    pub chunk: usize,
    /// How often: ROUNDS.
    pub rounds: usize,
    /// Only ways whose names have this in them: WAYS.
    pub ways: String,
    /// Bytes of each of the parallel transfers: PARALLEL_SIZE, in MiB. 0: none.
    pub parallel_size: u64,
    /// Where the volume is: PLACE.
    pub place: PathBuf,
    /// Where the volume of the parallel transfers is, which write 16 times their size: PARALLEL_PLACE.
    pub parallel_place: PathBuf,
    /// The script that brings nginx: NGINX.
    pub nginx: PathBuf,
    /// The page: OUT.
    pub out: Option<PathBuf>,
}

impl Settings {
    /// Reads the variables; those that are unset or empty have defaults.
    pub fn from_environment() -> Told<Self> {
        Ok(Self {
            size: number("SIZE", 4096)? * MEBIBYTE,
            chunk: usize::try_from(number("CHUNK", 1024)? << 10).map_err(|e| e.to_string())?,
            rounds: usize::try_from(number("ROUNDS", 5)?.max(1)).map_err(|e| e.to_string())?,
            ways: variable("WAYS").unwrap_or_default(),
            parallel_size: number("PARALLEL_SIZE", 1024)? * MEBIBYTE,
            place: PathBuf::from(variable("PLACE").unwrap_or_else(|| "/dev/shm".into())),
            parallel_place: PathBuf::from(
                variable("PARALLEL_PLACE").unwrap_or_else(|| "/var/tmp".into()),
            ),
            nginx: PathBuf::from(
                variable("NGINX").unwrap_or_else(|| "scripts/bench-nginx.sh".into()),
            ),
            out: variable("OUT").map(PathBuf::from),
        })
    }
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|text| !text.is_empty())
}

fn number(name: &str, default: u64) -> Told<u64> {
    let Some(text) = variable(name) else {
        return Ok(default);
    };
    text.parse()
        .map_err(|_| format!("{name} must be a number, not \"{text}\""))
}

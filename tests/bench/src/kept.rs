//! What was measured before, in a file: measuring takes hours, and may be done in parts.

use std::{fs, io, path::Path};

use serde::{Deserialize, Serialize};

use crate::{Told, host::Host, results::Results};

/// What the file has.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Kept {
    /// How many times smaller the inputs were.
    pub scale: u64,
    /// When and of what.
    pub parts: Vec<Part>,
    /// All figures.
    pub results: Results,
}

/// When, and which commit, was measured in one go.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Part {
    /// The day, UTC.
    pub date: String,
    /// The commit.
    pub commit: String,
    /// The kernel's release.
    pub kernel: String,
}

impl Kept {
    /// What `file` has, if there is one, and this run as one more part of it.
    ///
    /// # Errors
    /// If it can't be read, or was measured with other inputs.
    pub fn open(file: Option<&Path>, host: &Host, scale: u64) -> Told<Self> {
        let mut kept = match file.map(fs::read) {
            None => Self::default(),
            Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => Self::default(),
            Some(read) => {
                let bytes = read.map_err(|e| format!("KEEP: {e}"))?;
                serde_json::from_slice(&bytes).map_err(|e| format!("KEEP: {e}"))?
            }
        };
        if kept.parts.is_empty() {
            kept.scale = scale;
        }
        if kept.scale != scale {
            return Err(format!(
                "KEEP: its inputs are {} times smaller, not {scale}; name another file",
                kept.scale
            ));
        }
        let part = Part {
            date: host.date.clone(),
            commit: host.commit.clone(),
            kernel: host.kernel.clone(),
        };
        if !kept.parts.contains(&part) {
            kept.parts.push(part);
        }
        Ok(kept)
    }

    /// Writes it.
    pub fn save(&self, file: Option<&Path>) -> Told<()> {
        let Some(file) = file else { return Ok(()) };
        let part = file.with_extension("part");
        let bytes = serde_json::to_vec(self).map_err(|e| e.to_string())?;
        fs::write(&part, bytes)
            .and_then(|()| fs::rename(&part, file))
            .map_err(|e| format!("KEEP: {}: {e}", file.display()))
    }
}

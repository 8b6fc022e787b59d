//! What a user may write into a record, and what may not be written there.

use std::collections::BTreeMap;

use crate::{
    model::{Owner, Permission, Status},
    store::{Id, Timestamp, Vfolder},
};

/// Names: as long as most filesystems' and session names can show.
const MAX_NAME: usize = 64;
const MAX_DESCRIPTION: usize = 1_000;
const MAX_LABELS: usize = 32;
const MAX_LABEL_KEY: usize = 63;
const MAX_LABEL_VALUE: usize = 255;
const MAX_OWNER: usize = 255;

/// A vfolder to be made. Its fields have been checked with the functions of this module.
#[derive(Clone, Debug)]
pub struct NewVfolder {
    /// The name.
    pub name: String,
    /// Whose it will be.
    pub owner: Owner,
    /// Where it will be.
    pub volume: String,
    /// Free text.
    pub description: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// What a project's members may do.
    pub member_permission: Permission,
    /// Bytes in it at most. 0: no limit.
    pub max_bytes: i64,
    /// Entries in it at most. 0: no limit.
    pub max_files: i64,
}

impl NewVfolder {
    /// The row, before its tree is made.
    #[must_use]
    pub fn into_row(self, creator: &str, now: Timestamp) -> Vfolder {
        Vfolder {
            id: Id::new(),
            name: self.name,
            owner_kind: self.owner.kind().into(),
            owner_id: self.owner.id().into(),
            volume: self.volume,
            status: Status::Creating,
            status_reason: String::new(),
            description: self.description,
            labels: labels_text(&self.labels),
            member_permission: self.member_permission,
            creator: creator.to_owned(),
            create_time: now,
            update_time: now,
            delete_time: None,
            purge_time: None,
            revision: 1,
            epoch: 1,
            fenced_epoch: 0,
            digest: String::new(),
            digest_files: 0,
            digest_bytes: 0,
            digest_time: None,
            max_bytes: self.max_bytes,
            max_files: self.max_files,
            mounted_revision: 0,
            quota_untold: false,
        }
    }
}

/// The text of a tree's digest, or nothing.
pub fn check_digest(digest: &str) -> Result<(), String> {
    let digits = digest.strip_prefix("blake3-tree-v1:");
    let is_one = |digits: &str| {
        digits.len() == 64
            && digits
                .bytes()
                .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    if digest.is_empty() || digits.is_some_and(is_one) {
        return Ok(());
    }
    Err(
        "must be \"blake3-tree-v1:\" and 64 lower-case hexadecimal digits, as a receipt has it"
            .into(),
    )
}

/// Checks a limit on bytes or files.
pub fn check_limit(limit: i64) -> Result<(), String> {
    if limit < 0 {
        Err("must not be negative; 0 is no limit".into())
    } else {
        Ok(())
    }
}

/// Labels as they are stored.
#[must_use]
pub fn labels_text(labels: &BTreeMap<String, String>) -> String {
    serde_json::Value::from_iter(labels.clone()).to_string()
}

/// Labels as they were stored.
#[must_use]
pub fn labels_of(text: &str) -> BTreeMap<String, String> {
    serde_json::from_str(text).unwrap_or_default()
}

/// Checks a name.
pub fn check_name(name: &str) -> Result<(), String> {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | ' ');
    if name.is_empty() {
        Err("is required".into())
    } else if name.chars().count() > MAX_NAME {
        Err(format!("must have at most {MAX_NAME} characters"))
    } else if name.starts_with(['.', '-', ' ']) || name.ends_with(' ') {
        Err("must not begin with '.', '-' or a space, nor end with a space".into())
    } else if let Some(c) = name.chars().find(|c| !fits(*c)) {
        Err(format!(
            "must have only letters, digits, '.', '_', '-' and spaces, not {c:?}"
        ))
    } else {
        Ok(())
    }
}

/// Checks a description.
pub fn check_description(text: &str) -> Result<(), String> {
    if text.chars().count() > MAX_DESCRIPTION {
        Err(format!("must have at most {MAX_DESCRIPTION} characters"))
    } else if text.contains('\0') {
        Err("must not have a NUL character".into())
    } else {
        Ok(())
    }
}

/// Checks labels.
pub fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), String> {
    let key_fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._/-".contains(c);
    if labels.len() > MAX_LABELS {
        return Err(format!("must be at most {MAX_LABELS}"));
    }
    for (key, value) in labels {
        if key.is_empty() || key.len() > MAX_LABEL_KEY || !key.chars().all(key_fits) {
            return Err(format!(
                "the key {key:?} must have 1 to {MAX_LABEL_KEY} characters of a-z, 0-9, '.', '_', '/' and '-'"
            ));
        }
        if value.chars().count() > MAX_LABEL_VALUE || value.contains('\0') {
            return Err(format!(
                "the value of {key:?} must have at most {MAX_LABEL_VALUE} characters and no NUL"
            ));
        }
    }
    Ok(())
}

/// Checks the id of a user or project.
pub fn check_owner(owner: &Owner) -> Result<(), String> {
    let id = owner.id();
    if id.is_empty() || id.chars().count() > MAX_OWNER || id.chars().any(char::is_control) {
        Err(format!("must have 1 to {MAX_OWNER} printable characters"))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_confuse_a_shell_or_a_path_are_refused() {
        for good in ["a", "data set 1", "Modèle_2.1", "训练集", &"x".repeat(64)] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            ".hidden",
            "-rf",
            "a/b",
            "a\0b",
            "a\nb",
            " a",
            "a ",
            "a*",
            "a\u{202e}b",
            &"x".repeat(65),
        ] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn labels_come_back_as_they_were_stored() {
        let labels = BTreeMap::from([("team/x".into(), "\"quoted\" ü".into())]);
        assert_eq!(labels_of(&labels_text(&labels)), labels);
    }
}

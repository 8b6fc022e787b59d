//! Loading configuration: a TOML file, over which environment variables win.

use std::path::Path;

use config::{Config, ConfigError, Environment, File};
use serde::de::DeserializeOwned;

/// Reads `file` and then the environment: with the prefix `VFOLDER_MANAGER`, the variable
/// `VFOLDER_MANAGER__DATABASE__URL` sets `url` in the section `database`.
///
/// An unknown key is an error where `T` denies unknown fields, so that a misspelt setting is not silently ignored.
pub fn load<T: DeserializeOwned>(file: &Path, env_prefix: &str) -> Result<T, ConfigError> {
    Config::builder()
        .add_source(File::from(file))
        .add_source(
            Environment::with_prefix(env_prefix)
                .prefix_separator("__")
                .separator("__")
                .try_parsing(true),
        )
        .build()?
        .try_deserialize()
}

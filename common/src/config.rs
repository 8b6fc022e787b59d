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

/// Durations as configuration writes them: a number and a unit, "500ms", "30s", "5m", "12h", "30d".
pub mod duration {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, de::Error as _};

    /// For `#[serde(with = "vfolder_common::config::duration")]`.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse(&text).map_err(D::Error::custom)
    }

    /// Parses such a duration.
    pub fn parse(text: &str) -> Result<Duration, String> {
        let wrong = || format!("\"{text}\" is no duration: write 500ms, 30s, 5m, 12h or 30d");
        let unit = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, unit) = text.split_at(unit);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let millis = match unit.trim() {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        number
            .checked_mul(millis)
            .map(Duration::from_millis)
            .ok_or_else(wrong)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn durations_need_a_number_and_a_known_unit() {
            assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
            assert_eq!(parse("30 d"), Ok(Duration::from_secs(30 * 86_400)));
            for wrong in ["", "5", "s", "-5s", "5 weeks", "99999999999999999d"] {
                assert!(parse(wrong).is_err(), "{wrong}");
            }
        }
    }
}

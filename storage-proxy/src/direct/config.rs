//! `[direct]`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde::Deserialize;
use vfolder_common::config::duration;

/// The listener for bearers of grants. docs/configuration.md has every key with its default.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectSection {
    /// Where to listen. Port 0: a free one.
    pub listen: SocketAddr,
    /// What callers are told: "http://host:port" or "https://host:port". Unset: where it listens.
    #[serde(default)]
    pub url: Option<String>,
    /// Our certificate. Callers show none: their grants say who they are.
    #[serde(default)]
    pub tls: Option<DirectTls>,
    /// May listen beyond loopback without TLS: behind something that ends TLS, say.
    #[serde(default)]
    pub insecure: bool,
    /// Whose scripts may call from a browser: origins like `https://app.example.org`, or "*" for all. Grants are what
    /// admits; this is for whoever has one in a page.
    #[serde(default)]
    pub cors_origins: Vec<String>,
    /// Connections at once; more wait to be accepted.
    #[serde(default = "DirectSection::max_connections")]
    pub max_connections: usize,
    /// Requests at once on one connection of HTTP/2.
    #[serde(default = "DirectSection::max_streams")]
    pub max_streams: u32,
    /// The largest head of a request, in bytes.
    #[serde(default = "DirectSection::max_header_bytes")]
    pub max_header_bytes: u32,
    /// How long a caller may take for a TLS handshake or the head of a request; and, over HTTP/1.1, between two requests.
    #[serde(default = "DirectSection::header_timeout", with = "duration")]
    pub header_timeout: Duration,
    /// How often a silent caller of HTTP/2 is asked whether he is still there.
    #[serde(default = "DirectSection::keepalive", with = "duration")]
    pub keepalive: Duration,
}

/// PEM files.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectTls {
    /// The certificate chain.
    pub cert_file: PathBuf,
    /// Its private key.
    pub key_file: PathBuf,
}

/// The least that hyper reads a head with.
const LEAST_HEADER_BYTES: u32 = 8 << 10;
const MOST_HEADER_BYTES: u32 = 1 << 20;

impl DirectSection {
    /// What no file can say and no listener can work with. The text names the key.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<(), String> {
        if self.max_connections == 0 || self.max_streams == 0 {
            return Err("direct.max_connections and direct.max_streams must be at least 1".into());
        }
        if !(LEAST_HEADER_BYTES..=MOST_HEADER_BYTES).contains(&self.max_header_bytes) {
            return Err(format!(
                "direct.max_header_bytes must be from {LEAST_HEADER_BYTES} to {MOST_HEADER_BYTES}"
            ));
        }
        for (key, value) in [
            ("header_timeout", self.header_timeout),
            ("keepalive", self.keepalive),
        ] {
            if value.is_zero() {
                return Err(format!("direct.{key} must not be 0"));
            }
        }
        self.cors_origins
            .iter()
            .try_for_each(|origin| check_origin(origin))?;
        match &self.url {
            Some(url) => check_url(url),
            None => Ok(()),
        }
    }

    fn max_connections() -> usize {
        1_024
    }

    fn max_streams() -> u32 {
        128
    }

    fn max_header_bytes() -> u32 {
        64 << 10
    }

    fn header_timeout() -> Duration {
        Duration::from_secs(15)
    }

    fn keepalive() -> Duration {
        Duration::from_secs(30)
    }
}

/// Paths are added to it as they are.
fn check_url(url: &str) -> Result<(), String> {
    if bare(url).is_some_and(|uri| matches!(uri.scheme_str(), Some("http" | "https"))) {
        Ok(())
    } else {
        Err(format!(
            "direct.url = \"{url}\" must be http://host:port or https://host:port and nothing after it"
        ))
    }
}

/// A scheme and an authority, and nothing after them.
fn bare(text: &str) -> Option<http::Uri> {
    let uri = text.parse::<http::Uri>().ok()?;
    let bare = uri.authority().is_some() && uri.path() == "/" && uri.query().is_none();
    (bare && uri.scheme().is_some() && !text.ends_with('/')).then_some(uri)
}

/// As browsers send it, byte for byte: a scheme, a host in lower case, and a port that is not the scheme's own.
fn check_origin(origin: &str) -> Result<(), String> {
    let as_sent = bare(origin).is_some() && !origin.bytes().any(|byte| byte.is_ascii_uppercase());
    if origin == "*" || as_sent {
        return Ok(());
    }
    Err(format!(
        "direct.cors_origins has \"{origin}\", which no browser sends: it must be \"*\", or like https://app.example.org, in lower \
         case and without a / at its end"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_one_that_a_browser_sends() {
        for good in [
            "*",
            "https://app.example.org",
            "http://localhost:3000",
            "http://[::1]:1",
        ] {
            assert_eq!(check_origin(good), Ok(()), "{good}");
        }
        for wrong in [
            "https://app.example.org/",
            "https://App.example.org",
            "https://h/x",
            "app.example.org",
            "null",
            "https://a b",
            "",
        ] {
            assert!(check_origin(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_advertised_url_is_a_scheme_and_an_authority() {
        for good in ["http://host", "https://host:7072", "http://[::1]:1"] {
            assert_eq!(check_url(good), Ok(()), "{good}");
        }
        for wrong in [
            "host:1",
            "ftp://h",
            "http://h/",
            "http://h/x",
            "http://h?x",
            "",
        ] {
            assert!(check_url(wrong).is_err(), "{wrong}");
        }
    }
}

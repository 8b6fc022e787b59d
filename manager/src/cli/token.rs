//! Tokens for trying things out. In production somebody else issues them.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use vfolder_common::config::duration;

use super::Failure;
use crate::config::AuthConfig;

/// What the token says.
#[derive(clap::Args)]
pub(super) struct Claims {
    /// The user's id.
    #[arg(long)]
    sub: String,
    /// A project that the user is a member of. May be repeated.
    #[arg(long = "project")]
    projects: Vec<String>,
    /// "user" or "admin".
    #[arg(long, default_value = "user", value_parser = ["user", "admin"])]
    role: String,
    /// How long it is good for.
    #[arg(long, default_value = "1h", value_parser = duration::parse)]
    ttl: Duration,
}

/// Signs it.
pub(super) fn sign(auth: &AuthConfig, claims: &Claims) -> Result<String, Failure> {
    let file = auth
        .hs256_secret_file
        .as_ref()
        .ok_or("there is no auth.hs256_secret_file to sign with")?;
    let secret = fs::read(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let expiry = (SystemTime::now() + claims.ttl).duration_since(SystemTime::UNIX_EPOCH)?;
    let mut body = serde_json::json!({
        "sub": claims.sub,
        "projects": claims.projects,
        "role": claims.role,
        "exp": expiry.as_secs(),
    });
    if let Some(issuer) = &auth.issuer {
        body["iss"] = issuer.as_str().into();
    }
    if let Some(audience) = &auth.audience {
        body["aud"] = audience.as_str().into();
    }
    let key = EncodingKey::from_secret(secret.trim_ascii());
    Ok(encode(&Header::new(Algorithm::HS256), &body, &key)?)
}

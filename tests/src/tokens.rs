//! The tokens that callers bring, good ones and bad ones.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;

/// Base64url of `{"alg":"none","typ":"JWT"}`.
const UNSIGNED_HEADER: &str = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
const HOUR: Duration = Duration::from_secs(3600);

/// Makes tokens with the secret that the manager of one system verifies them with.
#[derive(Clone)]
pub struct Tokens {
    secret: Vec<u8>,
}

impl Tokens {
    /// With this secret.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self {
            secret: secret.to_vec(),
        }
    }

    /// A user without projects.
    #[must_use]
    pub fn user(&self, sub: &str) -> String {
        self.member(sub, &[])
    }

    /// A user who belongs to projects.
    #[must_use]
    pub fn member(&self, sub: &str, projects: &[&str]) -> String {
        self.sign(
            Algorithm::HS256,
            &claims(sub, projects, "user", in_from_now(HOUR)),
        )
    }

    /// An administrator.
    #[must_use]
    pub fn admin(&self, sub: &str) -> String {
        self.sign(
            Algorithm::HS256,
            &claims(sub, &[], "admin", in_from_now(HOUR)),
        )
    }

    /// Was good until an hour ago, which is more than any clock skew that is forgiven.
    #[must_use]
    pub fn expired(&self, sub: &str) -> String {
        let hour_ago = in_from_now(Duration::ZERO) - HOUR.as_secs();
        self.sign(Algorithm::HS256, &claims(sub, &[], "user", hour_ago))
    }

    /// Expired so many seconds ago.
    #[must_use]
    pub fn expired_since(&self, sub: &str, seconds: u64) -> String {
        let then = in_from_now(Duration::ZERO) - seconds;
        self.sign(Algorithm::HS256, &claims(sub, &[], "user", then))
    }

    /// Signed with a secret that nobody knows.
    #[must_use]
    pub fn forged(sub: &str) -> String {
        Self::new(b"a secret that the manager has never heard of").user(sub)
    }

    /// Signed with the right secret in an algorithm that was not agreed on.
    #[must_use]
    pub fn other_algorithm(&self, sub: &str) -> String {
        self.sign(
            Algorithm::HS512,
            &claims(sub, &[], "admin", in_from_now(HOUR)),
        )
    }

    /// With `alg: none` and no signature.
    #[must_use]
    pub fn unsigned(&self, sub: &str) -> String {
        let signed = self.admin(sub);
        let payload = signed.split('.').nth(1).unwrap_or_default();
        format!("{UNSIGNED_HEADER}.{payload}.")
    }

    /// With any claims.
    #[must_use]
    pub fn with_claims(&self, claims: &serde_json::Value) -> String {
        self.sign(Algorithm::HS256, claims)
    }

    fn sign(&self, algorithm: Algorithm, claims: &serde_json::Value) -> String {
        let key = EncodingKey::from_secret(&self.secret);
        encode(&Header::new(algorithm), claims, &key).expect("claims can be signed")
    }
}

fn claims(sub: &str, projects: &[&str], role: &str, exp: u64) -> serde_json::Value {
    json!({ "sub": sub, "projects": projects, "role": role, "exp": exp })
}

fn in_from_now(span: Duration) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| (now + span).as_secs())
}

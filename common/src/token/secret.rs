//! The shared secret, what it signs and what it verifies.

use std::{
    fmt, fs,
    io::{Error, ErrorKind},
    path::Path,
    time::{Duration, SystemTime},
};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

/// The least length of the shared secret: as long as the hash it keys (RFC 7518 §3.2).
const MIN_SECRET_BYTES: usize = 32;
/// How far the clocks of the manager's and the storage-proxy's hosts may be apart.
const LEEWAY: Duration = Duration::from_secs(15);
/// How long a service token or proof is good for: one call.
const CALL_LIFE: Duration = Duration::from_secs(60);

const GRANT_AUDIENCE: &str = "vfolder-grant";
const SERVICE_AUDIENCE: &str = "vfolder-service";
const PROOF_AUDIENCE: &str = "vfolder-proof";

/// What a grant lets its bearer do in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GrantMode {
    /// Read.
    #[serde(rename = "ro")]
    ReadOnly,
    /// Read and write.
    #[serde(rename = "rw")]
    ReadWrite,
}

/// Admission to one vfolder's tree, as the manager's gate decided it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The vfolder.
    pub vfolder: Uuid,
    /// The volume it lives on.
    pub volume: String,
    /// What it lets its bearer do.
    pub mode: GrantMode,
    /// The vfolder's epoch when the grant was made.
    pub epoch: i64,
    /// The user it was made for.
    pub subject: String,
    /// The path that it is for, with what is below; relative to the tree's root, which is the empty one.
    pub path: Vec<u8>,
}

/// Why a token is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It was good once.
    #[error("the token has expired")]
    Expired,
    /// It never was.
    #[error("the token does not verify: {0}")]
    Invalid(String),
}

impl From<jsonwebtoken::errors::Error> for TokenError {
    fn from(error: jsonwebtoken::errors::Error) -> Self {
        match error.kind() {
            jsonwebtoken::errors::ErrorKind::ExpiredSignature => Self::Expired,
            _ => Self::Invalid(error.to_string()),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct GrantClaims {
    aud: String,
    exp: u64,
    sub: String,
    vfolder: Uuid,
    volume: String,
    mode: GrantMode,
    epoch: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    path: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct CallClaims {
    aud: String,
    exp: u64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    nonce: String,
}

/// A secret that the manager and its storage-proxies hold and nobody else.
#[derive(Clone)]
pub struct SharedSecret {
    sign: EncodingKey,
    verify: DecodingKey,
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret(…)")
    }
}

impl SharedSecret {
    /// Takes the secret itself; at least 32 bytes.
    pub fn new(secret: &[u8]) -> Result<Self, Error> {
        if secret.len() < MIN_SECRET_BYTES {
            return Err(Error::new(
                ErrorKind::InvalidData,
                format!("a shared secret needs at least {MIN_SECRET_BYTES} bytes"),
            ));
        }
        Ok(Self {
            sign: EncodingKey::from_secret(secret),
            verify: DecodingKey::from_secret(secret),
        })
    }

    /// Reads the secret from a file; white space around it doesn't count.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        let named = |e: Error| Error::new(e.kind(), format!("{}: {e}", path.display()));
        let bytes = fs::read(path).map_err(named)?;
        Self::new(bytes.trim_ascii()).map_err(named)
    }

    /// Signs a grant that is good for `life`.
    pub fn sign_grant(&self, grant: &Grant, life: Duration) -> Result<String, TokenError> {
        self.sign_grant_until(grant, expiry(life))
    }

    /// Signs a grant that ends at `end`, in seconds since the Unix epoch. Whoever verifies it gives it some seconds more,
    /// since clocks differ.
    pub fn sign_grant_until(&self, grant: &Grant, end: u64) -> Result<String, TokenError> {
        self.sign(&GrantClaims {
            aud: GRANT_AUDIENCE.into(),
            exp: end,
            sub: grant.subject.clone(),
            vfolder: grant.vfolder,
            volume: grant.volume.clone(),
            mode: grant.mode,
            epoch: grant.epoch,
            path: grant.path.clone(),
        })
    }

    /// Verifies a grant and its expiry.
    pub fn verify_grant(&self, token: &str) -> Result<Grant, TokenError> {
        let claims: GrantClaims = self.verify(token, GRANT_AUDIENCE)?;
        Ok(Grant {
            vfolder: claims.vfolder,
            volume: claims.volume,
            mode: claims.mode,
            epoch: claims.epoch,
            subject: claims.sub,
            path: claims.path,
        })
    }

    /// Signs "this is the manager", for one call.
    pub fn sign_service_token(&self) -> Result<String, TokenError> {
        self.sign_call(SERVICE_AUDIENCE, "")
    }

    /// Verifies "this is the manager".
    pub fn verify_service_token(&self, token: &str) -> Result<(), TokenError> {
        self.verify::<CallClaims>(token, SERVICE_AUDIENCE)
            .map(|_| ())
    }

    /// Answers a nonce: "this is your storage-proxy".
    pub fn prove(&self, nonce: &str) -> Result<String, TokenError> {
        self.sign_call(PROOF_AUDIENCE, nonce)
    }

    /// Verifies the answer to a nonce.
    pub fn verify_proof(&self, proof: &str, nonce: &str) -> Result<(), TokenError> {
        let claims: CallClaims = self.verify(proof, PROOF_AUDIENCE)?;
        if claims.nonce == nonce {
            Ok(())
        } else {
            Err(TokenError::Invalid("it answers another nonce".into()))
        }
    }

    fn sign_call(&self, audience: &str, nonce: &str) -> Result<String, TokenError> {
        self.sign(&CallClaims {
            aud: audience.into(),
            exp: expiry(CALL_LIFE),
            nonce: nonce.into(),
        })
    }

    fn sign(&self, claims: &impl Serialize) -> Result<String, TokenError> {
        Ok(encode(&Header::new(Algorithm::HS256), claims, &self.sign)?)
    }

    fn verify<T: DeserializeOwned>(&self, token: &str, audience: &str) -> Result<T, TokenError> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_audience(&[audience]);
        validation.set_required_spec_claims(&["exp", "aud"]);
        validation.leeway = LEEWAY.as_secs();
        Ok(decode::<T>(token, &self.verify, &validation)?.claims)
    }
}

fn expiry(life: Duration) -> u64 {
    (SystemTime::now() + life)
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |d| d.as_secs())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn secret(fill: u8) -> SharedSecret {
        SharedSecret::new(&[fill; MIN_SECRET_BYTES]).unwrap()
    }

    fn grant() -> Grant {
        Grant {
            vfolder: Uuid::now_v7(),
            volume: "local".into(),
            mode: GrantMode::ReadOnly,
            epoch: 3,
            subject: "alice".into(),
            path: b"models/\xff".into(),
        }
    }

    #[test]
    fn a_grant_comes_back_as_it_was_signed() {
        let token = secret(1)
            .sign_grant(&grant(), Duration::from_secs(60))
            .unwrap();
        let back = secret(1).verify_grant(&token).unwrap();
        assert_eq!(back.mode, GrantMode::ReadOnly);
        assert_eq!((back.epoch, back.volume.as_str()), (3, "local"));
        assert_eq!(back.path, b"models/\xff");
    }

    #[test]
    fn no_kind_of_token_passes_for_another() {
        let s = secret(1);
        let tokens = [
            s.sign_grant(&grant(), Duration::from_secs(60)).unwrap(),
            s.sign_service_token().unwrap(),
            s.prove("n").unwrap(),
        ];
        for (i, token) in tokens.iter().enumerate() {
            assert_eq!(s.verify_grant(token).is_ok(), i == 0);
            assert_eq!(s.verify_service_token(token).is_ok(), i == 1);
            assert_eq!(s.verify_proof(token, "n").is_ok(), i == 2);
        }
        assert!(s.verify_proof(&tokens[2], "other").is_err());
    }

    #[test]
    fn a_token_signed_with_another_secret_is_refused() {
        let token = secret(1).sign_service_token().unwrap();
        assert!(secret(2).verify_service_token(&token).is_err());
        assert!(SharedSecret::new(b"short").is_err());
    }
}

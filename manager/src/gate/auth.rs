//! Who calls: JSON Web Tokens, verified, never issued.

use std::{
    fs, io,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use http::HeaderMap;
use jsonwebtoken::{
    Algorithm, DecodingKey, TokenData, Validation, decode, decode_header,
    errors::{Error, ErrorKind},
    jwk::{JwkSet, KeyAlgorithm},
};
use serde::Deserialize;
use vfolder_common::error::{Reason, Refusal};

use crate::{
    config::AuthConfig,
    model::{Caller, permission::SYSTEM},
};

/// The least length of an HS256 secret (RFC 7518 §3.2).
const MIN_SECRET_BYTES: usize = 32;
const DEFAULT_LEEWAY: Duration = Duration::from_secs(30);
/// Longer ids don't fit where they are shown and stored.
const MAX_ID: usize = 255;

/// Why `[auth]` can't be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// A file.
    #[error("auth: {0}: {1}")]
    File(PathBuf, io::Error),
    /// What is in it.
    #[error("auth: {0}: {1}")]
    Key(PathBuf, String),
    /// Nothing is configured.
    #[error("auth: no key: set hs256_secret_file, public_key_files or jwks_file")]
    NoKey,
}

struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// Verifies tokens against the configured keys.
pub struct Verifier {
    keys: Vec<Key>,
    validation: Validation,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: f64,
    #[serde(default)]
    projects: Vec<String>,
    #[serde(default)]
    role: Role,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    #[default]
    User,
    Admin,
}

impl Verifier {
    /// Reads the keys.
    pub fn open(config: &AuthConfig) -> Result<Self, AuthError> {
        let read = |file: &PathBuf| fs::read(file).map_err(|e| AuthError::File(file.clone(), e));
        let mut keys = Vec::new();
        if let Some(file) = &config.hs256_secret_file {
            let bytes = read(file)?;
            let secret = bytes.trim_ascii();
            if secret.len() < MIN_SECRET_BYTES {
                let why = format!("an HS256 secret needs at least {MIN_SECRET_BYTES} bytes");
                return Err(AuthError::Key(file.clone(), why));
            }
            keys.push(Key {
                id: None,
                algorithm: Algorithm::HS256,
                key: DecodingKey::from_secret(secret),
            });
        }
        for file in &config.public_key_files {
            keys.push(public_key(&read(file)?).map_err(|why| AuthError::Key(file.clone(), why))?);
        }
        if let Some(file) = &config.jwks_file {
            keys.extend(key_set(&read(file)?).map_err(|why| AuthError::Key(file.clone(), why))?);
        }
        if keys.is_empty() {
            return Err(AuthError::NoKey);
        }
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = config.leeway.unwrap_or(DEFAULT_LEEWAY).as_secs();
        validation.validate_nbf = true;
        validation.validate_aud = config.audience.is_some();
        let mut required = vec!["exp", "sub"];
        if let Some(audience) = &config.audience {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        if let Some(issuer) = &config.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        validation.set_required_spec_claims(&required);
        Ok(Self { keys, validation })
    }

    /// Who calls, by the `authorization` header.
    pub fn caller(&self, headers: &HeaderMap) -> Result<Caller, Refusal> {
        let Some(header) = headers.get(http::header::AUTHORIZATION) else {
            return Err(Refusal::new(
                Reason::CredentialsMissing,
                "no credentials: send the metadata `authorization: Bearer <token>`",
            ));
        };
        let token = header
            .to_str()
            .ok()
            .and_then(|h| h.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or_else(|| invalid("the metadata must be `authorization: Bearer <token>`"))?;
        let claims = self.verify(token).map_err(|e| match e.kind() {
            ErrorKind::ExpiredSignature => Refusal::new(
                Reason::CredentialsExpired,
                "the token has expired: get a new one",
            ),
            _ => invalid(&format!("the token is not accepted: {e}")),
        })?;
        let fits =
            |id: &String| !id.is_empty() && id.len() <= MAX_ID && !id.chars().any(char::is_control);
        if !fits(&claims.sub) || !claims.projects.iter().all(fits) {
            return Err(invalid(
                "the token's `sub` and `projects` must be printable and not empty",
            ));
        }
        if claims.sub == SYSTEM {
            return Err(invalid(
                "the token's `sub` is the name of what runs by itself",
            ));
        }
        Ok(Caller {
            user: claims.sub,
            projects: claims.projects,
            admin: claims.role == Role::Admin,
            expires: Duration::try_from_secs_f64(claims.exp)
                .ok()
                .and_then(|exp| SystemTime::UNIX_EPOCH.checked_add(exp)),
        })
    }

    /// Tries the keys that the token's header fits. The algorithm is that of the key, never the token's choice alone.
    fn verify(&self, token: &str) -> Result<Claims, Error> {
        let header = decode_header(token)?;
        for key in &self.keys {
            let names_another = key.id.is_some() && header.kid.is_some() && key.id != header.kid;
            if key.algorithm != header.alg || names_another {
                continue;
            }
            let mut validation = self.validation.clone();
            validation.algorithms = vec![key.algorithm];
            match decode(token, &key.key, &validation) {
                Ok(TokenData { claims, .. }) => return Ok(claims),
                // Another key of this algorithm may be the right one.
                Err(error) if *error.kind() == ErrorKind::InvalidSignature => {}
                // It is signed with this one, and not good for another reason.
                Err(error) => return Err(error),
            }
        }
        Err(ErrorKind::InvalidSignature.into())
    }
}

fn invalid(text: &str) -> Refusal {
    Refusal::new(Reason::CredentialsInvalid, text)
}

fn public_key(pem: &[u8]) -> Result<Key, String> {
    let found = DecodingKey::from_ed_pem(pem)
        .map(|key| (Algorithm::EdDSA, key))
        .or_else(|_| DecodingKey::from_rsa_pem(pem).map(|key| (Algorithm::RS256, key)));
    match found {
        Ok((algorithm, key)) => Ok(Key {
            id: None,
            algorithm,
            key,
        }),
        Err(_) => Err("neither an Ed25519 nor an RSA public key in PEM".into()),
    }
}

fn key_set(json: &[u8]) -> Result<Vec<Key>, String> {
    let set: JwkSet = serde_json::from_slice(json).map_err(|e| e.to_string())?;
    set.keys
        .iter()
        .map(|jwk| {
            let algorithm = match jwk.common.key_algorithm {
                Some(KeyAlgorithm::EdDSA) => Algorithm::EdDSA,
                Some(KeyAlgorithm::RS256) => Algorithm::RS256,
                Some(other) => return Err(format!("key algorithm {other} is not supported")),
                None => match &jwk.algorithm {
                    jsonwebtoken::jwk::AlgorithmParameters::OctetKeyPair(_) => Algorithm::EdDSA,
                    jsonwebtoken::jwk::AlgorithmParameters::RSA(_) => Algorithm::RS256,
                    _ => return Err("only Ed25519 and RSA keys are supported".into()),
                },
            };
            Ok(Key {
                id: jwk.common.key_id.clone(),
                algorithm,
                key: DecodingKey::from_jwk(jwk).map_err(|e| e.to_string())?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::path::Path;

    use http::{HeaderValue, header::AUTHORIZATION};
    use jsonwebtoken::{EncodingKey, Header, encode, jwk::Jwk};
    use serde_json::json;

    use super::*;

    fn file(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("testdata")
            .join(name)
    }

    fn now() -> u64 {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        now.unwrap().as_secs()
    }

    fn ed25519() -> EncodingKey {
        EncodingKey::from_ed_pem(&fs::read(file("ed25519.private.pem")).unwrap()).unwrap()
    }

    fn rsa() -> EncodingKey {
        EncodingKey::from_rsa_pem(&fs::read(file("rsa.private.pem")).unwrap()).unwrap()
    }

    fn sign(header: &Header, key: &EncodingKey, claims: serde_json::Value) -> String {
        encode(header, &claims, key).unwrap()
    }

    fn token(algorithm: Algorithm, key: &EncodingKey) -> String {
        sign(
            &Header::new(algorithm),
            key,
            json!({"sub": "alice", "exp": now() + 60}),
        )
    }

    fn ask(verifier: &Verifier, token: &str) -> Result<Caller, Reason> {
        let value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
        let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
        verifier.caller(&headers).map_err(|r| r.reason())
    }

    fn with_public_keys() -> Verifier {
        Verifier::open(&AuthConfig {
            public_key_files: vec![file("ed25519.public.pem"), file("rsa.public.pem")],
            ..AuthConfig::default()
        })
        .unwrap()
    }

    #[test]
    fn ed25519_and_rsa_signatures_are_accepted_by_their_public_keys() {
        let verifier = with_public_keys();
        for token in [
            token(Algorithm::EdDSA, &ed25519()),
            token(Algorithm::RS256, &rsa()),
        ] {
            assert_eq!(ask(&verifier, &token).map(|c| c.user), Ok("alice".into()));
        }
    }

    #[test]
    fn a_public_key_does_not_pass_for_an_hs256_secret() {
        let public = fs::read(file("rsa.public.pem")).unwrap();
        let forged = token(Algorithm::HS256, &EncodingKey::from_secret(&public));
        assert_eq!(
            ask(&with_public_keys(), &forged),
            Err(Reason::CredentialsInvalid)
        );
    }

    #[test]
    fn a_key_set_finds_the_key_by_its_id() {
        let mut jwk = Jwk::from_encoding_key(&rsa(), Algorithm::RS256).unwrap();
        jwk.common.key_id = Some("today".into());
        let folder = tempfile::tempdir().unwrap();
        let set = folder.path().join("jwks.json");
        fs::write(
            &set,
            serde_json::to_vec(&JwkSet { keys: vec![jwk] }).unwrap(),
        )
        .unwrap();
        let verifier = Verifier::open(&AuthConfig {
            jwks_file: Some(set),
            ..AuthConfig::default()
        })
        .unwrap();
        let with_id = |id: &str| {
            let mut header = Header::new(Algorithm::RS256);
            header.kid = Some(id.into());
            sign(&header, &rsa(), json!({"sub": "alice", "exp": now() + 60}))
        };
        assert!(ask(&verifier, &with_id("today")).is_ok());
        assert_eq!(
            ask(&verifier, &with_id("yesterday")),
            Err(Reason::CredentialsInvalid)
        );
    }

    #[test]
    fn expiry_and_beginning_count_within_the_leeway() {
        let verifier = with_public_keys();
        let key = ed25519();
        let header = Header::new(Algorithm::EdDSA);
        let claims = |exp: u64, nbf: u64| json!({"sub": "a", "exp": exp, "nbf": nbf});
        let ask = |exp, nbf| ask(&verifier, &sign(&header, &key, claims(exp, nbf))).err();
        assert_eq!(ask(now() - 20, now() - 60), None);
        assert_eq!(
            ask(now() - 120, now() - 600),
            Some(Reason::CredentialsExpired)
        );
        assert_eq!(ask(now() + 600, now() + 20), None);
        assert_eq!(
            ask(now() + 600, now() + 300),
            Some(Reason::CredentialsInvalid)
        );
    }

    #[test]
    fn a_configuration_without_a_key_or_with_a_bad_one_is_refused() {
        let open = |config: &AuthConfig| Verifier::open(config).err().map(|e| e.to_string());
        assert!(open(&AuthConfig::default()).is_some());
        let wrong = AuthConfig {
            public_key_files: vec![file("README")],
            ..AuthConfig::default()
        };
        assert!(open(&wrong).unwrap().contains("README"));
    }
}

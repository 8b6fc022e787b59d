//! The tokens that the manager and the storage-proxy show each other: signed with a secret that both hold.
//!
//! Three kinds, told apart by their audience so that none can pass for another: a *grant* admits one file RPC on one
//! vfolder; a *service token* says "this is the manager"; a *proof* answers the manager's nonce with "this is your
//! storage-proxy". All are JWTs (RFC 7519, HS256).

mod quota;
mod secret;

pub use quota::{Limits, Quota};
pub use secret::{Grant, GrantMode, SharedSecret, TokenError};

/// The metadata key under which a grant travels.
pub const GRANT_HEADER: &str = "vfolder-grant";
/// The metadata key under which a service token travels.
pub const SERVICE_HEADER: &str = "vfolder-service";

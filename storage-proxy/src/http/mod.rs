//! Plain HTTP, thin: what browsers, curl and tus clients speak, on what gRPC has too ([`crate::file`]).
//!
//! `/v1/vfolders/<id>/` and then `files/<path>`, `archive` or `uploads`. Every request bears a grant; what is refused is
//! told as JSON with the same reasons as over gRPC. Nothing here writes to a log what the caller sent: a URL may be a secret.

mod address;
mod answer;
mod auth;
mod condition;
mod cors;
mod disposition;
mod file;
mod range;
mod routes;
mod tus;

pub use routes::{Http, routes};

//! The gate: what stands in front of every RPC.
//!
//! [`layer`] is a tower layer around all services. For each request it finds the rule by the method's path ([`rules`],
//! read from the descriptors), authenticates ([`auth`]), reads the vfolder's id out of the first message ([`message`]),
//! loads the row, checks permission and status, and attaches what it found as [`Admitted`]; then the original bytes go
//! on: to the handler, or to the storage-proxy that serves the RPC ([`forward`]).

pub mod admitted;
pub mod auth;
pub mod forward;
pub mod layer;
pub mod message;
mod relay;
pub mod rules;

pub use admitted::{Absent, Admitted};
pub use auth::Verifier;
pub use layer::{GateLayer, MAX_PUBLIC_MESSAGE};
pub use rules::{Rule, Rules};

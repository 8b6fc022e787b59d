//! Refusals: what a client is told when a request is not carried out.
//!
//! A [`Refusal`] has a [`Reason`] (for programs; decides the gRPC code), a text (for people; says what to do) and the
//! `google.rpc` details that help. Internal errors are logged where they are turned into a refusal and reach the client
//! as an incident number only.

mod exceeded;
mod reason;
mod refusal;
mod room;

pub use exceeded::Exceeded;
pub use reason::Reason;
pub use refusal::{DOMAIN, Fields, Refusal};
pub use room::encoded;

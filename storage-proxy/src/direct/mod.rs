//! The second listener, for bearers of grants: FileService over gRPC and plain HTTP on one port, and nothing of
//! StorageService. What is checked of a call is what is checked of a forwarded one: [`crate::file`].

mod app;
mod attended;
mod config;
mod listen;
mod tls;

pub use app::{App, app};
pub use config::{DirectSection, DirectTls};
pub use listen::{Direct, DirectError};

//! gRPC, thin: requests are checked and turned into calls, results and errors into messages.
//!
//! Every call of StorageService carries a service token, every call of FileService a grant (`auth`); health and
//! reflection are public.

mod auth;
mod file;
mod inside;
mod page_token;
mod path;
mod quota;
mod reflection;
mod storage;
mod stream;
mod task;
mod told;
mod volume;

pub use auth::{GrantGate, ServiceGate};
pub use file::Service as FilesService;
pub use reflection::reflection;
pub use storage::Storage;
pub use told::reasoned;

//! A whole system: a database, volumes, a storage-proxy and a manager.

mod builder;
mod doctor;
mod running;
mod settings;

pub use builder::SystemBuilder;
pub use running::System;
pub use settings::{Certificates, Settings, Volume};

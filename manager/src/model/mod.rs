//! The words of the design and the rules over them: pure, without a database, a clock or a network.
//!
//! [`admission`] is the one table of which access kind a status admits; [`transition`] the one list of how a status may
//! change; [`settle`] the one function that derives a status from what backs it. Whatever decides, decides with these.

pub mod access;
pub mod admission;
pub mod operation;
pub mod permission;
pub mod settle;
pub mod status;
pub mod text;
pub mod transition;
pub mod tree_work;
pub mod warrant;

pub use access::Access;
pub use operation::{Kind, Lane, State};
pub use permission::{Caller, Owner, Permission};
pub use settle::Backing;
pub use status::Status;
pub use transition::Transition;
pub use tree_work::{ArchiveFormat, Existing, Extract, Remove, TreeWork};
pub use warrant::{Asked, Warrant};

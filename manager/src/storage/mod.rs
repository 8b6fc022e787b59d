//! The storage-proxies, as the manager reaches them: which one owns a volume, whether it answers, and its calls.

mod calls;
mod proxy;
mod volumes;
mod wire;

pub use calls::{Fence, Outcome, QuotaOf, TaskNews, TaskQuotas, TaskStream};
pub use proxy::{Proxy, ProxyError, unavailable};
pub use volumes::{OpenError, Volumes};

//! HTTP for plugins: one exchange at a time, only to granted hosts, never to special addresses by accident.
//!
//! *Flow:* [`HttpGrant::check`] at load → [`HttpGrant::open`] per call → [`OpenHttp::send`].
//!
//! *Invariants:* a name is resolved once and the connection goes to an address that was checked; each grant has a
//! connection pool of its own, so a reused connection launders no grant; redirects are not followed; no proxy of the
//! environment is used; no call outlives its deadline.

mod address;
mod client;
mod grant;

pub use address::{Network, ParseNetworkError, special_use};
pub use client::{EgressLimits, HttpError, HttpReply, HttpRequest, OpenHttp};
pub use grant::{Asked, GrantError, HostResolver, HttpGrant, SystemResolver};

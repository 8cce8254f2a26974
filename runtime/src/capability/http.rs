//! HTTP for plugins: one exchange at a time, only to granted hosts, never to special addresses by accident.
//!
//! *Flow:* [`HttpGrant::check`] at load → [`HttpGrant::open`] per call → [`OpenHttp::send`].
//!
//! *Invariants:* a name is resolved once per connection, which goes to an address that was checked; each grant has a
//! connection pool of its own, so a reused connection launders no grant; redirects are followed only on request, and
//! each passes the whole policy; no proxy of the environment is used; no call outlives its deadline. Secrets
//! are put in place last, after everything that could be logged, and are blanked out in what comes back.

mod address;
mod client;
mod connect;
mod edge;
mod egress;
mod grant;
mod networks;
mod played;
mod redirect;
mod request;

pub use address::{Network, ParseNetworkError, special_use};
pub use client::OpenHttp;
pub use egress::{Dial, Egress, HostResolver, SystemDialler, SystemResolver};
pub use grant::{Allowed, Asked, GrantError, GrantErrors, HttpGrant, VainGrant, asked_for, check_scope};
pub use played::{PlayedProvider, PlayedRequest};
pub use request::{Auth, BodyPart, EgressLimits, HttpError, HttpReply, HttpRequest, REDIRECTS_MAX, is_reserved};

#[cfg(test)]
mod tests;

//! What leaves this machine, and what does not: with a resolver and a dialler of the tests, or on loopback.

mod exchange;
mod isolation;
mod redirects;
mod refusals;
mod rig;
mod secrets;
mod spellings;

//! Webhooks as their receivers see them: with a clock that is moved, a real store and receivers on loopback.

mod endpoints;
mod lines;
mod queues;
mod rig;
mod urls;

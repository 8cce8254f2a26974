//! The sandbox with real guests in it. They are built by `make guests`.

pub(super) mod contract;
mod crafted;
mod ends;
mod exports;
mod hostile;
mod isolation;
mod lies;
mod minijinja;
mod output;
mod refusals;
mod rig;
mod sharing;
mod unpooled;
mod wasi_http;

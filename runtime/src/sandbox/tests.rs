//! The sandbox with real guests in it. They are built by `make guests`.

mod contract;
mod ends;
mod exports;
mod isolation;
mod minijinja;
mod output;
mod rig;
mod wasi_http;

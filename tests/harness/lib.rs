//! What the behaviour tests stand on: a real program, real receivers, real guests.

mod guests;
mod receiver;
mod server;

pub use guests::{example, fickle, guest, guests_dir, plugin, python};
pub use receiver::{Received, Receiver, Reply};
pub use server::{Outcome, Server, program};

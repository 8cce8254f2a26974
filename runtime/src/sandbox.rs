//! Plugins in their sandboxes.

mod inspect;

pub use inspect::{
    CONTRACT_VERSION, FILE_BYTES_MAX, FileHash, InspectError, Inspected, PluginKind, inspect, inspect_file,
    name_of_file,
};

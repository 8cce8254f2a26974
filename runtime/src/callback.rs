//! Callbacks: what is run or called when an event happens.

mod target;

pub(crate) use target::{Execution, Failure, Occasion, Target};

//! The behaviour of the whole, seen from outside.

mod tidy;

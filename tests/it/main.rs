//! The behaviour of the whole, seen from outside.

mod api;
mod broadcast;
mod canary;
mod contract;
mod crash;
mod delivery;
mod finding;
mod guests;
mod http;
mod intake;
mod keeping;
mod kills;
mod languages;
mod life;
mod limits;
mod neighbour;
mod once;
mod plugins;
mod registry;
mod stop;
mod strain;
mod supply;
mod swap;
mod tidy;
mod tools;
mod upkeep;

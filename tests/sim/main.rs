//! The delivery engine, told as stories by seed: the real intake, queue, dispatcher and store, on a disk that fails, with a
//! process that dies, providers that say anything, and a clock that is moved by hand. After every step all that the engine
//! promises has to hold.
//!
//! `CAMPANILE_SIM_SEEDS` is how many stories are told, by default 200; `CAMPANILE_SEED` tells one of them.

mod chance;
mod check;
mod disk;
mod ledger;
mod life;
mod outside;
mod steps;
mod story;
mod vfs;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use story::tell;

/// Lines that are shown of a story that broke, where many are told.
const LINES_SHOWN: usize = 60;

/// How many stories are told where nothing is said.
const SEEDS: u64 = 200;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is `{text}`, and has to be a number")))
}

#[test]
fn whatever_happens_the_engine_keeps_its_promises() {
    if let Some(seed) = number("CAMPANILE_SEED") {
        return tell(seed, usize::MAX).map_or_else(|broken| panic!("{broken}"), |log| println!("{}", log.join("\n")));
    }
    let (next, seeds) = (AtomicU64::new(0), number("CAMPANILE_SIM_SEEDS").unwrap_or(SEEDS));
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let broken: Vec<String> = thread::scope(|scope| {
        let tell_on = || {
            let seeds = std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < seeds));
            seeds.filter_map(|seed| tell(seed, LINES_SHOWN).err()).collect::<Vec<String>>()
        };
        let telling: Vec<_> = (0..threads).map(|_| scope.spawn(tell_on)).collect();
        telling.into_iter().flat_map(|told| told.join().expect("a story that panics is one that broke")).collect()
    });
    assert!(broken.is_empty(), "{} of {seeds} stories broke; the first:\n\n{}", broken.len(), broken[0]);
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for seed in 1_000..1_008 {
        let (first, second) = (tell(seed, LINES_SHOWN), tell(seed, LINES_SHOWN));
        let (Ok(first), Ok(second)) = (first, second) else {
            panic!("seed {seed} broke; see: CAMPANILE_SEED={seed} cargo test --locked --workspace --test sim")
        };
        let differs = first.iter().zip(&second).find(|(first, second)| first != second);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(first.len(), second.len(), "seed {seed}");
        assert!(first.len() > 100, "seed {seed} tells of {} things", first.len());
    }
}

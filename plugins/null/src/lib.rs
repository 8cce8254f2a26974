//! Accepts at once and tells nobody: what remains is the cost of the sandbox itself.

use std::hint::black_box;

use campanile_plugin_sdk::{About, Call, Channel, Config, Outcome, Sent, export_channel};

/// Needs no config.
#[derive(Config)]
pub struct Null {
    /// Never ends, and uses all the CPU time it is given: to see what a bad neighbour does to other channels
    #[config(default = false)]
    pub spin: bool,
}

impl Channel for Null {
    const ABOUT: About = About {
        name: "null",
        version: env!("CARGO_PKG_VERSION"),
        summary: "Accepts at once and tells nobody: for benchmarks and dry runs",
        license: Some("MIT OR Apache-2.0"),
        ..About::NONE
    };

    fn send(&self, _: &Call) -> Outcome {
        let mut turns = 0_u64;
        while black_box(self.spin) {
            turns = black_box(turns.wrapping_add(1));
        }
        Ok(Sent::now())
    }
}

export_channel!(Null);

#[cfg(test)]
mod tests {
    use super::Null;

    #[test]
    fn every_golden_case_ends_as_it_says() {
        campanile_plugin_sdk::testing::run_cases::<Null>(concat!(env!("CARGO_MANIFEST_DIR"), "/cases"));
    }
}

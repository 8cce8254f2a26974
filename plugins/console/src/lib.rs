//! Writes one line to standard output.

pub mod request;

use campanile_plugin_sdk::{About, Call, Channel, Config, Outcome, Sent, export_channel, print_line};

/// Needs no config.
#[derive(Config)]
pub struct Console;

impl Channel for Console {
    const ABOUT: About = About {
        name: "console",
        version: env!("CARGO_PKG_VERSION"),
        summary: "Writes one line to standard output",
        license: Some("MIT OR Apache-2.0"),
        ..About::NONE
    };

    fn send(&self, call: &Call) -> Outcome {
        print_line(&request::line(call));
        Ok(Sent::now())
    }
}

export_channel!(Console: stdio);

#[cfg(test)]
mod tests {
    use super::Console;

    #[test]
    fn every_golden_case_ends_as_it_says() {
        campanile_plugin_sdk::testing::run_cases::<Console>(concat!(env!("CARGO_MANIFEST_DIR"), "/cases"));
    }
}

//! Posts to a URL in the shape of Standard Webhooks.

pub mod reply;
pub mod request;

use std::collections::BTreeMap;

use campanile_plugin_sdk::{About, Call, Channel, Config, ConfigProblem, Need, Outcome, Secret, export_channel};

/// Where to post, and how.
#[derive(Config, Debug)]
pub struct Webhook {
    /// Where to post.
    #[config(format = "uri", pattern = "^https?://")]
    url: String,
    /// Headers to send besides those of Standard Webhooks.
    #[config(default)]
    headers: BTreeMap<String, String>,
    /// HTTP method.
    #[config(default = "POST")]
    method: Method,
    /// Key that signs every request as Standard Webhooks say: `whsec_…` (HMAC-SHA256) or `whsk_…` (ed25519).
    key: Option<Secret>,
    /// The key before that one, while receivers change over: every request then carries both signatures.
    previous_key: Option<Secret>,
}

/// Methods that carry a body.
#[derive(Config, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// To be handled.
    #[config(rename = "POST")]
    Post,
    /// To be kept under the URL.
    #[config(rename = "PUT")]
    Put,
    /// To be merged into what is there.
    #[config(rename = "PATCH")]
    Patch,
}

impl Channel for Webhook {
    const ABOUT: About = About {
        name: "webhook",
        version: env!("CARGO_PKG_VERSION"),
        summary: "Posts to a URL in the shape of Standard Webhooks",
        homepage: Some("https://www.standardwebhooks.com"),
        license: Some("MIT OR Apache-2.0"),
        needs: &[Need::http(&["config:/url"], "posts every notification to the URL in its config")],
        features: &["html", "markdown", "actions", "data"],
        ..About::NONE
    };

    fn send(&self, call: &Call) -> Outcome {
        reply::judge(&request::build(self, call)?.send()?)
    }

    fn configure(&self) -> Vec<ConfigProblem> {
        self.headers.keys().filter_map(|name| request::header_problem(name)).collect()
    }
}

export_channel!(Webhook: configure);

#[cfg(test)]
mod tests {
    use super::Webhook;

    #[test]
    fn every_golden_case_ends_as_it_says() {
        campanile_plugin_sdk::testing::run_cases::<Webhook>(concat!(env!("CARGO_MANIFEST_DIR"), "/cases"));
    }
}

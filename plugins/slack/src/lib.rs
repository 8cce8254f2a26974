//! Posts to a Slack incoming webhook.

pub mod reply;
pub mod request;

use campanile_plugin_sdk::{About, Call, Channel, Config, LengthUnit, Need, Outcome, Secret, export_channel, http};

/// Where to post, and as whom.
#[derive(Config, Debug)]
pub struct Slack {
    /// URL of the incoming webhook.
    #[config(format = "uri", pattern = "^https?://", places = "url")]
    url: Secret,
    /// Name to post as. Only webhooks of legacy custom integrations heed it.
    #[config(min_length = 1, max_length = 80)]
    username: Option<String>,
}

impl Channel for Slack {
    const ABOUT: About = About {
        name: "slack",
        version: env!("CARGO_PKG_VERSION"),
        summary: "Posts to a Slack incoming webhook",
        homepage: Some("https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks"),
        license: Some("MIT OR Apache-2.0"),
        needs: &[Need::http(&["config:/url"], "posts every notification to the webhook in its config")],
        features: &["markdown", "actions", "slack-blocks"],
        title: Some((request::HEADER_CHARS_MAX, LengthUnit::Chars)),
        body: Some((request::SECTION_CHARS_MAX, LengthUnit::Chars)),
        rate: Some((1, 1000, "channel")),
        ..About::NONE
    };

    fn send(&self, call: &Call) -> Outcome {
        let body = request::body(self.username.as_deref(), call);
        reply::judge(&http::post(&self.url).json(&body).send()?)
    }
}

export_channel!(Slack);

#[cfg(test)]
mod tests {
    use super::Slack;

    #[test]
    fn every_golden_case_ends_as_it_says() {
        campanile_plugin_sdk::testing::run_cases::<Slack>(concat!(env!("CARGO_MANIFEST_DIR"), "/cases"));
    }
}

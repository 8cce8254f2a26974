//! Posts every notification to a webhook.

use campanile_plugin_sdk::{About, Call, Channel, Config, Need, Outcome, export_channel, http, json};

#[derive(Config)]
pub struct {{type}} {
    /// Where to post to.
    #[config(format = "uri", pattern = "^https?://")]
    url: String,
}

impl Channel for {{type}} {
    const ABOUT: About = About {
        name: "{{name}}",
        version: env!("CARGO_PKG_VERSION"),
        summary: "Posts every notification to a webhook",
        needs: &[Need::http(&["config:/url"], "posts every notification to the URL in its config")],
        ..About::NONE
    };

    fn send(&self, call: &Call) -> Outcome {
        let body = json!({ "title": call.content().title, "text": call.content().text });
        http::post(&self.url).header("idempotency-key", &call.delivery_id).json(&body).send()?.judge()
    }
}

export_channel!({{type}});

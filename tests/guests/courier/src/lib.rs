//! A channel whose provider takes a message at once, under an id, and says later what became of it. A message is handed
//! over by `POST`, and asked for by `GET` under its id.

use campanile_plugin_sdk::{
    About, Call, Channel, Config, Context, Failure, Need, Outcome, Receipt, Sent, export_channel, http, json,
};

#[derive(Config)]
struct Courier {
    /// Where messages are handed over.
    #[config(format = "uri")]
    url: String,
}

impl Channel for Courier {
    const ABOUT: About = About {
        name: "courier",
        version: env!("CARGO_PKG_VERSION"),
        summary: "Hands messages over and asks what became of them",
        needs: &[Need::http(&["config:/url"], "hands messages over, and asks for them")],
        ..About::NONE
    };

    fn send(&self, call: &Call) -> Outcome {
        let reply = http::post(&self.url).json(&json!({ "text": call.content().text })).send()?;
        reply.judge()?;
        Ok(Sent::accepted(None).provider_id(reply.text()))
    }

    fn poll(&self, _: &Context, receipt: &Receipt) -> Outcome {
        let id = receipt.provider_id.as_deref().ok_or_else(|| Failure::message("no-id", "it was given no id"))?;
        let reply = http::get(format!("{}/{id}", self.url)).send()?;
        let said = reply.judge()?;
        match &*reply.text() {
            "delivered" => Ok(said.fact("by", "hand")),
            "refused" => Err(Failure::message("refused", "nobody took it")),
            "moved" => Err(Failure::gone("nobody lives there")),
            _ => Ok(Sent::accepted(None)),
        }
    }
}

export_channel!(Courier: poll);

#[cfg(test)]
mod tests {
    use super::Courier;
    use campanile_plugin_sdk::testing::{Expect, MockHost, call};
    use campanile_plugin_sdk::{FailureKind, Finality, Outcome, Receipt, json};

    const URL: &str = "https://courier.example.com/parcels";

    /// What the plugin makes of this answer to its question.
    fn asked(status: u16, body: &str) -> Outcome {
        let host = MockHost::new().expect(Expect::get(format!("{URL}/p-1")).reply(status, body));
        let receipt = Receipt { provider_id: Some("p-1".to_owned()), ..Receipt::default() };
        host.poll::<Courier>(&json!({ "url": URL }), &receipt).0
    }

    #[test]
    fn what_is_handed_over_is_accepted_under_its_id() {
        let host = MockHost::new().expect(Expect::post(URL).json(json!({ "text": "hi" })).reply(202, "p-1"));
        let sent = host.send::<Courier>(&json!({ "url": URL }), call("hi")).0.expect("it is taken");
        assert_eq!(sent.provider_id.as_deref(), Some("p-1"));
        assert_eq!(sent.finality, Finality::Accepted { check_after: None });
    }

    #[test]
    fn each_word_of_the_provider_is_understood() {
        let delivered = asked(200, "delivered").expect("it is delivered");
        assert_eq!(delivered.finality, Finality::Sent);
        assert!(matches!(asked(200, "on its way").expect("it is not known").finality, Finality::Accepted { .. }));
        assert_eq!(asked(200, "refused").unwrap_err().kind, FailureKind::Message);
        assert!(matches!(asked(200, "moved").unwrap_err().kind, FailureKind::Gone { .. }));
        assert!(matches!(asked(503, "").unwrap_err().kind, FailureKind::Retry { .. }));
    }
}

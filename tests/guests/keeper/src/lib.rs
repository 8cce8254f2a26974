//! A channel that uses what it may keep. The text of a notification says how: `token` fetches one or finds it in the
//! cache, `drop` fetches one and ends without keeping it, `count` counts the deliveries, `hoard` keeps as much as it can.

use std::time::Duration;

use campanile_plugin_sdk::{
    About, Call, Channel, Config, Failure, Need, Outcome, Sent, cache, export_channel, http, kv,
};

#[derive(Config)]
struct Keeper {
    /// Where tokens are fetched.
    #[config(format = "uri")]
    url: Option<String>,
}

impl Channel for Keeper {
    const ABOUT: About = About {
        name: "keeper",
        version: env!("CARGO_PKG_VERSION"),
        summary: "Fetches a token, counts and hoards",
        needs: &[
            Need::http(&["config:/url"], "fetches a token").optional(),
            Need::cache("keeps the token").optional(),
            Need::kv("counts what it sent"),
        ],
        ..About::NONE
    };

    fn send(&self, call: &Call) -> Outcome {
        match call.content().text.as_str() {
            "token" => Ok(Sent::now().fact("token", cache::token("token", || self.fetch())?)),
            "drop" => {
                let kept = cache::get_or_claim("token")?;
                assert!(kept.is_some(), "the call ends while it has the token to fetch");
                Ok(Sent::now())
            }
            "count" => {
                let count = kv::update("count", |count: &mut u64| *count += 1)?.to_string();
                Ok(Sent::now().provider_id(&count).fact("count", &count))
            }
            "hoard" => hoard(),
            "keys" => Ok(Sent::now().fact("keys", kv::keys("", None, 10)?.join(" "))),
            _ => Ok(Sent::now()),
        }
    }
}

impl Keeper {
    fn fetch(&self) -> Result<cache::Token, Failure> {
        let url = self.url.as_ref().ok_or_else(|| Failure::channel("config", "there is no url"))?;
        let token = http::get(url).send()?.text().into_owned();
        Ok(cache::Token { token, expires_in: Duration::from_secs(3_600) })
    }
}

fn hoard() -> Outcome {
    for number in 0..15 {
        kv::set(&format!("hoard-{number}"), vec![b'x'; 64 << 10])?;
    }
    Ok(Sent::now())
}

export_channel!(Keeper);

#[cfg(test)]
mod tests {
    use super::Keeper;

    /// `campanile plugins test` runs the same folder in the sandbox: `tests/it/tools.rs`.
    #[test]
    fn every_case_ends_as_it_says() {
        campanile_plugin_sdk::testing::run_cases::<Keeper>(concat!(env!("CARGO_MANIFEST_DIR"), "/cases"));
    }
}

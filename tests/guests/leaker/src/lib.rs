//! A channel that tries to get hold of its own secret, and tells all it sees. The notification's text says how:
//! a word, a URL, and the secret's letters in reverse, by which it searches its memory.

use campanile_plugin_sdk::{
    About, Call, Channel, Config, Failure, Need, Outcome, Secret, Sent, Trouble, export_channel, http, json, log,
};

/// Where to ask, with what.
#[derive(Config)]
pub struct Leaker {
    /// Where to ask.
    #[config(format = "uri")]
    url: String,
    /// What it is after.
    #[config(places = "url, headers, body, auth, sign")]
    token: Secret,
    /// The same, but for a header alone.
    #[config(places = "headers")]
    shy: Secret,
}

impl Channel for Leaker {
    const ABOUT: About = About {
        name: "leaker",
        version: env!("CARGO_PKG_VERSION"),
        summary: "Tries to get hold of its own secret",
        needs: &[
            Need::http(&["config:/url", "localhost", "127.0.0.1"], "to ask for it").optional(),
            Need::sign(&["hmac-sha256"], "to learn it from signatures").optional(),
        ],
        ..About::NONE
    };

    fn send(&self, call: &Call) -> Outcome {
        log::info("its config", &[("config", &call.context.config), ("handle", self.token.handle())]);
        let mut words = call.content().text.split(' ');
        let (way, url) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let reversed = words.next().unwrap_or_default();
        let url = if url.is_empty() { self.url.as_str() } else { url };
        let request = match way {
            "bearer" => http::post(url).bearer(&self.token),
            "basic" => http::post(url).basic("user", &self.token),
            "named" => http::post(url).auth_header("x-token", &self.token),
            "query" => http::post(url).auth_query("token", &self.token),
            "header" => http::post(url).header("x-token", format!("t={}", self.token)),
            "body" => http::post(url).json(&json!({ "token": self.token.handle() })),
            "url" => http::post(format!("{url}/{}", self.token)),
            "shy" => http::post(url).json(&json!({ "token": self.shy.handle() })),
            "shy-header" => http::post(url).header("x-token", self.shy.handle()),
            "stranger" => http::post(url).header("x-token", "csec_aaaaaaaaaaaaaaaaaaaaaaaaaa"),
            other => return Err(Failure::message("way", format!("no such way: {other}"))),
        };
        let answer = request.send();
        log::info("what came of it", &[("answer", &format!("{answer:?}"))]);
        let found = searched(reversed);
        match answer {
            Ok(reply) => {
                let sent = Sent::now().provider_id(reply.text()).fact("found", found.to_string());
                Ok(reply.headers().iter().fold(sent, |sent, (name, value)| sent.fact(name, value)))
            }
            Err(error) => Err(Failure::retry(Trouble::Other, format!("found {found}: {error}"))),
        }
    }
}

/// How often the word stands in linear memory, in its own order.
#[cfg(target_arch = "wasm32")]
fn searched(reversed: &str) -> usize {
    let word: &[u8] = reversed.as_bytes();
    if word.is_empty() {
        return 0;
    }
    let end = core::arch::wasm32::memory_size::<0>() << 16;
    // SAFETY: every address below `memory.size` may be read, and nothing else runs in this instance.
    let read = |at: usize| unsafe { std::ptr::read_volatile(at as *const u8) };
    (8..end - word.len())
        .filter(|start| word.iter().rev().enumerate().all(|(n, byte)| read(start + n) == *byte))
        .count()
}

#[cfg(not(target_arch = "wasm32"))]
fn searched(_: &str) -> usize {
    unreachable!("guests run in a sandbox")
}

export_channel!(Leaker);

//! Fifty times `kill -9` at random moments, while callers go on sending and deliveries are under way.
//!
//! `CAMPANILE_KILLS=1000` kills more often; `CAMPANILE_SEED=7` kills at the moments of that seed again, as far as a
//! machine repeats itself.

use std::collections::{BTreeMap, BTreeSet};

use campanile::clock::Entropy;
use campanile_tests::{Receiver, Reply, Server};
use serde_json::{Value, json};

use crate::api::Api;

const NOTIFICATIONS: usize = 10_000;
/// Workers × deliveries in flight of each, as configured below.
const SLOTS: usize = 2 * 16;
/// Every so many goes to a receiver that wants no more: its delivery ends as a dead letter.
const GONE_EVERY: usize = 20;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("`{name}` is `{text}`, not a number")))
}

fn config(hook: &Receiver, gone: &Receiver) -> String {
    let channel = |name: &str, receiver: &Receiver| {
        let url = receiver.url();
        format!(
            "[channels.{name}]\nplugin = \"webhook\"\nconfig = {{ url = \"{url}/in\" }}\n\
             allow_networks = [\"127.0.0.1/32\"]\n"
        )
    };
    format!("[workers]\nmax = 2\nper_worker = 16\n{}{}", channel("hook", hook), channel("gone", gone))
}

/// The `n`-th notification, with a key of its own: whoever does not hear an answer sends it again.
fn item(n: usize) -> Value {
    let channel = if n.is_multiple_of(GONE_EVERY) { "gone" } else { "hook" };
    json!({ "channels": [channel], "body": n.to_string(), "idempotency_key": format!("kill-{n}") })
}

/// What callers know: of each number that was answered, its notification and its delivery.
type Accepted = BTreeMap<usize, (String, String)>;

/// Sends `numbers` in one batch; where an answer comes, they are accepted.
async fn submit(api: &Api, numbers: &[usize], accepted: &mut Accepted) {
    let items: Vec<Value> = numbers.iter().map(|n| item(*n)).collect();
    let Some(answer) = api.try_post("/v1/notifications/batch", &Value::Array(items)).await else { return };
    assert_eq!(answer.status, 200, "{}", answer.body);
    let results = answer.body["results"].as_array().expect("one result for each item");
    for (n, result) in numbers.iter().zip(results) {
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("not accepted: {result}")).to_owned();
        let told = (text(&result["id"]), text(&result["deliveries"][0]["id"]));
        let before = accepted.insert(*n, told.clone());
        assert!(before.is_none_or(|before| before == told), "{n} was accepted twice");
    }
}

/// Between two kills, at most what was in flight at the first of them arrives again. (What the dead process had written
/// may be read a moment later, so a repeat stands behind its kill, never before it.) Once all had ended, those come that were
/// in flight at three kills and are vouched for then: so many from so many requests on.
fn assert_repeats_are_few(requests: &[String], kills: &[usize], (vouched, from): (usize, usize)) {
    let mut seen = BTreeSet::new();
    let bounds: Vec<usize> = [0].iter().chain(kills).chain([&from, &requests.len()]).copied().collect();
    for (kill, bound) in bounds.windows(2).enumerate() {
        let repeated = requests[bound[0]..bound[1]].iter().filter(|id| !seen.insert(*id)).count();
        let most = match kill {
            0 => 0,
            replayed if replayed > kills.len() => vouched,
            _ => SLOTS,
        };
        assert!(repeated <= most, "{repeated} deliveries were repeated after kill {kill}, {most} were in flight");
    }
}

/// Who goes to the receiver that wants no more ends as a dead letter, the others are sent, or suspected where that may
/// be.
async fn assert_ends(api: &Api, accepted: &Accepted, may_be_poison: bool) {
    for (n, (id, _)) in accepted {
        let record = api.until_final(id).await;
        let (status, reason) = (&record["status"], &record["deliveries"][0]["reason"]);
        match reason.as_str() {
            None => assert!(*status == "sent" && !n.is_multiple_of(GONE_EVERY), "{record}"),
            Some("poison") => assert!(may_be_poison, "{record}"),
            Some(reason) => assert!(reason == "rejected" && n.is_multiple_of(GONE_EVERY), "{record}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_kills_at_random_moments_lose_nothing_and_repeat_what_was_in_flight() {
    let kills = number("CAMPANILE_KILLS").unwrap_or(50) as usize;
    let seed = number("CAMPANILE_SEED").unwrap_or_else(|| u64::from_le_bytes(Entropy::from_system().bytes()));
    println!("CAMPANILE_SEED={seed}");
    let chance = Entropy::fixed(seed);
    let (hook, gone) =
        (Receiver::start(vec![], Reply::new(200, "")).await, Receiver::start(vec![], Reply::new(410, "")).await);
    let mut server = Server::start(&config(&hook, &gone)).await;
    let mut accepted = Accepted::new();
    let mut unanswered: Vec<usize> = (0..NOTIFICATIONS).rev().collect();
    let (mut kills_at_hook, mut kills_at_gone) = (Vec::new(), Vec::new());
    let per_round = (NOTIFICATIONS / kills).max(4);
    for _ in 0..kills {
        let round: Vec<usize> = (0..per_round).filter_map(|_| unanswered.pop()).collect();
        // Fewer than a fresh round brings.
        let most = round.len() * 3 / 4;
        let after = hook.count() + 1 + u64::from_le_bytes(chance.bytes()) as usize % most.max(1);
        let api = Api::of(&server);
        // All of the round may have been accepted before, in a request whose answer was lost: then nothing more comes, and
        // the kill finds nothing under way.
        let whole_round = async {
            submit(&api, &round, &mut accepted).await;
            for (id, _) in round.iter().filter_map(|n| accepted.get(n)) {
                api.until_final(id).await;
            }
        };
        tokio::select! {
            _ = hook.has_received(after) => {}
            () = whole_round => {}
        }
        server.kill().await;
        kills_at_hook.push(hook.count());
        kills_at_gone.push(gone.count());
        server.restart().await;
        // Whoever got no answer asks again.
        unanswered.extend(round.into_iter().filter(|n| !accepted.contains_key(n)));
    }
    let api = Api::of(&server);
    for chunk in unanswered.chunks(1_000) {
        submit(&api, chunk, &mut accepted).await;
    }
    assert_eq!(accepted.len(), NOTIFICATIONS);
    assert_ends(&api, &accepted, true).await;
    // Who was in flight at three kills is suspected, and held back until somebody vouches for it.
    let before_replay = (hook.count(), gone.count());
    let replay = api.post("/v1/dead-letters/replay", &json!({ "reason": "poison" })).await;
    assert_eq!(replay.status, 200, "{}", replay.body);
    let vouched = replay.body["replayed"].as_u64().expect("how many") as usize;
    assert_ends(&api, &accepted, false).await;
    let ids = |receiver: &Receiver| -> Vec<String> {
        receiver.received().iter().map(|request| request.header("webhook-id").to_owned()).collect()
    };
    let (at_hook, at_gone) = (ids(&hook), ids(&gone));
    assert_repeats_are_few(&at_hook, &kills_at_hook, (vouched, before_replay.0));
    assert_repeats_are_few(&at_gone, &kills_at_gone, (vouched, before_replay.1));
    for (receiver, is_gone) in [(at_hook, false), (at_gone, true)] {
        let here = accepted.iter().filter(|(n, _)| n.is_multiple_of(GONE_EVERY) == is_gone);
        let expected: BTreeSet<String> = here.map(|(_, (_, delivery))| delivery.clone()).collect();
        assert_eq!(receiver.into_iter().collect::<BTreeSet<_>>(), expected, "exactly what was accepted has arrived");
    }
    assert_eq!(server.terminate().await, 0);
}

//! What a plugin says of itself is believed only as far as it can be held to it.

use super::rig;
use crate::sandbox::PrepareError;

const MARK: &[u8] = b"campanile-lie=";
const WORD: usize = 18;

/// The liar with this lie written into its file.
fn liar(lie: &str) -> Vec<u8> {
    let mut wasm = rig::guest("liar");
    let at = wasm.windows(MARK.len()).position(|window| window == MARK).expect("the mark was built in") + MARK.len();
    let word = format!("{lie:.<WORD$}");
    wasm[at..at + WORD].copy_from_slice(word.as_bytes());
    wasm
}

async fn refusal(lie: &str) -> PrepareError {
    rig::sandbox(2).0.compile(liar(lie), [0; 32]).await.expect_err("a lie")
}

#[tokio::test]
async fn every_lie_is_found_out_with_its_reason() {
    let mut refusals = String::new();
    for lie in ["fickle", "endless", "hoard", "panic", "flood", "misnamed", "boastful", "greedy"] {
        refusals.push_str(&format!("{lie}: {}\n", refusal(lie).await));
    }
    insta::with_settings!({ filters => [(r"budget of \S+;", "budget of [time];"), (r"at tests/[^ ]+", "at [place]"), (r", in `.*", ", in [functions]")] }, {
        insta::assert_snapshot!(refusals, @r"
        fickle: it describes itself differently each time: `describe` has to answer with constants
        endless: it does not describe itself: the plugin used up its CPU budget of [time]; the limit for every plugin that describes itself, which no setting changes
        hoard: it does not describe itself: it asked for 67239936 bytes of memory, the limit is 67108864; the limit for every plugin that describes itself, which no setting changes
        panic: it does not describe itself: panicked at [place] it has nothing to say, in [functions]
        flood: it does not describe itself: it handed more to the host, or answered more, than a single call of the contract may carry: the limit is 8388608 bytes; no setting changes that: it has to send less at once
        misnamed: its descriptor has 1 problem(s): `Not A Name` is not a plugin name: it starts with a lower-case letter and goes on in `a-z`, `0-9`, `-`; no setting changes that: its author mends what `describe` answers
        boastful: its descriptor has 1 problem(s): its features name `checks-recipient`, but it does not export `supports`; no setting changes that: its author mends what `describe` answers
        greedy: its descriptor has 1 problem(s): it requires `time-travel`, which this version does not have; it has `http`, `sign`, `cache`, `kv`; no setting changes that: its author mends what `describe` answers
        ");
    });
}

#[tokio::test]
async fn every_hostile_schema_is_found_out_with_its_reason() {
    let mut refusals = String::new();
    for lie in ["circle", "remote", "pattern"] {
        refusals.push_str(&format!("{lie}: {}\n", refusal(lie).await));
    }
    insta::assert_snapshot!(refusals, @r#"
    circle: its descriptor has 1 problem(s): its configuration schema leads in a circle through `#/$defs/b`: a configuration has an end; no setting changes that: its author mends what `describe` answers
    remote: its descriptor has 1 problem(s): its configuration schema refers to `http://127.0.0.1:9/schema.json`, and nothing is fetched: put it under `$defs`; no setting changes that: its author mends what `describe` answers
    pattern: its descriptor has 1 problem(s): its configuration schema is no JSON Schema: "(?:(?:[a-z]{1000}){1000}){1000}" is not a "regex"; no setting changes that: its author mends what `describe` answers
    "#);
}

#[tokio::test]
async fn whoever_tells_the_truth_is_taken() {
    for truth in ["none", "asker"] {
        rig::sandbox(2).0.compile(liar(truth), [0; 32]).await.expect("nothing is wrong with it");
    }
}

//! Who gets the CPU when real guests ask for more of it than there is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;

use super::rig::{self, call, grants, guest};
use crate::config::CallLimits;
use crate::domain::{AttemptEnd, ChannelName, Fault};
use crate::sandbox::limits::FUEL_SLICE;
use crate::sandbox::turns::Turnstile;
use crate::sandbox::{Plugin, PreparedChannel};

/// Calls of the channel that burns, all at once.
const BURNING: u32 = 32;

/// Calls of the other channel, one after the other.
const GOOD: u32 = 40;

/// Burning calls that may end before the last good one: as many as two slices for each of its own are enough for, and
/// as many again. Without turns all of them would.
const ENDED_MAX: usize = 8;

async fn plugin() -> Arc<Plugin> {
    let (mut sandbox, _) = rig::sandbox(BURNING + 1);
    // As on a machine with two cores, whatever this one has.
    Arc::get_mut(&mut sandbox).expect("nobody else has it yet").turnstile = Turnstile::new(2);
    Arc::new(sandbox.compile(guest("unruly"), [7; 32]).await.expect("the guest is a plugin"))
}

fn channel(name: &str, fuel: u64) -> PreparedChannel {
    PreparedChannel {
        name: ChannelName::new(name).expect("it is a name"),
        config_json: "{}".to_owned(),
        grants: grants(&[]),
        limits: CallLimits { fuel: Some(fuel), timeout: Duration::from_mins(10), ..CallLimits::default() },
    }
}

#[tokio::test]
async fn a_channel_that_burns_does_not_keep_the_calls_of_another_from_ending() {
    let plugin = plugin().await;
    let good = channel("good", 1 << 40);
    let one = plugin.send(&good, &call("log-much", "")).await;
    assert_eq!(one.end.as_str(), "sent", "{one:?}");
    assert!(one.fuel > 2 * FUEL_SLICE, "it takes turns, too: {} fuel", one.fuel);

    // Each burning call takes as many slices as half of the good ones together.
    let burning = channel("hog", one.fuel * u64::from(GOOD) / 2);
    let ended = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = JoinSet::new();
    for _ in 0..BURNING {
        let (plugin, burning, ended) = (Arc::clone(&plugin), burning.clone(), Arc::clone(&ended));
        tasks.spawn(async move {
            let report = plugin.send(&burning, &call("spin", "")).await;
            let AttemptEnd::Fault { fault, .. } = report.end else { panic!("{:?}", report.end) };
            assert_eq!(fault, Fault::OutOfFuel);
            ended.lock().unwrap_or_else(PoisonError::into_inner).push("hog");
        });
    }
    tasks.spawn({
        let ended = Arc::clone(&ended);
        async move {
            for _ in 0..GOOD {
                let report = plugin.send(&good, &call("log-much", "")).await;
                assert_eq!(report.end.as_str(), "sent", "{report:?}");
                ended.lock().unwrap_or_else(PoisonError::into_inner).push("good");
            }
        }
    });
    tasks.join_all().await;

    let ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
    let last_good = ended.iter().rposition(|who| *who == "good").expect("the good ones ended");
    let before = ended[..last_good].iter().filter(|who| **who == "hog").count();
    assert!(before <= ENDED_MAX, "{before} of {BURNING} burning calls ended before the last good one: {ended:?}");
    assert_eq!(ended.len() as u32, BURNING + GOOD, "and in the end each had its fuel");
}

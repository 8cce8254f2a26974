//! How far something long has come, said on a terminal while the server does it.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use super::client::Client;

/// What takes less than this says nothing, and a line stands for as long.
const EVERY: Duration = Duration::from_secs(1);

/// The server's own count, which costs it nothing.
const DEAD_LETTERS: &str = "campanile_dead_letters";

/// Waits for `work`, which makes dead letters fewer, and says how many are left: on standard error where that is a
/// terminal, else nowhere.
pub(super) async fn while_dead_letters_go<T>(client: &Client, what: &str, work: impl Future<Output = T>) -> T {
    if !io::stderr().is_terminal() {
        return work.await;
    }
    let mut said = false;
    tokio::pin!(work);
    let done = loop {
        tokio::select! {
            done = &mut work => break done,
            () = tokio::time::sleep(EVERY) => {}
        }
        // A server that does not answer this is busy with what it was asked for.
        if let Ok(metrics) = client.metrics().await
            && let Some(left) = value_of(&metrics, DEAD_LETTERS)
        {
            said = true;
            // A terminal that is gone is none of the server's business.
            let _ = write!(io::stderr(), "\r\u{1b}[2K{}", line(what, left));
        }
    };
    if said {
        let _ = write!(io::stderr(), "\r\u{1b}[2K");
    }
    done
}

fn line(what: &str, left: u64) -> String {
    let letters = if left == 1 { "dead letter" } else { "dead letters" };
    format!("{what}: {left} {letters} left")
}

/// The value of a metric without labels.
fn value_of(metrics: &str, name: &str) -> Option<u64> {
    metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    #[test]
    fn the_count_is_found_among_the_metrics_of_the_server() {
        let metrics = Metrics::new();
        metrics.outstanding(5, 1_200_000);
        assert_eq!(value_of(&metrics.encode(), DEAD_LETTERS), Some(1_200_000));
        assert_eq!(value_of("", DEAD_LETTERS), None);
    }

    #[test]
    fn what_is_left_is_said_in_a_line() {
        assert_eq!(line("replaying", 1_200_000), "replaying: 1200000 dead letters left");
        assert_eq!(line("purging", 1), "purging: 1 dead letter left");
    }
}

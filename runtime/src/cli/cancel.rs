//! `campanile cancel`: what has not left of a notification, or of one delivery, is not sent.

use serde_json::json;

use super::client::wire::Cancelled;
use super::client::{Answered, Client};
use super::failure::Failure;
use super::target::Target;
use super::{Answer, Globals};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes: 0 cancelled; 1 all of it is final, or no server answers; 3 no such
notification or delivery.

Examples:
  campanile cancel ntf_01890a5d0b0170008000000000000001
  campanile cancel dlv_01890a5d0b0170008000000000000001_0")]
pub(super) struct Args {
    /// Id of a notification: all of its deliveries; or of one delivery: its siblings go on
    id: Target,
}

pub(super) async fn run(globals: &Globals, args: &Args) -> Result<Answer, Failure> {
    let (collection, id) = args.id.path();
    let answered: Answered<Cancelled> = Client::new(globals)?.post(&[collection, &id, "cancel"], &json!({})).await?;
    let notification = match args.id {
        Target::Notification(id) => id,
        Target::Delivery(id) => id.notification(),
    };
    Ok(Answer::ok(if globals.json {
        format!("{:#}\n", answered.json)
    } else {
        show(&answered.value, &notification.to_string())
    }))
}

fn show(cancelled: &Cancelled, id: &str) -> String {
    let Cancelled { cancelled, in_flight } = cancelled;
    let mut text = format!("{} cancelled", deliveries(*cancelled));
    if *in_flight > 0 {
        text.push_str(&format!(
            ", {in_flight} in flight: cancelled, too, unless the attempt under way sends it; see `campanile status {id}`"
        ));
    }
    text + "\n"
}

/// So many.
pub(super) fn deliveries(count: u64) -> String {
    if count == 1 { "1 delivery".to_owned() } else { format!("{count} deliveries") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;

    #[test]
    fn what_may_still_be_sent_is_told() {
        assert_snapshot!(show(&Cancelled { cancelled: 1, in_flight: 0 }, "ntf_01"), @"1 delivery cancelled");
        assert_snapshot!(show(&Cancelled { cancelled: 0, in_flight: 2 }, "ntf_01"), @"0 deliveries cancelled, 2 in flight: cancelled, too, unless the attempt under way sends it; see `campanile status ntf_01`");
    }
}

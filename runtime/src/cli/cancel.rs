//! `campanile cancel`: what has not left of a notification is not sent.

use serde_json::json;

use super::client::wire::Cancelled;
use super::client::{Answered, Client};
use super::failure::Failure;
use super::{Answer, Globals};
use crate::domain::{DeliveryId, NotificationId};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes: 0 cancelled; 1 all of it is final, or no server answers; 3 no such
notification.")]
pub(super) struct Args {
    /// Id of a notification
    #[arg(value_parser = id)]
    id: NotificationId,
}

fn id(text: &str) -> Result<NotificationId, String> {
    text.parse().map_err(|_| match text.parse::<DeliveryId>() {
        // To cancel its siblings, too, is more than was asked for.
        Ok(delivery) => format!("a delivery is cancelled with all of its notification, `{}`", delivery.notification()),
        Err(_) => "expected `ntf_` and 32 hex digits, as `campanile send` prints it".to_owned(),
    })
}

pub(super) async fn run(globals: &Globals, args: &Args) -> Result<Answer, Failure> {
    let id = args.id.to_string();
    let answered: Answered<Cancelled> =
        Client::new(globals)?.post(&["notifications", &id, "cancel"], &json!({})).await?;
    Ok(Answer::ok(if globals.json { format!("{:#}\n", answered.json) } else { show(&answered.value, &id) }))
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

    #[test]
    fn a_delivery_is_not_cancelled_alone() {
        let hex = "01890a5d0b0170008000000000000001";
        assert!(id(&format!("ntf_{hex}")).is_ok());
        assert_snapshot!(id(&format!("dlv_{hex}_7")).expect_err("no notification"), @"a delivery is cancelled with all of its notification, `ntf_01890a5d0b0170008000000000000001`");
    }
}

//! What one id on the command line names.

use crate::domain::{DeliveryId, NotificationId};

/// A notification, or one delivery of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Notification(NotificationId),
    Delivery(DeliveryId),
}

impl Target {
    /// Where the server has it: the collection and the id.
    pub(super) fn path(self) -> (&'static str, String) {
        match self {
            Self::Notification(id) => ("notifications", id.to_string()),
            Self::Delivery(id) => ("deliveries", id.to_string()),
        }
    }
}

impl std::str::FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let delivery = |_| text.parse().map(Self::Delivery);
        let expected =
            |_| "expected `dlv_…` or `ntf_…`, as `campanile dead-letters list` or `send` prints it".to_owned();
        text.parse().map(Self::Notification).or_else(delivery).map_err(expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_a_notification_or_a_delivery() {
        let hex = "01890a5d0b0170008000000000000001";
        let id: NotificationId = format!("ntf_{hex}").parse().expect("an id");
        assert_eq!(format!("ntf_{hex}").parse(), Ok(Target::Notification(id)));
        assert_eq!(format!("dlv_{hex}_7").parse(), Ok(Target::Delivery(id.delivery(7))));
        assert!("../plugins".parse::<Target>().is_err());
    }
}

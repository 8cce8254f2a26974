//! What a caller asked us to tell someone. Accepted once, then immutable.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::{DeliveryStatus, NotificationId, TemplateName, Timestamp};

/// How urgent a notification is. Ordered: `Low < Normal < High < Critical`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// When nothing else waits.
    Low,
    /// The default.
    #[default]
    Normal,
    /// Before normal; shares the reserved slots with critical.
    High,
    /// Before everything.
    Critical,
}

impl Priority {
    /// All four, the most urgent first.
    pub const DESCENDING: [Self; 4] = [Self::Critical, Self::High, Self::Normal, Self::Low];

    /// Its word in every interface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no priority.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a priority: one of `low`, `normal`, `high`, `critical`")]
pub struct ParsePriorityError(pub String);

impl FromStr for Priority {
    type Err = ParsePriorityError;

    fn from_str(text: &str) -> Result<Self, ParsePriorityError> {
        Self::DESCENDING
            .into_iter()
            .find(|priority| priority.as_str() == text)
            .ok_or_else(|| ParsePriorityError(text.chars().take(64).collect()))
    }
}

/// A part for one kind of channel, such as `slack-blocks` or `preheader`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What the channel asks for it by.
    pub name: String,
    /// Its text.
    pub value: String,
}

/// What to tell, in as many forms as the caller or a template wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// A line above the text.
    pub title: Option<String>,
    /// Plain text. Empty only where a template is to write it.
    pub text: String,
    /// An HTML fragment.
    pub html: Option<String>,
    /// CommonMark.
    pub markdown: Option<String>,
    /// Parts for kinds of channel.
    pub parts: Vec<Part>,
}

/// How an action looks where the channel can show it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ActionStyle {
    /// As any other button.
    #[default]
    Plain,
    /// The one to press.
    Primary,
    /// The one to think about first.
    Danger,
}

/// A button or link under the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// Unique among the notification's actions.
    pub id: String,
    /// What stands on it.
    pub label: String,
    /// Where it leads, if it is a link.
    pub url: Option<String>,
    /// How it looks.
    pub style: ActionStyle,
}

/// A template and the version of it that was current at accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateUse {
    /// Its name.
    pub name: TemplateName,
    /// SHA-256 of its source: a change after accept does not reach this notification.
    pub version: [u8; 32],
}

/// Who one delivery goes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipient {
    /// Of the kind the channel's plugin asks for; empty where it asks for none. Personal: never in a log.
    pub address: String,
    /// Kind and address of where else this recipient can be reached, for a channel that stands in. A kind that nobody named
    /// is empty. Personal as well: no plugin is told of them.
    pub others: Vec<(String, String)>,
    /// Set for a stored recipient.
    pub id: Option<String>,
    /// Display name.
    pub name: Option<String>,
    /// BCP 47.
    pub locale: Option<String>,
    /// IANA name.
    pub time_zone: Option<String>,
    /// Preferences and the like.
    pub attributes: Vec<(String, String)>,
}

/// What a caller asked us to tell someone, checked and with its defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Given at accept.
    pub id: NotificationId,
    /// `info`, `success`, `warning`, `error` or the caller's own word.
    pub kind: String,
    /// How urgent.
    pub priority: Priority,
    /// What to tell. Shared: each of its deliveries hands the same one to its channel.
    pub content: Arc<Content>,
    /// Buttons and links.
    pub actions: Vec<Action>,
    /// Writes `content` at dispatch.
    pub template: Option<TemplateUse>,
    /// The caller's `data`, a JSON object as text.
    pub data: Option<String>,
    /// The caller's own pairs, in order.
    pub metadata: Vec<(String, String)>,
    /// Ties this to something of the caller's.
    pub correlation_id: Option<String>,
    /// Thread, collapse key or alias.
    pub group_key: Option<String>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// Not before this.
    pub scheduled_at: Option<Timestamp>,
    /// No attempt starts at or after this.
    pub expires_at: Option<Timestamp>,
}

impl Notification {
    /// Its id.
    #[must_use]
    pub const fn id(&self) -> NotificationId {
        self.id
    }

    /// From when on its deliveries could be made: when it was accepted, or later where it was scheduled.
    #[must_use]
    pub fn due_from(&self) -> Timestamp {
        self.scheduled_at.map_or(self.created_at, |at| at.max(self.created_at))
    }
}

/// The one word for where a notification stands, derived from its deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotificationStatus {
    /// At least one delivery is not final.
    Pending,
    /// All were sent.
    Sent,
    /// None was sent, and at least one failed.
    Failed,
    /// Some were sent.
    Partial,
    /// All were cancelled.
    Cancelled,
}

impl NotificationStatus {
    /// All five.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Sent, Self::Failed, Self::Partial, Self::Cancelled];

    /// Its word in every interface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Partial => "partial",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The text names no status of a notification.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a status: one of `pending`, `sent`, `failed`, `partial`, `cancelled`")]
pub struct ParseStatusError(pub String);

impl FromStr for NotificationStatus {
    type Err = ParseStatusError;

    fn from_str(text: &str) -> Result<Self, ParseStatusError> {
        let found = Self::ALL.into_iter().find(|status| status.as_str() == text);
        found.ok_or_else(|| ParseStatusError(text.chars().take(64).collect()))
    }
}

/// How many deliveries of one notification have which status.
///
/// ```
/// use campanile::domain::{DeliveryStatus, NotificationStatus, StatusCounts};
///
/// let mut counts = StatusCounts::default();
/// counts.add(DeliveryStatus::Sent);
/// counts.add(DeliveryStatus::Failed);
/// assert_eq!(counts.status(), NotificationStatus::Partial);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusCounts {
    /// Not final: pending and retrying.
    pub open: u32,
    /// Sent.
    pub sent: u32,
    /// Failed.
    pub failed: u32,
    /// Cancelled.
    pub cancelled: u32,
}

impl StatusCounts {
    /// Counts one more delivery of this status.
    pub fn add(&mut self, status: DeliveryStatus) {
        *self.of(status) += 1;
    }

    /// Counts one delivery fewer of this status.
    pub fn remove(&mut self, status: DeliveryStatus) {
        let count = self.of(status);
        *count = count.saturating_sub(1);
    }

    /// How many are final.
    #[must_use]
    pub const fn completed(&self) -> u32 {
        self.sent + self.failed + self.cancelled
    }

    /// How many there are.
    #[must_use]
    pub const fn total(&self) -> u32 {
        self.open + self.completed()
    }

    fn of(&mut self, status: DeliveryStatus) -> &mut u32 {
        match status {
            DeliveryStatus::Pending | DeliveryStatus::Retrying => &mut self.open,
            DeliveryStatus::Sent => &mut self.sent,
            DeliveryStatus::Failed => &mut self.failed,
            DeliveryStatus::Cancelled => &mut self.cancelled,
        }
    }

    /// Where the notification stands.
    #[must_use]
    pub const fn status(&self) -> NotificationStatus {
        match (self.open, self.sent, self.failed, self.cancelled) {
            (1.., ..) => NotificationStatus::Pending,
            (0, 1.., 0, 0) => NotificationStatus::Sent,
            (0, 1.., ..) => NotificationStatus::Partial,
            (0, 0, 1.., _) => NotificationStatus::Failed,
            (0, 0, 0, _) => NotificationStatus::Cancelled,
        }
    }
}

//! What an embedder writes to notify somebody.

use crate::domain::{Part, Priority, Timestamp};
use crate::intake::{Contact, Submission, SubmittedAction, To};

/// A notification to be: filled in by its methods, checked and accepted by
/// [`Runtime::notify`](super::Runtime::notify).
///
/// ```
/// use campanile::{Notification, Priority};
///
/// let notification = Notification::to("ada@example.com")
///     .channel("email")
///     .title("Disk almost full")
///     .body("db-3 is at 91 %")
///     .priority(Priority::High);
/// # drop(notification);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notification {
    submission: Submission,
}

impl Notification {
    /// One for channels whose configuration says where to.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One for `recipient`: an address, as the channel's plugin knows it.
    #[must_use]
    pub fn to(recipient: impl Into<String>) -> Self {
        Self::new().and_to(recipient)
    }

    /// One more recipient.
    #[must_use]
    pub fn and_to(mut self, recipient: impl Into<String>) -> Self {
        self.submission.to.push(To::Address(recipient.into()));
        self
    }

    /// One more recipient, with addresses by kind, as in `{"email": "ada@example.com"}`.
    #[must_use]
    pub fn and_to_contact(mut self, contact: Contact) -> Self {
        self.submission.to.push(To::Contact(contact));
        self
    }

    /// One more channel, by name.
    #[must_use]
    pub fn channel(mut self, name: impl Into<String>) -> Self {
        self.submission.channels.push(name.into());
        self
    }

    /// `info`, `success`, `warning`, `error` or a word of your own. Default: `info`.
    #[must_use]
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.submission.kind = Some(kind.into());
        self
    }

    /// Default: the channel's own, else normal.
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.submission.priority = Some(priority);
        self
    }

    /// A line above the text.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.submission.title = Some(title.into());
        self
    }

    /// Plain text.
    #[must_use]
    pub fn body(mut self, text: impl Into<String>) -> Self {
        self.submission.body = Some(text.into());
        self
    }

    /// An HTML fragment for channels that show it.
    #[must_use]
    pub fn html(mut self, html: impl Into<String>) -> Self {
        self.submission.html = Some(html.into());
        self
    }

    /// CommonMark for channels that show it.
    #[must_use]
    pub fn markdown(mut self, markdown: impl Into<String>) -> Self {
        self.submission.markdown = Some(markdown.into());
        self
    }

    /// A part for one kind of channel, such as `slack-blocks`.
    #[must_use]
    pub fn part(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.submission.parts.push(Part { name: name.into(), value: value.into() });
        self
    }

    /// The template that writes the content, and the JSON object that it is given.
    #[must_use]
    pub fn template(mut self, name: impl Into<String>, data: &serde_json::Value) -> Self {
        self.submission.template = Some(name.into());
        self.submission.data = Some(data.to_string());
        self
    }

    /// A link under the text.
    #[must_use]
    pub fn link(mut self, label: impl Into<String>, url: impl Into<String>) -> Self {
        let action = SubmittedAction { label: label.into(), url: Some(url.into()), ..SubmittedAction::default() };
        self.submission.actions.push(action);
        self
    }

    /// Not before this.
    #[must_use]
    pub fn scheduled_at(mut self, at: Timestamp) -> Self {
        self.submission.scheduled_at = Some(at);
        self
    }

    /// No attempt starts at or after this.
    #[must_use]
    pub fn expires_at(mut self, at: Timestamp) -> Self {
        self.submission.expires_at = Some(at);
        self
    }

    /// Ties this to something of yours.
    #[must_use]
    pub fn correlation_id(mut self, id: impl Into<String>) -> Self {
        self.submission.correlation_id = Some(id.into());
        self
    }

    /// The same key and the same content are accepted once within 24 h, through restarts: for a caller that tries again.
    /// 1 to 255 visible ASCII characters.
    #[must_use]
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.submission.idempotency_key = Some(key.into());
        self
    }

    /// Within `[store] dedupe_window`, the same key, channel and address make no second delivery: for news that several
    /// tell.
    #[must_use]
    pub fn dedupe_key(mut self, key: impl Into<String>) -> Self {
        self.submission.dedupe_key = Some(key.into());
        self
    }

    /// Where what happens to it is told, by signed requests: an `https` URL. Takes `[callbacks] secret`; which events are
    /// told is `[callbacks] events`.
    #[must_use]
    pub fn callback_url(mut self, url: impl Into<String>) -> Self {
        self.submission.callback_url = Some(url.into());
        self
    }

    /// One more pair of your own.
    #[must_use]
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.submission.metadata.push((name.into(), value.into()));
        self
    }
}

impl From<Notification> for Submission {
    fn from(notification: Notification) -> Self {
        notification.submission
    }
}

//! What a caller asks for: typed, and not yet checked.

use crate::domain::{ActionStyle, Actor, Part, Priority, Timestamp};
use crate::route::To;

/// What a caller asks for. Names of fields are those of the HTTP interface, so that a problem's pointer fits both.
///
/// ```
/// use campanile::intake::Submission;
///
/// let submission = Submission {
///     to: vec!["ada@example.com".into()],
///     channels: vec!["email".to_owned()],
///     body: Some("Disk almost full".to_owned()),
///     ..Submission::default()
/// };
/// assert_eq!(submission.kind, None);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Submission {
    /// Who is to be told.
    pub to: Vec<To>,
    /// Through which channels, by name.
    pub channels: Vec<String>,
    /// `info`, `success`, `warning`, `error` or a word of the caller's. Default: `info`.
    pub kind: Option<String>,
    /// Default: the most urgent of its channels' own, else normal.
    pub priority: Option<Priority>,
    /// A line above the text.
    pub title: Option<String>,
    /// Plain text. There is this or a template.
    pub body: Option<String>,
    /// An HTML fragment.
    pub html: Option<String>,
    /// CommonMark.
    pub markdown: Option<String>,
    /// Parts for kinds of channel, such as `slack-blocks`.
    pub parts: Vec<Part>,
    /// The template that writes the content, by name.
    pub template: Option<String>,
    /// What the template and the channels are given: a JSON object as text.
    pub data: Option<String>,
    /// Buttons and links.
    pub actions: Vec<SubmittedAction>,
    /// Not before this. Up to 24 h ago means now.
    pub scheduled_at: Option<Timestamp>,
    /// No attempt starts at or after this.
    pub expires_at: Option<Timestamp>,
    /// Ties this to something of the caller's.
    pub correlation_id: Option<String>,
    /// Thread, collapse key or alias.
    pub group_key: Option<String>,
    /// The caller's own pairs, in order.
    pub metadata: Vec<(String, String)>,
    /// Within the dedupe window, the same key, channel and address make no second delivery.
    pub dedupe_key: Option<String>,
    /// The same key and the same content are accepted once within 24 h.
    pub idempotency_key: Option<String>,
    /// Where what happens to it is told, by signed requests: an `https` URL. Only where `[callbacks] secret` is set.
    pub callback_url: Option<String>,
    /// Who asks. [`Runtime`](crate::Runtime) says it, whatever stands here.
    pub by: Actor,
}

/// A button or link under the text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubmittedAction {
    /// Unique among the notification's actions. Default: its place, from 1.
    pub id: Option<String>,
    /// What stands on it.
    pub label: String,
    /// Where it leads, if it is a link.
    pub url: Option<String>,
    /// How it looks.
    pub style: ActionStyle,
}

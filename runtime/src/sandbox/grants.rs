//! What the plugin of one channel may do beyond computing. Decided when the channel is configured.

use std::fmt;
use std::sync::Arc;

use crate::capability::cache::ChannelCache;
use crate::capability::http::HttpGrant;
use crate::capability::kv::KvGrant;
use crate::capability::secret::ChannelSecrets;
use crate::capability::sign::SignGrant;

/// The capabilities of one channel.
#[derive(Clone, Debug)]
pub struct Grants {
    /// What it may reach.
    pub http: Arc<HttpGrant>,
    /// What its handles stand for.
    pub secrets: Arc<ChannelSecrets>,
    /// What it may sign with; none: it may not.
    pub sign: Option<Arc<SignGrant>>,
    /// Values that may vanish.
    pub cache: Granted<ChannelCache>,
    /// Values that last.
    pub kv: Granted<Arc<KvGrant>>,
}

/// An ability, or the sentence that says why there is none and which line would grant it.
pub type Granted<T> = Result<T, NotGranted>;

/// Why an ability is not granted: what each call of it answers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct NotGranted(Arc<str>);

impl NotGranted {
    /// With the sentence that is told.
    #[must_use]
    pub fn new(reason: impl Into<Arc<str>>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for NotGranted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Grants {
    /// These, nothing to sign with and nothing to keep.
    #[must_use]
    pub fn of_http(http: Arc<HttpGrant>, secrets: Arc<ChannelSecrets>) -> Self {
        let none = |ability: &str| NotGranted::new(format!("`{ability}` is not granted to this call"));
        Self { http, secrets, sign: None, cache: Err(none("cache")), kv: Err(none("kv")) }
    }
}

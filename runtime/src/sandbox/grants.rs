//! What the plugin of one channel may do beyond computing. Decided when the channel is configured.

use std::sync::Arc;

use crate::capability::http::HttpGrant;
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
}

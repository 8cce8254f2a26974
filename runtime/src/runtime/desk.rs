//! Who looks after channels while a runtime runs.

use std::sync::Arc;

use tokio::sync::Mutex;

use super::gatekeeper::{Following, Gatekeeper};
use super::probing::{Findings, Prober};
use crate::clock::{Clock, Entropy};
use crate::dispatch::Outlook;
use crate::queue::QueueHandle;
use crate::sandbox::Registry;
use crate::store::{Store, StoreError};

/// What is remembered of channels, and what their plugins say.
pub(super) struct Desk {
    pub(super) keeper: Arc<Gatekeeper>,
    pub(super) health: Findings,
    pub(super) entropy: Arc<Entropy>,
    tasks: Mutex<Option<(Following, Prober)>>,
}

impl Desk {
    /// Reads what is remembered. The queue is told by [`Gatekeeper::restore`].
    pub(super) async fn open(
        store: &Arc<dyn Store>,
        queue: &QueueHandle,
        clock: &Arc<dyn Clock>,
        entropy: &Arc<Entropy>,
    ) -> Result<Self, StoreError> {
        let keeper = Gatekeeper::open(Arc::clone(store), queue.clone(), Arc::clone(clock)).await?;
        Ok(Self { keeper, health: Findings::default(), entropy: Arc::clone(entropy), tasks: Mutex::default() })
    }

    /// Writes what changes from here on, and asks the plugins.
    pub(super) async fn start(&self, registry: &Arc<Registry>, clock: &Arc<dyn Clock>, outlook: Outlook) {
        let prober =
            Prober::start(Arc::clone(registry), Arc::clone(clock), Arc::clone(&self.entropy), self.health.clone());
        *self.tasks.lock().await = Some((self.keeper.start(outlook), prober));
    }

    /// Ends it, with everything written that the store takes. To be stopped when nothing is called any more, and before
    /// the store is closed.
    pub(super) async fn stop(&self) {
        if let Some((following, prober)) = self.tasks.lock().await.take() {
            drop(prober);
            following.stop().await;
        }
    }
}

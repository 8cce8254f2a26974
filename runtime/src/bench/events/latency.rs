//! How soon an idle program is called back.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::{EventsBenchError, EventsParams};
use crate::bench::pipeline::percentile_ms;
use crate::callback::webhook::TakenNames;
use crate::callback::{CallbackSettings, Callbacks, Joints, Registration};
use crate::clock::{Clock, Entropy, SystemClock};
use crate::config::Durability;
use crate::domain::{
    ChannelName, Content, DeliveryId, DeliveryState, EventBody, Notification, Priority, Receipt, Recipient,
};
use crate::events::{EventLog, Inlet};
use crate::store::sqlite::{SqliteOptions, SqliteStore};
use crate::store::{CommitListener, Committed, Planned, PlannedDelivery, Settlement, Store};
use crate::telemetry::Metrics;

/// When the end of each delivery was durable.
#[derive(Clone, Default)]
struct Ends(Arc<Mutex<HashMap<DeliveryId, Instant>>>);

struct Listener {
    ends: Ends,
    inlet: Inlet,
}

impl CommitListener for Listener {
    fn committed(&self, committed: Committed) {
        let now = Instant::now();
        for event in &committed.events {
            if let EventBody::DeliverySent { delivery, .. } = &event.event.body {
                self.ends.0.lock().unwrap_or_else(PoisonError::into_inner).insert(*delivery, now);
            }
        }
        self.inlet.tell(committed.events);
    }
}

/// From the commit of a delivery's end to the begin of `on_completion`, 99 of 100, in milliseconds. One at a time, each
/// once the one before has been told.
pub(super) async fn measure(params: &EventsParams, folder: &Path) -> Result<f64, EventsBenchError> {
    let (ends, (inlet, outlet)) = (Ends::default(), Inlet::new());
    let listener = Arc::new(Listener { ends: ends.clone(), inlet });
    let options = SqliteOptions { path: folder.join("latency.db"), durability: Durability::Full, listener };
    let store: Arc<dyn Store> = SqliteStore::open(options)?;
    let (clock, entropy): (Arc<dyn Clock>, _) = (Arc::new(SystemClock::default()), Arc::new(Entropy::from_system()));
    let log = EventLog::start(outlet, Arc::clone(&store)).await?;
    let joints = Joints {
        store: Arc::clone(&store),
        clock: Arc::clone(&clock),
        entropy: Arc::clone(&entropy),
        log,
        metrics: Metrics::off(),
        taken: TakenNames::default(),
    };
    let callbacks = Callbacks::start(joints, CallbackSettings::default())?;
    let (tell, mut told) = mpsc::channel(1);
    let called = move |receipt: crate::callback::Receipt| {
        let (tell, at) = (tell.clone(), Instant::now());
        async move {
            // Nobody listens once the bench has ended.
            let _ = tell.send((receipt.delivery, at)).await;
        }
    };
    callbacks.register(Registration::completion(called)).await?;

    let channel = ChannelName::new("bench")?;
    let mut latencies = Vec::new();
    for _ in 0..params.callbacks {
        let delivery = send_one(&*store, &entropy, &*clock, &channel).await?;
        let Some((of, at)) = told.recv().await else { break };
        let end = ends.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&delivery);
        latencies.extend(end.filter(|_| of == delivery).map(|end| at.saturating_duration_since(end)));
    }
    callbacks.stop(Duration::from_secs(1)).await;
    store.close().await;
    latencies.sort_unstable();
    Ok(percentile_ms(&latencies, 99))
}

/// Accepts a notification and settles its only delivery, each durably.
async fn send_one(
    store: &dyn Store,
    entropy: &Entropy,
    clock: &dyn Clock,
    channel: &ChannelName,
) -> Result<DeliveryId, EventsBenchError> {
    let now = clock.now();
    let notification = Notification {
        id: entropy.notification_id(now),
        kind: "info".to_owned(),
        priority: Priority::Normal,
        content: Arc::new(Content { text: "db-3 is at 91 %".to_owned(), ..Content::default() }),
        actions: Vec::new(),
        template: None,
        data: None,
        metadata: Vec::new(),
        correlation_id: None,
        group_key: None,
        created_at: now,
        scheduled_at: None,
        expires_at: None,
    };
    let delivery = notification.id.delivery(0);
    let planned = PlannedDelivery::new(channel.clone(), Recipient::default(), now);
    store.accept(vec![Planned::new(Arc::new(notification), vec![planned])]).await?;
    for claim in store.claim(&[delivery], clock.now()).await? {
        let at = clock.now();
        let state = DeliveryState::Sent { at, attempts: 1, receipt: Receipt::default(), unconfirmed: false };
        let settlement = Settlement { claim: claim.number, delivery, attempt: None, state, reroute: None, at };
        store.settle(vec![settlement]).await?;
    }
    Ok(delivery)
}

//! What every engine promises, as tests. An engine runs all of them with one call of [`conformance!`].
//!
//! Each sentence of the trait's documentation has a test here.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use super::*;
use crate::domain::{
    Act, Attempt, AuditAction, AuditOutcome, AuditTarget, Awaited, Bar, BarKind, BreakerBook, BreakerCounts,
    BreakerNote, BreakerReason, BreakerState, ChannelChange, ChannelDeed, ChannelEvent, Content, DeliveryStatus,
    EventBody, FailReason, FailedCall, HostBook, NotificationStatus, Paused, Permission, PluginChange, PluginEvent,
    PluginName, Priority, Receipt, Rerouted, StatusCounts, VersionMark, settle_cancelled,
};

pub(crate) mod asking;
pub(crate) mod auditing;
pub(crate) mod callbacks;
pub(crate) mod cancelling;
pub(crate) mod claiming;
pub(crate) mod expanding;
pub(crate) mod expiring;
pub(crate) mod finding;
pub(crate) mod keeping;
pub(crate) mod kv;
pub(crate) mod modelled;
pub(crate) mod once;
pub(crate) mod rerouting;
pub(crate) mod sweeping;
pub(crate) mod telling;

/// A place where a store can be opened, closed and opened again.
#[async_trait]
pub(crate) trait Place: Send + Sync {
    /// Opens the store; what was closed here before is found again.
    async fn open(&self, listener: Arc<dyn CommitListener>) -> Arc<dyn Store>;
}

/// Runs the suite against the engine whose [`Place`] the expression makes.
macro_rules! conformance {
    ($place:expr) => {
        #[test]
        fn any_sequence_of_steps_ends_as_in_the_model() {
            $crate::store::conformance::modelled::any_sequence_of_steps_ends_as_in_the_model(|| $place);
        }

        $crate::store::conformance::each! { $place =>
            keeping: an_accepted_notification_is_found_again_after_a_restart,
            keeping: an_accept_that_fails_keeps_nothing_and_spoils_nothing_beside_it,
            keeping: a_notification_has_at_least_one_delivery_and_a_thousand_at_once,
            keeping: an_attempt_is_kept_as_it_was_with_the_state_that_follows,
            keeping: a_page_follows_due_times_and_ids_and_goes_on_behind_its_cursor,
            keeping: a_delivery_that_waits_again_moves_in_its_lane,
            keeping: lanes_are_those_in_which_something_waits,
            keeping: a_delivery_keeps_its_flow_through_retries_a_replay_and_a_restart,
            keeping: deliveries_are_counted_by_status,
            keeping: a_template_is_kept_once_under_its_version,
            keeping: a_plugin_is_remembered_by_its_newest_book,
            keeping: a_channel_is_remembered_by_its_newest_book,
            keeping: a_size_of_the_pool_is_kept_until_it_is_let_go,
            keeping: a_closed_store_has_committed_what_it_took_and_refuses_the_rest,
            sweeping: what_is_final_and_old_goes_and_nothing_else,
            sweeping: a_sweep_goes_on_where_it_stopped,
            sweeping: old_keys_and_events_go_and_numbers_go_on,
            sweeping: the_range_of_events_begins_behind_what_went,
            sweeping: what_is_too_much_goes_and_never_what_waits_failed_or_has_a_key_that_holds,
            sweeping: the_oldest_events_and_entries_go_until_the_rest_is_small_enough,
            sweeping: what_goes_makes_room_for_what_comes,
            expanding: a_large_notification_is_made_in_slices_through_a_restart,
            expanding: a_large_notification_is_complete_when_all_of_it_is,
            expanding: what_is_cancelled_before_it_is_made_is_never_made,
            expanding: what_is_cancelled_before_any_of_it_is_made_is_complete,
            expanding: a_large_notification_with_a_known_key_leaves_nothing_behind,
            expanding: a_dedupe_key_holds_for_each_delivery_of_a_large_notification,
            finding: notifications_are_found_by_what_they_are,
            finding: notifications_are_found_by_how_they_stand,
            finding: pages_of_notifications_join_without_gap_or_repeat,
            finding: what_failed_is_a_dead_letter_with_all_that_is_known_of_it,
            finding: a_replay_starts_a_new_run_and_keeps_the_attempts,
            finding: what_has_not_failed_is_not_replayed,
            finding: what_is_purged_is_no_dead_letter_and_stays_failed,
            once: a_key_is_used_once_and_its_second_use_is_told_the_first,
            once: a_key_holds_through_a_restart_and_no_longer_than_it_says,
            once: a_key_used_twice_in_one_call_is_used_once,
            once: a_key_of_what_could_not_be_kept_is_free,
            once: a_delivery_with_a_key_that_was_used_is_not_made_and_told,
            once: a_notification_of_which_nothing_is_made_is_complete_at_once,
            kv: a_kept_value_is_found_again_after_a_restart,
            kv: a_change_is_made_only_on_the_version_it_expects,
            kv: a_version_never_comes_back_even_where_a_key_was_removed,
            kv: of_changes_on_the_same_version_one_is_made,
            kv: a_quota_holds_whoever_writes_at_the_same_time,
            kv: a_lowered_quota_lets_a_channel_keep_what_it_has_and_add_nothing,
            kv: keys_come_in_the_order_of_their_bytes_by_prefix_and_page,
            kv: channels_do_not_see_each_others_keys,
            kv: keeping_makes_no_event,
            claiming: a_delivery_has_one_claim_at_a_time,
            claiming: claims_are_numbered_upwards,
            claiming: what_is_not_due_final_or_unknown_is_left_out,
            claiming: a_claim_brings_all_that_a_call_needs,
            claiming: a_claim_given_up_leaves_no_trace,
            claiming: a_settlement_without_the_newest_claim_is_counted_and_not_applied,
            claiming: a_settlement_settles_once_even_within_one_call,
            claiming: a_settlement_without_an_attempt_ends_the_delivery_and_keeps_none,
            claiming: whoever_claims_at_the_same_time_shares_the_deliveries_without_overlap,
            claiming: a_restart_forgets_claims_and_nothing_else,
            cancelling: what_has_not_left_is_cancelled_at_once,
            cancelling: a_cancel_in_flight_holds_unless_the_attempt_sent_it,
            cancelling: a_cancel_in_flight_holds_when_the_claim_is_given_up,
            cancelling: the_queue_is_told_where_those_stood_that_are_cancelled_while_they_wait,
            cancelling: a_cancel_in_flight_holds_through_a_restart,
            cancelling: a_second_cancel_changes_nothing,
            cancelling: what_is_final_or_unknown_is_not_cancelled,
            cancelling: one_delivery_is_cancelled_and_its_siblings_go_on,
            cancelling: a_cancel_of_one_in_flight_holds_unless_the_attempt_sent_it,
            cancelling: a_cancel_of_one_in_flight_holds_when_it_is_given_up_or_forgotten,
            cancelling: a_delivery_and_its_notification_are_cancelled_once,
            expiring: what_waits_for_too_long_ends_without_being_claimed,
            expiring: what_is_in_flight_or_taken_ends_by_its_own,
            expiring: a_large_notification_expires_in_slices_through_a_restart,
            expiring: what_is_to_be_made_expires_once_it_is,
            asking: what_a_provider_took_is_told_once_and_waits_for_its_next_question,
            asking: what_a_provider_took_keeps_its_receipt_through_a_restart,
            asking: what_a_provider_took_is_not_cancelled,
            asking: what_a_provider_takes_while_it_is_cancelled_goes_on,
            asking: a_cancel_leaves_what_a_provider_took_and_lets_it_go_on,
            rerouting: a_delivery_goes_on_through_another_channel_and_a_restart,
            rerouting: the_way_that_a_delivery_took_is_told_where_it_failed,
            rerouting: what_was_cancelled_in_flight_goes_no_other_way,
            rerouting: the_way_goes_with_its_notification,
            auditing: who_did_what_is_kept_with_what_it_changed,
            auditing: what_did_not_happen_is_not_in_the_log,
            auditing: the_log_is_found_by_action_target_and_time,
            auditing: pages_of_the_log_join_without_gap_or_repeat,
            auditing: what_is_old_in_the_log_goes_and_nothing_else,
            callbacks: a_callback_finds_its_book_and_what_it_owes_after_a_restart,
            callbacks: what_is_settled_or_forgotten_is_owed_no_longer,
            callbacks: what_was_given_up_is_found_in_pages_by_callback_and_notification,
            callbacks: a_change_tells_and_says_who_did_it_with_its_rows,
            callbacks: what_was_given_up_goes_by_age_and_by_number,
            callbacks: a_notification_is_told_of_where_it_says_until_its_receiver_wants_no_more,
            telling: what_happened_to_workers_is_told_in_order_and_kept,
            telling: events_are_numbered_from_one_without_gaps_through_restarts,
            telling: each_transition_writes_its_events_in_order,
            telling: what_is_accepted_for_a_held_channel_is_told_with_its_accept,
            telling: a_notification_is_completed_once_when_its_last_delivery_is_final,
            telling: progress_is_told_once_a_second_and_not_of_the_last,
            telling: a_notification_whose_last_delivery_expires_is_told_to_have_expired,
            telling: what_is_refused_late_or_given_up_makes_no_event,
            telling: an_outbox_is_read_in_any_portions,
            telling: the_range_of_events_grows_in_an_epoch_that_stays,
            telling: the_listener_is_told_each_commit_in_order_and_before_its_callers,
            telling: totals_count_commits_and_commands,
        }
    };
}

macro_rules! each {
    ($place:expr => $($part:ident: $name:ident,)+) => {
        $(
            #[tokio::test]
            async fn $name() {
                $crate::store::conformance::$part::$name(&$place).await;
            }
        )+
    };
}

pub(crate) use {conformance, each};

/// Remembers what it was told.
#[derive(Debug, Default)]
pub(crate) struct Ear {
    told: Mutex<Vec<Committed>>,
    more: Notify,
}

impl CommitListener for Ear {
    fn committed(&self, committed: Committed) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).push(committed);
        self.more.notify_one();
    }
}

impl Ear {
    pub(crate) fn events(&self) -> Vec<NumberedEvent> {
        self.told.lock().unwrap().iter().flat_map(|committed| committed.events.clone()).collect()
    }

    pub(crate) fn accepted(&self) -> Vec<Queued> {
        self.told.lock().unwrap().iter().flat_map(|committed| committed.accepted.clone()).collect()
    }

    pub(crate) fn withdrawn(&self) -> Vec<Queued> {
        self.told.lock().unwrap().iter().flat_map(|committed| committed.withdrawn.clone()).collect()
    }
}

/// Opens a store that nobody listens to.
pub(crate) async fn open(place: &dyn Place) -> Arc<dyn Store> {
    place.open(Arc::new(Ear::default())).await
}

pub(crate) fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_000);

/// Who asks, where it does not matter.
pub(crate) const BY: Actor = Actor::Api;

pub(crate) fn channel(name: &str) -> ChannelName {
    ChannelName::new(name).unwrap()
}

/// The `n`-th notification of a test. Ids grow with `n`.
pub(crate) fn id(n: u32) -> NotificationId {
    let mut bytes = [0; 16];
    bytes[12..].copy_from_slice(&n.to_be_bytes());
    NotificationId::from_bytes(bytes)
}

pub(crate) fn lane(priority: Priority, name: &str) -> Lane {
    Lane::shared(priority, channel(name))
}

/// Notification `n` with a delivery through each of `channels`, due at once.
pub(crate) fn planned(n: u32, channels: &[&str]) -> Planned {
    planned_at(n, NOW, channels)
}

pub(crate) fn planned_at(n: u32, due: Timestamp, channels: &[&str]) -> Planned {
    let notification = Notification {
        id: id(n),
        kind: "info".to_owned(),
        priority: Priority::Normal,
        content: Arc::new(Content { title: Some(format!("title {n}")), text: "text".to_owned(), ..Content::default() }),
        actions: Vec::new(),
        template: None,
        data: Some(r#"{"a":1}"#.to_owned()),
        metadata: vec![("team".to_owned(), "infra".to_owned())],
        correlation_id: None,
        group_key: None,
        created_at: NOW,
        scheduled_at: None,
        expires_at: Some(at(9_000)),
    };
    let deliveries = channels
        .iter()
        .map(|name| {
            let recipient = Recipient { address: format!("{n}@{name}"), ..Recipient::default() };
            PlannedDelivery::new(channel(name), recipient, due)
        })
        .collect();
    Planned::new(Arc::new(notification), deliveries)
}

/// A key that never ends.
pub(crate) fn once(key: u8) -> OnceKey {
    OnceKey { hash: [key; 16], since: at(0) }
}

pub(crate) fn idempotency(key: u8, digest: u8) -> IdempotencyKey {
    IdempotencyKey { key: once(key), digest: [digest; 32] }
}

pub(crate) fn attempt(number: u32) -> Attempt {
    Attempt {
        number,
        started_at: NOW,
        duration: Duration::from_micros(1_234),
        end: "sent".to_owned(),
        code: Some("202".to_owned()),
        reason: None,
        provider_id: Some("p-1".to_owned()),
        plugin: "null@1.0.0".to_owned(),
        fuel: 11_911,
        memory_bytes: 1 << 20,
    }
}

pub(crate) fn mark(number: u8) -> VersionMark {
    VersionMark { sha256: [number; 32], version: semver::Version::new(1, 2, u64::from(number)), since: NOW }
}

/// A book with something on every page; `number` makes it differ from others of the same plugin.
pub(crate) fn book(plugin: &str, number: u8) -> PluginBook {
    let permission = |scope: &str, required| Permission { capability: "http".into(), scope: scope.into(), required };
    let bars = BarKind::ALL.map(|kind| Bar { mark: mark(number), kind, reason: format!("{number} faults") });
    PluginBook {
        serving: Some(mark(number)),
        previous: Some(mark(number + 1)),
        canary: (number > 1).then(|| mark(number + 2)),
        approved: vec![permission("*.acme.example", true), permission("", false)],
        bars: bars.to_vec(),
        has_served: true,
        told: vec![[number; 32], [number + 1; 32]],
        ..PluginBook::new(PluginName::new(plugin).unwrap())
    }
}

pub(crate) fn plugin_event(plugin: &str, change: PluginChange) -> Event {
    let event = PluginEvent {
        change,
        plugin: plugin.to_owned(),
        version: Some(semver::Version::new(1, 2, 3)),
        sha256: Some([7; 32]),
        reason: Some("6 of 9 calls failed".to_owned()),
    };
    Event { at: NOW, body: EventBody::Plugin(event) }
}

/// A book of a channel; `number` makes it differ from others of the same channel.
pub(crate) fn channel_book(name: &str, number: u8) -> ChannelBook {
    let (since, until) = (at(u64::from(number)), at(10_000));
    let state = match number % 4 {
        0 => BreakerState::Closed,
        1 => BreakerState::Open { since, until },
        2 => BreakerState::HalfOpen { since },
        _ => BreakerState::Disabled { since },
    };
    let count = u32::from(number);
    let opening = BreakerCounts { calls: count + 3, failures: count, slow: 1, consecutive: count };
    let breaker = BreakerBook { state, trips: count, first_opened: (number > 2).then_some(since), opening };
    let reason = BreakerReason::ALL[usize::from(number) % BreakerReason::ALL.len()];
    let error = (number > 3).then(|| FailedCall {
        at: since,
        outcome: "timeout".to_owned(),
        code: (number > 5).then(|| "503".to_owned()),
        reason: "no answer".to_owned(),
    });
    let note = (number > 1).then_some(BreakerNote { at: since, reason, error });
    let host = |place| HostBook { host: format!("{place}.example:8443"), breaker, reason };
    let paused = (number > 4).then_some(Paused { at: until, by: Actor::ALL[usize::from(number) % Actor::ALL.len()] });
    ChannelBook { channel: channel(name), paused, breaker, note, hosts: (0..number / 2).map(host).collect() }
}

pub(crate) fn channel_event(name: &str, change: ChannelChange) -> Event {
    let reason = Some("5 calls failed in a row".to_owned());
    Event { at: NOW, body: EventBody::Channel(ChannelEvent { channel: channel(name), change, reason }) }
}

pub(crate) fn sent(attempts: u32) -> DeliveryState {
    DeliveryState::Sent { at: NOW, attempts, receipt: Receipt::default(), unconfirmed: false }
}

pub(crate) fn failed(attempts: u32) -> DeliveryState {
    DeliveryState::Failed { at: NOW, attempts, reason: FailReason::Expired }
}

pub(crate) fn waiting(due: Timestamp, attempts: u32) -> DeliveryState {
    DeliveryState::Waiting(Waiting {
        due,
        attempts,
        retries_used: attempts,
        faults: 0,
        interrupted: 0,
        run_began: None,
        accepted: None,
    })
}

/// What its provider took, to be asked for at `due`.
pub(crate) fn accepted(due: Timestamp, attempts: u32) -> DeliveryState {
    let receipt = Receipt { provider_id: Some("p-1".to_owned()), facts: vec![("region".to_owned(), "eu".to_owned())] };
    let awaited = Awaited { receipt, since: NOW, polls: attempts };
    DeliveryState::Waiting(Waiting { attempts, accepted: Some(Arc::new(awaited)), ..Waiting::fresh(due) })
}

pub(crate) fn settlement(claim: &Claim, state: DeliveryState) -> Settlement {
    let attempt = attempt(claim.progress.attempts + 1);
    Settlement { claim: claim.number, delivery: claim.delivery, attempt: Some(attempt), state, reroute: None, at: NOW }
}

pub(crate) async fn claim_one(store: &dyn Store, delivery: DeliveryId) -> Claim {
    let mut claims = store.claim(&[delivery], NOW).await.unwrap();
    assert_eq!(claims.len(), 1, "{delivery} can be claimed");
    claims.remove(0)
}

pub(crate) async fn settle_one(store: &dyn Store, claim: &Claim, state: DeliveryState) -> Settled {
    store.settle(vec![settlement(claim, state)]).await.unwrap().remove(0)
}

pub(crate) async fn state_of(store: &dyn Store, delivery: DeliveryId) -> DeliveryState {
    let record = store.notification(delivery.notification()).await.unwrap().expect("it was accepted");
    record.deliveries[delivery.index() as usize].state.clone()
}

pub(crate) async fn kinds(store: &dyn Store) -> Vec<&'static str> {
    store.outbox(0, 10_000).await.unwrap().iter().map(|numbered| numbered.event.body.kind()).collect()
}

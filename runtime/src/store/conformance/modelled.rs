//! Any sequence of steps leaves an engine where it leaves the model.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::domain::{DeliveryStatus, KvChange, KvQuota};
use crate::store::model::{Kept, Model};

const CHANNELS: [&str; 2] = ["mail", "chat"];

/// One step of a test. Picks are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    Accept {
        deliveries: Vec<usize>,
        due: u64,
        key: Option<u8>,
        dedupe: Option<u8>,
    },
    /// The same notification again, beside a new one: neither is kept.
    AcceptAgain(usize),
    Claim {
        picks: Vec<usize>,
        now: u64,
    },
    Release(usize),
    Settle {
        picks: Vec<usize>,
        end: usize,
    },
    Cancel(usize),
    CancelDelivery(usize),
    Replay {
        pick: usize,
        due: u64,
    },
    Purge(usize),
    /// Ten seconds behind the one before.
    Expire {
        is_early: bool,
    },
    KeepPlugin {
        pick: usize,
        number: u8,
    },
    KeepChannel {
        pick: usize,
        number: u8,
    },
    KeepCallback {
        pick: usize,
        number: u8,
    },
    /// No value removes the key.
    Keep {
        channel: usize,
        key: String,
        value: Option<usize>,
        expected: Option<u64>,
    },
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let pick = 0_usize..100;
    let key = proptest::option::weighted(0.3, 0_u8..3);
    let picks = proptest::collection::vec(pick.clone(), 1..6);
    let step = prop_oneof![
        3 => (proptest::collection::vec(0..CHANNELS.len(), 1..4), 0_u64..3, key.clone(), key)
            .prop_map(|(deliveries, due, key, dedupe)| Step::Accept { deliveries, due, key, dedupe }),
        1 => pick.clone().prop_map(Step::AcceptAgain),
        6 => (picks.clone(), 0_u64..4).prop_map(|(picks, now)| Step::Claim { picks, now }),
        1 => pick.clone().prop_map(Step::Release),
        6 => (picks, 0_usize..7).prop_map(|(picks, end)| Step::Settle { picks, end }),
        2 => pick.clone().prop_map(Step::Cancel),
        2 => pick.clone().prop_map(Step::CancelDelivery),
        2 => (pick.clone(), 0_u64..3).prop_map(|(pick, due)| Step::Replay { pick, due }),
        1 => pick.clone().prop_map(Step::Purge),
        1 => proptest::bool::ANY.prop_map(|is_early| Step::Expire { is_early }),
        1 => (pick.clone(), 0_u8..9).prop_map(|(pick, number)| Step::KeepPlugin { pick, number }),
        1 => (pick.clone(), 0_u8..9).prop_map(|(pick, number)| Step::KeepChannel { pick, number }),
        2 => (pick, 0_u8..9).prop_map(|(pick, number)| Step::KeepCallback { pick, number }),
        4 => (0..CHANNELS.len(), "[ab]{1,2}", proptest::option::weighted(0.8, 0_usize..40), proptest::option::of(0_u64..6))
            .prop_map(|(channel, key, value, expected)| Step::Keep { channel, key, value, expected }),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..60)
}

/// Runs random sequences, each at a place of its own.
pub(crate) fn any_sequence_of_steps_ends_as_in_the_model<P: Place>(place: impl Fn() -> P) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    // A case is some 60 commits and 300 reads.
    let config = Config { cases: 48, failure_persistence: None, ..Config::default() };
    let checked = TestRunner::new(config).run(&steps(), |steps| {
        let place = place();
        runtime.block_on(follow(&place, steps));
        Ok(())
    });
    if let Err(error) = checked {
        panic!("{error}");
    }
}

async fn follow(place: &dyn Place, steps: Vec<Step>) {
    let mut pair =
        Pair { store: open(place).await, model: Model::default(), claims: Vec::new(), accepted: 0, expired: 0 };
    for step in steps {
        if let Step::Reopen = step {
            pair.store.close().await;
            pair.store = open(place).await;
            // Numbers of claims may come again; whoever held one has gone with the process.
            pair.claims.clear();
            pair.model.reopen();
        } else {
            pair.take(step).await;
        }
        pair.compare().await;
    }
    pair.store.close().await;
}

struct Pair {
    store: Arc<dyn Store>,
    model: Model,
    /// Every claim handed out, also those that ended.
    claims: Vec<Claim>,
    accepted: u32,
    /// How often what had expired was ended.
    expired: u64,
}

impl Pair {
    async fn take(&mut self, step: Step) {
        match step {
            Step::Accept { deliveries, due, key, dedupe } => {
                let channels: Vec<_> = deliveries.iter().map(|channel| CHANNELS[*channel]).collect();
                let mut planned = planned_at(self.accepted, at(due), &channels);
                planned.idempotency = key.map(|key| idempotency(key, deliveries.len() as u8));
                for (delivery, channel) in planned.deliveries.iter_mut().zip(&deliveries) {
                    delivery.dedupe = dedupe.map(|key| once(100 + 10 * key + *channel as u8));
                }
                let accepted = self.store.accept(vec![planned.clone()]).await.unwrap().remove(0);
                self.accepted += u32::from(matches!(accepted, Accepted::New { .. }));
                assert_eq!(accepted, self.model.accept(&planned));
            }
            Step::AcceptAgain(pick) => {
                if let Some(known) = pick.checked_rem(self.accepted as usize) {
                    let both = vec![planned(self.accepted, &["mail"]), planned(known as u32, &["mail"])];
                    assert!(self.store.accept(both).await.is_err());
                }
            }
            Step::Claim { picks, now } => self.claim(&picks, at(now)).await,
            Step::Release(pick) => {
                if let Some(index) = pick.checked_rem(self.claims.len()) {
                    let number = self.claims[index].number;
                    self.store.release(&[number]).await.unwrap();
                    self.model.release(number);
                }
            }
            Step::Settle { picks, end } => self.settle(&picks, end).await,
            Step::Cancel(pick) => {
                // One more than there are: sometimes it is unknown.
                let id = id(pick as u32 % (self.accepted + 1));
                let cancelled = self.store.cancel(id, at(7), BY).await.unwrap();
                assert_eq!(cancelled, self.model.cancel(id, at(7)));
            }
            Step::CancelDelivery(pick) => {
                let id = self.pick(pick);
                let cancelled = self.store.cancel_delivery(id, at(7), BY).await.unwrap();
                assert_eq!(cancelled, self.model.cancel_delivery(id, at(7)));
            }
            Step::Replay { pick, due } => {
                let delivery = self.pick(pick);
                let replay = Replay { delivery, due: at(due) };
                let replayed = self.store.replay(vec![replay], at(8), BY).await.unwrap();
                assert_eq!(replayed, [self.model.replay(replay, at(8))]);
            }
            Step::Purge(pick) => {
                let id = self.pick(pick);
                assert_eq!(self.store.purge(vec![id], NOW, BY).await.unwrap(), self.model.purge(id));
            }
            Step::Expire { is_early } => {
                let now = at(9_000 + 10_000 * self.expired - u64::from(is_early));
                self.expired += u64::from(!is_early);
                assert_eq!(self.store.expire(now, 1_000).await.unwrap(), self.model.expire(now));
                self.store.tell_progress(now).await.unwrap();
                self.model.tell_held_back(now);
            }
            Step::KeepPlugin { pick, number } => self.keep_plugin(pick, number).await,
            Step::KeepChannel { pick, number } => self.keep_channel(pick, number).await,
            Step::KeepCallback { pick, number } => self.keep_callback(pick, number).await,
            Step::Keep { channel: name, key, value, expected } => {
                let change = value.map_or(KvChange::Remove, |bytes| KvChange::Set(vec![7; bytes]));
                let quota = KvQuota { bytes: 90, keys: 4 };
                let write = KvWrite { channel: channel(CHANNELS[name]), key, change, expected, quota };
                let written = self.store.kv_write(write.clone()).await.unwrap();
                assert_eq!(written, self.model.kv_write(write));
            }
            Step::Reopen => {}
        }
    }

    async fn keep_plugin(&mut self, pick: usize, number: u8) {
        let name = CHANNELS[pick % CHANNELS.len()];
        let change = PluginChange::ALL[pick % PluginChange::ALL.len()];
        let (books, events) = (vec![book(name, number)], vec![plugin_event(name, change)]);
        self.model.keep_plugins(&books, &events);
        self.store.keep_plugins(books, events, Vec::new()).await.unwrap();
    }

    async fn keep_channel(&mut self, pick: usize, number: u8) {
        let name = CHANNELS[pick % CHANNELS.len()];
        let change = ChannelChange::ALL[pick % ChannelChange::ALL.len()];
        let (books, events) = (vec![channel_book(name, number)], vec![channel_event(name, change)]);
        self.model.keep_channels(&books, &events);
        self.store.keep_channels(books, events, Vec::new()).await.unwrap();
    }

    async fn keep_callback(&mut self, pick: usize, number: u8) {
        let name = callbacks::callback(CHANNELS[pick % CHANNELS.len()]);
        let event = u64::from(number) + 1;
        let mut change = CallbackChange::default();
        match number % 5 {
            0 => change.books.push(callbacks::book(name.as_str(), event)),
            1 => change.owed.push(callbacks::owed(name.as_str(), event)),
            2 => change.settled.push((name, event - 1)),
            3 => change.dead.push(callbacks::dead(name.as_str(), event)),
            _ => {
                change.forgotten.push(name);
                change.revived.push(pick as u64 % 4);
            }
        }
        self.model.keep_callbacks(&change);
        self.store.keep_callbacks(change).await.unwrap();
    }

    /// One of the deliveries there are, or one that is not there.
    fn pick(&self, pick: usize) -> DeliveryId {
        let known = &self.model.deliveries;
        known.keys().nth(pick % (known.len() + 1)).copied().unwrap_or(NotificationId::LAST.delivery(0))
    }

    async fn claim(&mut self, picks: &[usize], now: Timestamp) {
        let known: Vec<_> = self.model.deliveries.keys().copied().collect();
        let mut ids: Vec<_> =
            picks.iter().filter_map(|pick| known.get(pick.checked_rem(known.len())?).copied()).collect();
        ids.sort();
        ids.dedup();
        let mut claims = self.store.claim(&ids, now).await.unwrap();
        claims.sort_by_key(|claim| claim.delivery);
        let claimed: Vec<_> = claims.iter().map(|claim| claim.delivery).collect();
        assert_eq!(claimed, self.model.claimable(&ids, now));
        for claim in claims {
            let kept = &self.model.deliveries[&claim.delivery];
            let state = DeliveryState::Waiting(claim.progress.clone());
            assert_eq!((&state, &claim.lane()), (&kept.state, &kept.lane));
            self.model.claims.insert(claim.delivery, claim.number);
            self.claims.push(claim);
        }
    }

    async fn settle(&mut self, picks: &[usize], end: usize) {
        let picked = picks.iter().filter_map(|pick| self.claims.get(pick.checked_rem(self.claims.len())?));
        let settlements: Vec<_> = picked
            .map(|claim| {
                let attempts = claim.progress.attempts + 1;
                let was_accepted = claim.progress.accepted.is_some();
                // What a provider took is never sent again.
                let again = if was_accepted { accepted } else { waiting };
                let ends = [sent(attempts), failed(attempts), again(at(0), attempts), again(at(3), attempts)];
                match ends.get(end) {
                    Some(state) => settlement(claim, state.clone()),
                    None if end == 4 && was_accepted => {
                        // The provider had nothing new to say.
                        Settlement { attempt: None, ..settlement(claim, accepted(at(2), attempts - 1)) }
                    }
                    None if end == 4 => settlement(claim, accepted(at(2), attempts)),
                    // What a provider took goes no other way.
                    None if end == 5 && !was_accepted => {
                        let to = channel(CHANNELS[attempts as usize % CHANNELS.len()]);
                        let recipient = Recipient { address: "b@another".to_owned(), ..Recipient::default() };
                        let reroute = Some(Box::new(Reroute { to, recipient, reason: "exhausted".to_owned() }));
                        Settlement { reroute, ..settlement(claim, waiting(at(1), attempts)) }
                    }
                    // Without a call, as when it expired.
                    None => Settlement { attempt: None, ..settlement(claim, failed(attempts - 1)) },
                }
            })
            .collect();
        let expected: Vec<_> = settlements.iter().map(|one| self.model.settle(one)).collect();
        self.model.tell();
        assert_eq!(self.store.settle(settlements).await.unwrap(), expected);
    }

    async fn compare(&self) {
        let Self { store, model, .. } = self;
        let mut waiting = 0;
        for name in CHANNELS {
            let lane = lane(Priority::Normal, name);
            let page = store.page(&lane, None, 1_000).await.unwrap();
            assert_eq!(page, model.page(&lane));
            waiting += page.len() as u64;
        }
        let lanes = store.lanes().await.unwrap();
        assert_eq!(lanes.iter().map(|depth| depth.waiting).sum::<u64>(), waiting);
        assert_eq!(store.count().await.unwrap().open, waiting);

        assert_eq!(store.plugins().await.unwrap(), model.plugins.values().cloned().collect::<Vec<_>>());
        assert_eq!(store.channels().await.unwrap(), model.channels.values().cloned().collect::<Vec<_>>());
        self.compare_callbacks().await;
        let outbox = store.outbox(0, 10_000).await.unwrap();
        assert!(outbox.iter().zip(1..).all(|(event, number)| event.number == number));
        let events: Vec<_> = outbox.into_iter().map(|numbered| numbered.event).collect();
        assert_eq!(events, model.events);
        let range = store.event_range().await.unwrap();
        assert_eq!((range.oldest, range.newest), (1, model.events.len() as u64));

        let dead = store.dead_letters(DeadLetterFilter::default(), None, 1_000).await.unwrap();
        let dead: BTreeSet<_> = dead.dead_letters.iter().map(|dead| dead.delivery.id).collect();
        assert_eq!(dead, model.dead);

        let retrying = |kept: &&Kept| kept.state.status() == DeliveryStatus::Retrying;
        let StoreTotals { dead_letters, retrying: waiting_again, next_expiry, next_progress, .. } = store.totals();
        assert_eq!((next_expiry, next_progress), (model.next_expiry(), model.next_progress()));
        let expected = (model.dead.len() as u64, model.deliveries.values().filter(retrying).count() as u64);
        assert_eq!((dead_letters, waiting_again), expected);

        let mut keys = 0;
        for name in CHANNELS.map(channel) {
            for key in store.kv_keys(&name, "", None, 1_000).await.unwrap() {
                let entry = store.kv_get(&name, &key).await.unwrap();
                assert_eq!(entry.as_ref(), model.kv.get(&(name.clone(), key)));
                keys += 1;
            }
        }
        assert_eq!(keys, model.kv.len());

        assert_eq!(store.counts(NotificationId::LAST).await.unwrap(), None);
        for n in 0..self.accepted {
            let record = store.notification(id(n)).await.unwrap().expect("it was accepted");
            assert_eq!(store.counts(id(n)).await.unwrap(), Some(record.counts));
            assert_eq!(record.counts, model.counts_of(id(n)));
            for delivery in record.deliveries {
                let kept = &model.deliveries[&delivery.id];
                assert_eq!((&delivery.state, &delivery.attempts), (&kept.state, &kept.attempts));
                assert_eq!((&delivery.channel, &delivery.reroutes), (&kept.lane.channel, &kept.reroutes));
            }
        }
    }

    async fn compare_callbacks(&self) {
        let Self { store, model, .. } = self;
        assert_eq!(store.callbacks().await.unwrap(), model.callbacks.values().cloned().collect::<Vec<_>>());
        let mut owed = Vec::new();
        for name in model.owed.keys().map(|(name, _)| name).collect::<BTreeSet<_>>() {
            owed.extend(store.owed_callbacks(name, 0, 1_000).await.unwrap());
        }
        assert_eq!(owed, model.owed.values().cloned().collect::<Vec<_>>());
        let dead = store.dead_callbacks(&DeadCallbackFilter::default(), 0, 1_000).await.unwrap();
        assert_eq!(dead, model.dead_callbacks.values().cloned().collect::<Vec<_>>());
        assert_eq!(store.totals().dead_callbacks, dead.len() as u64);
    }
}

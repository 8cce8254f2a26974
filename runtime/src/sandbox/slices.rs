//! A call's future, cut into slices: it runs freely up to its first yield, and takes a turn for each slice after that.
//!
//! Of a plugin that was stopped no call has another slice; what waits for the host is let come to its end, since a
//! provider may have taken it already.
//!
//! A guest that waits for the host holds no turn. That it yielded because of its fuel is seen by the wake that comes
//! from within the poll.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};

use futures_util::task::{ArcWake, AtomicWaker, waker_ref};
use tokio::time::Instant;

use super::limits::{HOST_BYTES_MAX, HOST_CALLS_MAX, Refusal};
use super::turns::{Lane, Ticket, Turnstile};

/// What is known of a call from outside of its store, which its future borrows.
#[derive(Default)]
pub(super) struct Pulse {
    host_calls: AtomicU32,
    host_bytes: AtomicU64,
    woken: AtomicBool,
    waker: AtomicWaker,
}

impl Pulse {
    /// The guest calls the host. Judged when the slice is over, so that no interface of the host can forget to.
    pub(super) fn host_call(&self) {
        // One guest, one thread at a time: no need for more than a plain addition.
        self.host_calls.store(self.host_calls.load(Ordering::Relaxed).saturating_add(1), Ordering::Relaxed);
    }

    /// The guest hands so many bytes to the host, which costs it no fuel.
    pub(super) fn hand_over(&self, bytes: u64) -> Result<(), Refusal> {
        let handed = self.host_bytes.load(Ordering::Relaxed).saturating_add(bytes);
        self.host_bytes.store(handed, Ordering::Relaxed);
        if handed > HOST_BYTES_MAX { Err(Refusal::HostBytes { limit: HOST_BYTES_MAX }) } else { Ok(()) }
    }

    fn judge(&self) -> Result<(), Refusal> {
        if self.host_calls.load(Ordering::Relaxed) > HOST_CALLS_MAX {
            return Err(Refusal::HostCalls { limit: HOST_CALLS_MAX });
        }
        Ok(())
    }
}

impl ArcWake for Pulse {
    fn wake_by_ref(pulse: &Arc<Self>) {
        pulse.woken.store(true, Ordering::Relaxed);
        pulse.waker.wake();
    }
}

/// What a call was at when it was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pause {
    /// Between two slices.
    Running,
    /// In line for its next slice.
    InLine,
    /// Waiting for the host: a provider, a clock.
    Waiting,
}

/// The future of a call.
pub(super) struct Sliced<'a, F> {
    run: Pin<&'a mut F>,
    pulse: Arc<Pulse>,
    turnstile: &'a Arc<Turnstile>,
    lane: Lane,
    /// Set when the plugin is not to be called any more.
    stopped: Option<&'a AtomicBool>,
    stage: Stage,
}

enum Stage {
    /// Nothing has run.
    New,
    /// Ran, and used up no slice.
    Short,
    /// Used up slices: takes a turn for each. Told whether it yielded, or waits for the host; and, until the first is
    /// over, that the first was not free.
    Long { ticket: Ticket, yielded: bool, first: bool },
}

impl<'a, F: Future> Sliced<'a, F> {
    pub(super) fn new(run: Pin<&'a mut F>, pulse: Arc<Pulse>, turnstile: &'a Arc<Turnstile>, lane: Lane) -> Self {
        Self { run, pulse, turnstile, lane, stopped: None, stage: Stage::New }
    }

    /// Ends at its next slice once this is set.
    pub(super) fn until(self, stopped: Option<&'a AtomicBool>) -> Self {
        Self { stopped, ..self }
    }

    fn is_stopped(&self) -> bool {
        self.stopped.is_some_and(|stopped| stopped.load(Ordering::Acquire))
    }

    /// What it is at.
    pub(super) fn pause(&self) -> Pause {
        match &self.stage {
            Stage::Long { ticket, .. } if ticket.is_in_line() => Pause::InLine,
            Stage::New | Stage::Long { yielded: true, .. } => Pause::Running,
            Stage::Short | Stage::Long { yielded: false, .. } => Pause::Waiting,
        }
    }

    fn ticket(&self) -> Ticket {
        self.turnstile.ticket(self.lane.clone())
    }

    /// A poll is over. Tells whether it ended at its first slice, one that was not free.
    fn note(&mut self, yielded: bool) {
        match &mut self.stage {
            Stage::New | Stage::Short if yielded => {
                self.turnstile.first_slice(&self.lane, true);
                let mut ticket = self.ticket();
                ticket.ask();
                self.stage = Stage::Long { ticket, yielded, first: false };
            }
            Stage::New | Stage::Short => self.stage = Stage::Short,
            Stage::Long { ticket, yielded: before, first } => {
                if yielded {
                    ticket.ask_again();
                    // The system would let a thread that computes run on for milliseconds. Whoever was woken meanwhile,
                    // the store's writer above all, is not to wait for a core so long.
                    std::thread::yield_now();
                } else {
                    ticket.pass();
                }
                if std::mem::take(first) {
                    self.turnstile.first_slice(&self.lane, yielded);
                }
                *before = yielded;
            }
        }
    }
}

impl<F: Future> Future for Sliced<'_, F> {
    type Output = Result<F::Output, Refusal>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if matches!(this.stage, Stage::New) && !this.turnstile.begin(&this.lane, Instant::now()) {
            this.stage = Stage::Long { ticket: this.ticket(), yielded: true, first: true };
        }
        if let Stage::Long { ticket, yielded: true, .. } = &mut this.stage
            && ticket.poll_turn(cx).is_pending()
        {
            return Poll::Pending;
        }
        // Those in line each come to their turn, and pass it on at once.
        if this.pause() == Pause::Running && this.is_stopped() {
            return Poll::Ready(Err(Refusal::Stopped));
        }
        this.pulse.waker.register(cx.waker());
        this.pulse.woken.store(false, Ordering::Relaxed);
        let polled = {
            let waker = waker_ref(&this.pulse);
            this.run.as_mut().poll(&mut Context::from_waker(&waker))
        };
        let yielded = polled.is_pending() && this.pulse.woken.load(Ordering::Relaxed);
        this.note(yielded);
        this.pulse.judge()?;
        polled.map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::{pending, poll_fn};
    use std::pin::pin;

    use futures_util::task::noop_waker_ref;

    use super::*;
    use crate::domain::ChannelName;

    fn lane(name: &str) -> Lane {
        Lane::Channel(ChannelName::new(name).expect("it is a name"))
    }

    /// A guest that uses up so many slices, and tells of each.
    async fn burn(slices: u32, mut burnt: impl FnMut()) {
        for _ in 0..slices {
            burnt();
            let mut yielded = false;
            poll_fn(|cx| {
                if std::mem::replace(&mut yielded, true) {
                    return Poll::Ready(());
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
        }
    }

    fn poll<F: Future>(sliced: &mut Sliced<'_, F>) -> Poll<Result<F::Output, Refusal>> {
        Pin::new(sliced).poll(&mut Context::from_waker(noop_waker_ref()))
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_slice_is_free_and_the_rest_are_taken_in_turn() {
        let turnstile = Turnstile::new(1);
        let (hog, good) = (Cell::new(0), Cell::new(0));
        let count = |cell: &Cell<u32>| cell.set(cell.get() + 1);
        let (hog_run, good_run) = (pin!(burn(9, || count(&hog))), pin!(burn(3, || count(&good))));
        let mut hog_call = Sliced::new(hog_run, Arc::default(), &turnstile, lane("hog"));
        let mut good_call = Sliced::new(good_run, Arc::default(), &turnstile, lane("good"));
        let mut polls = 0;
        while poll(&mut good_call).is_pending() {
            let _ = poll(&mut hog_call);
            polls += 1;
        }
        assert!(polls <= 6, "it is never held up by more than one slice: {polls}");
        assert!((3..=6).contains(&hog.get()) && good.get() == 3, "{hog:?}, {good:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_the_host_holds_no_turn() {
        let turnstile = Turnstile::new(1);
        let waiting = pin!(async {
            burn(1, || {}).await;
            pending::<()>().await;
        });
        let mut waiting = Sliced::new(waiting, Arc::default(), &turnstile, lane("slow"));
        assert!(poll(&mut waiting).is_pending());
        assert_eq!(waiting.pause(), Pause::Running);
        assert!(poll(&mut waiting).is_pending());
        assert_eq!(waiting.pause(), Pause::Waiting);
        let busy = pin!(burn(3, || {}));
        let mut busy = Sliced::new(busy, Arc::default(), &turnstile, lane("busy"));
        let polls = std::iter::from_fn(|| poll(&mut busy).is_pending().then_some(())).count();
        assert_eq!(polls, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_of_hogs_waits_with_its_first_slice_as_well() {
        let turnstile = Turnstile::new(1);
        for _ in 0..8 {
            turnstile.first_slice(&lane("hog"), true);
        }
        let mut other = turnstile.ticket(lane("good"));
        assert!(other.poll_turn(&Context::from_waker(noop_waker_ref())).is_ready());
        let mut ran = false;
        let run = pin!(async { ran = true });
        let mut fresh = Sliced::new(run, Arc::default(), &turnstile, lane("hog"));
        assert!(poll(&mut fresh).is_pending());
        assert_eq!(fresh.pause(), Pause::InLine);
        other.pass();
        assert!(poll(&mut fresh).is_ready());
        drop(fresh);
        assert!(ran);
        assert!(turnstile.begin(&lane("hog"), Instant::now()), "a short call speaks for its lane");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stopped_plugin_burns_no_further_slice_and_loses_no_answer_that_is_on_its_way() {
        let (turnstile, stopped) = (Turnstile::new(1), AtomicBool::new(false));
        let burnt = Cell::new(0);
        let (running, waiting) = (pin!(burn(9, || burnt.set(burnt.get() + 1))), pin!(burn(9, || ())));
        let answered = Cell::new(false);
        let slow = pin!(poll_fn(|_| if answered.get() { Poll::Ready(()) } else { Poll::Pending }));
        let mut running = Sliced::new(running, Arc::default(), &turnstile, lane("hog")).until(Some(&stopped));
        let mut waiting = Sliced::new(waiting, Arc::default(), &turnstile, lane("hog")).until(Some(&stopped));
        let mut slow = Sliced::new(slow, Arc::default(), &turnstile, lane("hog")).until(Some(&stopped));
        assert!(poll(&mut running).is_pending() && poll(&mut waiting).is_pending() && poll(&mut slow).is_pending());
        let before = burnt.get();
        stopped.store(true, Ordering::Release);
        assert!(matches!(poll(&mut running), Poll::Ready(Err(Refusal::Stopped))));
        drop(running);
        assert!(matches!(poll(&mut waiting), Poll::Ready(Err(Refusal::Stopped))));
        assert_eq!(burnt.get(), before);
        assert!(poll(&mut slow).is_pending());
        answered.set(true);
        assert!(matches!(poll(&mut slow), Poll::Ready(Ok(()))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_storm_of_host_calls_ends_with_its_slice() {
        let turnstile = Turnstile::new(1);
        let pulse = Arc::new(Pulse::default());
        let inner = Arc::clone(&pulse);
        let run = pin!(burn(u32::MAX, move || (0..1_000).for_each(|_| inner.host_call())));
        let mut storm = Sliced::new(run, pulse, &turnstile, lane("storm"));
        let polls = std::iter::from_fn(|| poll(&mut storm).is_pending().then_some(())).count();
        assert_eq!(polls, (HOST_CALLS_MAX / 1_000) as usize);
    }
}

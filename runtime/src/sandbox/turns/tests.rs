use std::time::Duration;

use futures_util::task::noop_waker_ref;
use proptest::prelude::*;

use super::*;

fn lane(name: &str) -> Lane {
    Lane::Channel(ChannelName::new(name).expect("it is a name"))
}

fn has_turn(ticket: &mut Ticket) -> bool {
    ticket.poll_turn(&Context::from_waker(noop_waker_ref())).is_ready()
}

/// Has so many slices used up, by calls that never have enough: who had them.
fn slices(tickets: &mut [(&'static str, Ticket)], count: usize) -> Vec<&'static str> {
    let mut had = Vec::new();
    while had.len() < count {
        let called: Vec<usize> = (0..tickets.len()).filter(|at| has_turn(&mut tickets[*at].1)).collect();
        assert!(!called.is_empty(), "somebody always has the turn: {had:?}");
        for at in called {
            had.push(tickets[at].0);
            tickets[at].1.ask_again();
        }
    }
    had.truncate(count);
    had
}

#[tokio::test(start_paused = true)]
async fn lanes_take_turns_however_many_calls_one_of_them_has() {
    let turnstile = Turnstile::new(1);
    let mut tickets: Vec<_> = (0..5).map(|_| ("hog", turnstile.ticket(lane("hog")))).collect();
    tickets.push(("good", turnstile.ticket(lane("good"))));
    let had = slices(&mut tickets, 9);
    // It came when the first slice of the other had begun.
    assert_eq!(had, ["hog", "good", "hog", "good", "hog", "good", "hog", "good", "hog"]);
}

#[tokio::test(start_paused = true)]
async fn the_oldest_call_of_a_lane_goes_first_until_it_ends() {
    let turnstile = Turnstile::new(1);
    let (mut old, mut young) = (turnstile.ticket(lane("hog")), turnstile.ticket(lane("hog")));
    assert!(has_turn(&mut old));
    assert!(!has_turn(&mut young));
    for _ in 0..3 {
        old.ask_again();
        assert!(!has_turn(&mut young), "not even one that is polled first");
        assert!(has_turn(&mut old));
    }
    drop(old);
    assert!(has_turn(&mut young));
}

#[tokio::test(start_paused = true)]
async fn a_lane_by_itself_has_every_core_and_one_among_others_has_one() {
    let turnstile = Turnstile::new(2);
    let (mut first, mut second) = (turnstile.ticket(lane("hog")), turnstile.ticket(lane("hog")));
    assert!(has_turn(&mut first) && has_turn(&mut second), "nobody else has work");
    second.pass();
    // Another channel has a call, which asks for no turn: one core is left to it.
    assert!(turnstile.begin(&lane("good"), Instant::now()));
    assert!(!has_turn(&mut second));
    tokio::time::advance(Duration::from_millis(LATELY_MS + 1)).await;
    first.pass();
    assert!(has_turn(&mut first) && has_turn(&mut second), "the other has gone quiet");
}

#[tokio::test(start_paused = true)]
async fn no_more_slices_at_once_than_cores() {
    let turnstile = Turnstile::new(2);
    let mut tickets: Vec<_> = ["a", "b", "c"].map(|name| turnstile.ticket(lane(name))).into();
    assert_eq!(tickets.iter_mut().map(has_turn).collect::<Vec<_>>(), [true, true, false]);
    tickets.remove(0);
    assert!(has_turn(&mut tickets[1]));
}

#[tokio::test(start_paused = true)]
async fn whoever_leaves_the_line_or_dies_with_the_turn_holds_up_nobody() {
    let turnstile = Turnstile::new(1);
    let [mut first, mut second, mut third] = ["a", "b", "c"].map(|name| turnstile.ticket(lane(name)));
    assert!(has_turn(&mut first) && !has_turn(&mut second) && !has_turn(&mut third));
    assert!(second.is_in_line());
    // The second is called and never looks.
    drop(first);
    drop(second);
    assert!(has_turn(&mut third));
    drop(third);
    assert!(turnstile.lock().by_name.is_empty() && turnstile.lock().line.is_empty());
    assert_eq!(turnstile.lock().running, 0);
}

#[tokio::test(start_paused = true)]
async fn a_lane_whose_calls_use_up_their_slices_has_no_free_ones_until_it_does_better() {
    let turnstile = Turnstile::new(1);
    let (hog, good) = (lane("hog"), lane("good"));
    let free = |lane: &Lane| turnstile.begin(lane, Instant::now());
    for _ in 0..OVERRUNS_MAX {
        assert!(free(&hog));
        turnstile.first_slice(&hog, true);
    }
    assert!(!free(&hog));
    assert!(free(&good), "it is the hog's own matter");
    turnstile.first_slice(&hog, false);
    assert!(free(&hog));
    assert_eq!(turnstile.guarded.load(Ordering::Relaxed), 0);
}

proptest! {
    /// Whatever comes in whatever order: bounds hold, nothing gets stuck, and nothing is left behind.
    #[test]
    fn the_books_always_balance(at_once in 1_usize..4, acts in proptest::collection::vec((0_usize..6, 0_u8..4), 1..120)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let _inside = runtime.enter();
        let turnstile = Turnstile::new(at_once);
        let mut tickets: Vec<Option<Ticket>> = (0..6).map(|_| None).collect();
        for (at, act) in acts {
            let name = ["a", "b", "c"][at % 3];
            match act {
                0 => _ = has_turn(tickets[at].get_or_insert_with(|| turnstile.ticket(lane(name)))),
                1 => if let Some(ticket) = &mut tickets[at] { ticket.pass() },
                2 => if let Some(ticket) = &mut tickets[at] { ticket.ask_again() },
                _ => tickets[at] = None,
            }
            let lanes = turnstile.lock();
            let each: Vec<usize> = lanes.by_name.values().map(|queue| queue.running).collect();
            prop_assert!(lanes.running <= at_once && each.iter().sum::<usize>() == lanes.running);
            prop_assert!(lanes.line.is_empty() || lanes.running > 0, "somebody waits while nobody runs");
        }
        tickets.clear();
        let lanes = turnstile.lock();
        prop_assert!(lanes.by_name.is_empty() && lanes.line.is_empty() && lanes.running == 0);
    }
}

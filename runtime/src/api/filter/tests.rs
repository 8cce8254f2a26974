//! A query in, filters or all of its problems out.

use super::*;
use crate::api::cursor;
use crate::api::failure::Failure;
use crate::api::query::Query;
use crate::domain::NotificationId;

/// The filter, or each problem as `place code`, and its hint.
fn read(text: &str) -> Result<(NotificationFilter, bool), Vec<String>> {
    let mut query = Query::read(Some(text));
    let mut problems = Problems::default();
    let filter = notifications(&mut query, &mut problems);
    query.finish(&OF_NOTIFICATIONS, problems).map(|()| filter).map_err(|failure| told(&failure))
}

fn told(failure: &Failure) -> Vec<String> {
    let problems = failure.document().problems;
    let line = |problem: &crate::api::wire::ProblemItem| {
        let hint = problem.hint.as_deref().map(|hint| format!(" {hint}")).unwrap_or_default();
        format!("{} {}{hint}", problem.at, problem.code)
    };
    problems.iter().map(line).collect()
}

#[test]
fn every_filter_has_its_place() {
    let filter = read(
        "status=failed&priority=high&channel=ops-slack&recipient=a%2Bb%40example.com&kind=disk+full&correlation_id=c\
         &metadata=run=4%3D5&delivery_status=retrying&since=2030-01-31T09:30:00Z&until=2030-01-31T11:30:00%2B01:00&due_since=2030-01-31T09:30:00Z\
         &due_until=2030-02-01T00:00:00Z&held=true",
    );
    let at = |millis| Some(Timestamp::from_millis(millis));
    let expected = NotificationFilter {
        status: Some(NotificationStatus::Failed),
        priority: Some(Priority::High),
        kind: Some("disk full".into()),
        correlation_id: Some("c".into()),
        metadata: Some(("run".into(), "4=5".into())),
        delivery_status: Some(DeliveryStatus::Retrying),
        channel: Some(ChannelName::new("ops-slack").expect("a name")),
        recipient: Some("a+b@example.com".into()),
        since: at(1_896_082_200_000),
        until: at(1_896_085_800_000),
        due_since: at(1_896_082_200_000),
        due_until: at(1_896_134_400_000),
        waits_for: None,
    };
    assert_eq!(read("status=failed").map(|(filter, _)| filter.status), Ok(Some(NotificationStatus::Failed)));
    assert_eq!(filter, Ok((expected, true)));
    assert_eq!(read(""), Ok((NotificationFilter::default(), false)));
    assert_eq!(read("held=false"), read(""));
}

#[test]
fn every_problem_of_a_query_is_told_at_once() {
    let problems = read(
        "status=done&priority=urgent&channel=Ops&kind=&correlation_id=a&correlation_id=b&since=yesterday\
         &due_since=2030-01-02T00:00:00Z&due_until=2030-01-01T00:00:00Z&recipent=ada&x=1&metadata=team&delivery_status=held",
    );
    let expected = [
        "since bad-value",
        "due_since conflict",
        "status bad-value",
        "priority bad-value",
        "kind empty",
        "correlation_id duplicate-field",
        "metadata bad-value",
        "delivery_status bad-value",
        "channel bad-value",
        "recipent unknown-field did you mean `recipient`?",
        "x unknown-field",
    ];
    assert_eq!(problems, Err(expected.map(str::to_owned).to_vec()));
    let long = format!("recipient={}", "a".repeat(ADDRESS_BYTES_MAX + 1));
    assert_eq!(read(&long), Err(vec!["recipient too-long".to_owned()]));
    let many = "x=1&".repeat(100);
    assert_eq!(read(&many).map_err(|problems| problems[0].clone()), Err(" too-many".to_owned()));
}

#[test]
fn a_dead_letter_is_asked_for_by_a_reason_that_there_is() {
    let reason = |text: &str| {
        let mut query = Query::read(Some(text));
        let mut problems = Problems::default();
        let filter = dead_letters(&mut query, &mut problems);
        query.finish(&OF_DEAD_LETTERS, problems).map(|()| filter.reason).map_err(|failure| {
            failure.document().problems.into_iter().map(|problem| problem.message).collect::<String>()
        })
    };
    assert_eq!(reason("reason=exhausted"), Ok(Some("exhausted".to_owned())));
    let words = "must be one of `rejected`, `recipient-gone`, `exhausted`, `too-old`, `fault`, `expired`, `poison`";
    assert_eq!(reason("reason=tired"), Err(words.to_owned()));
}

/// The page that this query asks for: its limit and its cursor's place.
fn page(text: &str) -> Result<(usize, Option<NotificationId>), Vec<String>> {
    let mut query = Query::read(Some(text));
    let mut problems = Problems::default();
    let filter = notifications(&mut query, &mut problems);
    let limit = query.limit(&mut problems);
    let before = query.cursor(mark_of_notifications(&filter), &mut problems);
    query.finish(&OF_NOTIFICATIONS, problems).map(|()| (limit, before)).map_err(|failure| told(&failure))
}

#[test]
fn a_page_has_one_to_a_thousand_entries_and_a_hundred_where_nothing_is_said() {
    assert_eq!(page(""), Ok((100, None)));
    assert_eq!(page("limit=1000"), Ok((1_000, None)));
    for limit in ["0", "1001", "-1", "all", "99999999999999999999"] {
        assert_eq!(page(&format!("limit={limit}")), Err(vec!["limit bad-value".to_owned()]), "{limit}");
    }
}

#[test]
fn a_cursor_goes_with_the_same_filters_however_they_are_written() {
    let id = NotificationId::from_bytes([7; 16]);
    let filter = read("since=2030-01-31T09:30:00Z&kind=a").expect("a filter");
    let cursor = cursor::write(&id, mark_of_notifications(&filter));
    let same = format!("kind=%61&cursor={cursor}&since=2030-01-31T10:30:00.000%2B01:00&limit=5");
    assert_eq!(page(&same), Ok((5, Some(id))));
    let other = format!("kind=b&since=2030-01-31T09:30:00Z&cursor={cursor}");
    assert_eq!(page(&other), Err(vec!["cursor bad-value".to_owned()]));
    // What is wrong with the filters is the cause: the cursor is not blamed.
    let broken = format!("kind=a&since=then&cursor={cursor}");
    assert_eq!(page(&broken), Err(vec!["since bad-value".to_owned()]));
}

//! Where a notification has what happens to it told: taken, kept, part of what a key stands for, and refused.

use super::*;

const URL: &str = "https://hooks.example.com/done?token=canary";

fn with_url(url: &str) -> Submission {
    Submission { callback_url: Some(url.to_owned()), ..to_console() }
}

async fn refusal(url: &str) -> Problem {
    let intake = intake();
    let Err(SubmitError::Invalid(problems)) = intake.submit(with_url(url)).await else { panic!("it was taken") };
    assert!(is_empty(&intake).await);
    let [problem] = problems.as_slice() else { panic!("{problems:?}") };
    assert_eq!(problem.at, "/callback_url");
    assert!(!format!("{problem:?}").contains("canary"), "{problem:?}");
    problem.clone()
}

#[tokio::test]
async fn a_url_that_may_be_called_is_kept_with_its_notification() {
    let intake = intake();
    let id = intake.submit(with_url(URL)).await.expect("it is taken").id;
    let kept = record(&intake, id).await.callback_url.expect("it is kept");
    assert_eq!(kept.as_str(), URL);
    let plain = intake.submit(to_console()).await.expect("it is taken").id;
    assert_eq!(record(&intake, plain).await.callback_url, None);
    let called = intake.store.callback_urls(vec![plain, id]).await.expect("the store reads");
    assert_eq!(called, [(id, kept)]);
    // A large one as well, and one of a batch.
    let addresses: Vec<String> = (0..1_500).map(|n| format!("{n}@b")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let large = Submission { callback_url: Some(URL.to_owned()), ..to_mail(&addresses) };
    let answers = intake.submit_batch(vec![large, with_url("nowhere")]).await.expect("they are looked at");
    let [Ok(large), Err(problems)] = &answers[..] else { panic!("{answers:?}") };
    assert!(problems.any_under("/callback_url"), "{problems:?}");
    assert!(record(&intake, large.id).await.callback_url.is_some());
}

#[tokio::test]
async fn another_url_is_another_content_for_the_same_key() {
    let intake = intake();
    let with_key = |url: &str| Submission { idempotency_key: Some("order-7".to_owned()), ..with_url(url) };
    let first = intake.submit(with_key(URL)).await.expect("it is taken");
    let again = intake.submit(with_key(URL)).await.expect("it was taken");
    assert_eq!((again.id, again.replayed), (first.id, true));
    let Err(SubmitError::Invalid(problems)) = intake.submit(with_key("https://hooks.example.com/other")).await else {
        panic!("it was taken")
    };
    assert!(problems.any_under("/idempotency_key"), "{problems:?}");
}

#[tokio::test]
async fn what_is_no_url_or_may_not_be_called_is_refused_at_its_place() {
    for (url, code, said) in [
        ("canary", ProblemCode::BadValue, "is no absolute URL"),
        ("ftp://hooks.example.com/canary", ProblemCode::BadValue, "must begin with `https://`"),
        ("https://ada:canary@hooks.example.com/", ProblemCode::BadValue, "carries credentials"),
        ("https://hooks.example.com:0/canary", ProblemCode::BadValue, "has port 0"),
        ("https://hooks.example.com/#canary", ProblemCode::BadValue, "has a fragment"),
        ("https://other.example.com/canary", ProblemCode::BadValue, "is not called"),
    ] {
        let problem = refusal(url).await;
        assert_eq!(problem.code, code, "{url}");
        assert!(problem.message.starts_with(said), "{url}: {problem:?}");
    }
    let long = format!("https://hooks.example.com/{}", "a".repeat(2_048));
    let problem = refusal(&long).await;
    assert_eq!((problem.code, problem.message.as_str()), (ProblemCode::TooLong, "2074 bytes, the limit is 2048"));
}

#[tokio::test]
async fn without_a_key_to_sign_with_the_line_is_named_that_gives_one() {
    let problem = refusal("https://off.example.com/canary").await;
    assert_eq!(problem.code, ProblemCode::CallbacksOff);
    assert!(problem.message.contains("`[callbacks] secret`"), "{problem:?}");
    let hint = problem.hint.expect("what to do");
    assert!(hint.contains("write `secret = \"env:NAME\"` under `[callbacks]`"), "{hint}");
}

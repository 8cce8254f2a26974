//! The template engine that comes with the program, at the edge of its own limits: there it answers with a problem, and
//! neither its stack nor the default CPU time is used up.

use std::sync::Arc;

use super::rig;
use crate::call::{RenderCall, RenderFailure};
use crate::config::CallLimits;
use crate::domain::{PluginName, Timestamp};

async fn text(parts: &[(&str, String)], data: &str) -> Result<String, String> {
    let minijinja = rig::prepare("minijinja").await.expect("it is a plugin");
    let limits = CallLimits { fuel: Some(200_000_000), ..CallLimits::default() };
    let (includes, parts): (Vec<_>, Vec<_>) = parts
        .iter()
        .map(|(name, text)| ((*name).to_owned(), text.clone()))
        .partition(|(name, _)| name.starts_with('_'));
    let call = RenderCall {
        engine: PluginName::new("minijinja").expect("it is a name"),
        template: "deep".to_owned(),
        parts: Arc::new(parts),
        includes: Arc::new(includes),
        data: data.to_owned(),
        locale: None,
        time_zone: None,
        strict: true,
        now: Timestamp::from_millis(5),
    };
    let checked = minijinja.check(&call, &limits).await;
    match minijinja.render(&call, &limits).await {
        Ok(parts) => {
            assert!(checked.is_ok(), "{checked:?}");
            Ok(parts[0].1.clone())
        }
        Err(RenderFailure::Problem(problem)) => Err(problem.message),
        Err(failure) => panic!("it should be a problem: {failure:?}"),
    }
}

#[tokio::test]
async fn deep_expressions_end_in_a_problem_of_the_template() {
    let nested = |depth| format!("{{{{ {}1{} }}}}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(text(&[("text", nested(60))], "{}").await.as_deref(), Ok("1"));
    let error = text(&[("text", nested(1000))], "{}").await.unwrap_err();
    assert!(error.contains("recursion"), "{error}");
    let lists = format!("{{{{ {}1{} }}}}", "[".repeat(1000), "]".repeat(1000));
    let error = text(&[("text", lists)], "{}").await.unwrap_err();
    assert!(error.contains("recursion"), "{error}");
}

#[tokio::test]
async fn deep_blocks_end_in_a_problem_of_the_template() {
    let blocks = |depth| format!("{}x{}", "{% if 1 %}".repeat(depth), "{% endif %}".repeat(depth));
    assert_eq!(text(&[("text", blocks(60))], "{}").await.as_deref(), Ok("x"));
    let error = text(&[("text", blocks(1000))], "{}").await.unwrap_err();
    assert!(error.contains("recursion"), "{error}");
}

#[tokio::test]
async fn endless_recursion_ends_in_a_problem_of_the_template() {
    let recursive = [
        vec![("text", "{% include 'text' %}".to_owned())],
        vec![("text", "{% include '_a' %}".to_owned()), ("_a", "{% include '_a' %}".to_owned())],
        vec![("text", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}".to_owned())],
        vec![("text", "{% for a in [[]] recursive %}{{ loop([[]]) }}{% endfor %}".to_owned())],
    ];
    for parts in recursive {
        let error = text(&parts, "{}").await.unwrap_err();
        assert!(error.contains("recursion limit exceeded"), "{error}");
    }
}

#[tokio::test]
async fn deep_data_is_printed_or_a_problem() {
    let data = |depth| format!("{{\"a\": {}1{}}}", "[".repeat(depth), "]".repeat(depth));
    let print = || vec![("text", "{{ a }} {{ a | tojson }} {{ a == a }}".to_owned())];
    assert!(text(&print(), &data(120)).await.is_ok());
    let error = text(&print(), &data(100_000)).await.unwrap_err();
    assert!(error.starts_with("the data is not JSON"), "{error}");
}

#[tokio::test]
async fn a_loop_that_runs_away_ends_before_the_cpu_time_does() {
    let body = "{% for a in range(9000) %}{% for b in range(9000) %}{{ a | string | upper }}{% endfor %}{% endfor %}";
    assert_eq!(text(&[("text", body.to_owned())], "{}").await.unwrap_err(), "engine ran out of fuel");
}

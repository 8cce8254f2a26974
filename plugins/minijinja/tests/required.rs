//! A variable is called required only where every strict rendering fails without it.

use campanile_plugin_sdk::{Part, RenderOptions, Template, TemplateEngine};
use minijinja::Minijinja;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

const FILTERS: [&str; 9] =
    ["upper", "default", "length", "tojson", "list", "first", "default('x')", "join(',')", "string"];

fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![prop::sample::select(&NAMES[..]).prop_map(str::to_owned), Just("1".to_owned())];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), prop::sample::select(&FILTERS[..])).prop_map(|(e, filter)| format!("({e})|{filter}")),
            (inner.clone(), inner.clone(), prop::sample::select(&["+", "~", "and", "or", "==", "in", "<", "*"][..]))
                .prop_map(|(left, right, operator)| format!("({left} {operator} {right})")),
            inner.clone().prop_map(|e| format!("({e}).x")),
            inner.clone().prop_map(|e| format!("({e})[0]")),
            inner.clone().prop_map(|e| format!("(not {e})")),
            inner.clone().prop_map(|e| format!("(-{e})")),
            inner.clone().prop_map(|e| format!("({e} is defined)")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a} if {b} else {c})")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("[{a}, {b}]")),
        ]
    })
}

fn statement() -> impl Strategy<Value = String> {
    let name = || prop::sample::select(&NAMES[..]);
    let leaf = prop_oneof![expression().prop_map(|e| format!("{{{{ {e} }}}}")), Just("text".to_owned())];
    leaf.prop_recursive(3, 12, 3, move |inner| {
        prop_oneof![
            (expression(), inner.clone(), inner.clone())
                .prop_map(|(e, yes, no)| format!("{{% if {e} %}}{yes}{{% else %}}{no}{{% endif %}}")),
            (name(), expression(), inner.clone())
                .prop_map(|(n, e, body)| format!("{{% for {n} in {e} %}}{body}{{% else %}}-{{% endfor %}}")),
            (name(), expression(), inner.clone()).prop_map(|(n, e, then)| format!("{{% set {n} = {e} %}}{then}")),
            (name(), expression(), inner.clone())
                .prop_map(|(n, e, body)| format!("{{% with {n} = {e} %}}{body}{{% endwith %}}")),
            (name(), inner.clone(), inner.clone())
                .prop_map(|(n, body, then)| format!("{{% macro m({n}) %}}{body}{{% endmacro %}}{then}{{{{ m(1) }}}}")),
            inner.clone().prop_map(|body| format!("{{% filter upper %}}{body}{{% endfilter %}}")),
            (inner.clone(), inner.clone()).prop_map(|(first, second)| format!("{first}{second}")),
            inner.prop_map(|then| format!("{{% include 'shared' %}}{then}")),
        ]
    })
}

fn part(name: &str, value: String) -> Part {
    Part { name: name.to_owned(), value }
}

proptest! {
    // A failing case goes into `cases/` by hand.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_rendering_without_a_required_variable_fails(
        text in statement(),
        shared in statement(),
        values in prop::collection::vec(prop::sample::select(vec![
            json!(null), json!(0), json!(3), json!(""), json!("x"), json!([1]), json!([]), json!({"x": 1}), json!(true),
        ]), 4),
    ) {
        let template = Template {
            name: "t".to_owned(),
            parts: vec![part("text", text)],
            includes: vec![part("shared", shared)],
        };
        let Ok(info) = Minijinja::check(&template) else { return Ok(()) };
        let data: Map<String, Value> = NAMES.iter().map(|name| (*name).to_owned()).zip(values).collect();
        let options = RenderOptions { strict: true, ..RenderOptions::default() };
        for variable in info.variables.iter().filter(|variable| variable.required) {
            let mut without = data.clone();
            without.remove(&variable.name);
            let rendered = Minijinja::render(&template, &Value::Object(without).to_string(), &options);
            prop_assert!(rendered.is_err(), "`{}` is not required: {:?}", variable.name, template);
        }
    }

    #[test]
    fn any_source_and_any_data_end_in_parts_or_a_problem(source in "([{}%#]{1,2}|[a-z |.()'\"\\[\\]]|if |for |end|\n|é){0,60}", data in "\\PC{0,40}") {
        let template = Template { name: "t".to_owned(), parts: vec![part("html", source)], includes: Vec::new() };
        let checked = Minijinja::check(&template).map(drop);
        let rendered = Minijinja::render(&template, "{}", &RenderOptions::default()).map(drop);
        prop_assert!(checked.is_ok() || rendered.is_err() || checked.is_err());
        for problem in checked.err().into_iter().flatten().chain(rendered.err()) {
            let line = template.parts[0].value.lines().nth(problem.line.saturating_sub(1) as usize).unwrap_or_default();
            prop_assert!(problem.column as usize <= line.chars().count() + 1, "{problem:?}");
        }
        let _ = Minijinja::render(&template, &data, &RenderOptions::default());
    }
}

//! A template engine that repeats what it is given. A part that reads `problem` is one; one that reads `panic` panics,
//! and so does data with `fall off` in it.

#![allow(missing_docs, unreachable_pub, unused_qualifications, reason = "generated bindings")]

use exports::campanile::plugin::template_engine::{
    About, Descriptor, Guest, Info, Options, Part, Problem, Template, Variable,
};

wit_bindgen::generate!({ path: "../../../wit", world: "template-plugin" });

struct Parrot;

impl Guest for Parrot {
    fn describe() -> Descriptor {
        let about = About {
            name: "parrot".to_owned(),
            version: "1.2.3".to_owned(),
            summary: "Repeats what it is given".to_owned(),
            homepage: None,
            license: None,
            config_schema: "{}".to_owned(),
            secrets: Vec::new(),
            needs: Vec::new(),
            extra: Vec::new(),
        };
        Descriptor { about, extensions: vec!["txt".to_owned()], features: Vec::new() }
    }

    fn check(template: Template) -> Result<Info, Vec<Problem>> {
        let problems: Vec<Problem> = template.parts.iter().filter_map(problem).collect();
        if problems.is_empty() {
            Ok(Info { variables: vec![Variable { name: "name".to_owned(), required: true }] })
        } else {
            Err(problems)
        }
    }

    fn render(template: Template, data: String, options: Options) -> Result<Vec<Part>, Problem> {
        assert!(!data.contains("fall off"), "the parrot fell off its perch");
        let Options { locale, time_zone, now_ms, strict, extra: _ } = options;
        if let Some(problem) = template.parts.iter().find_map(problem) {
            return Err(problem);
        }
        let seen = format!("{data} {locale:?} {time_zone:?} {now_ms} {strict}");
        Ok(template.parts.into_iter().chain([Part { name: "seen".to_owned(), value: seen }]).collect())
    }
}

fn problem(part: &Part) -> Option<Problem> {
    assert!(part.value != "panic", "the parrot fell off its perch");
    let is_problem = part.value == "problem";
    is_problem.then(|| Problem { part: part.name.clone(), line: 3, column: 7, message: "no such word".to_owned() })
}

export!(Parrot);

//! Reads a template without data: which variables it needs, and everything that can be seen to be wrong.
//!
//! *Invariant:* a variable is `required` only if every strict rendering without it fails. So only what surely runs
//! counts: nothing inside the branches of an `if`, the body of a loop, a macro or a block. Where it is hard to tell, a
//! variable is not required, and rendering has the last word.

use std::collections::{BTreeMap, BTreeSet};

use campanile_plugin_sdk::{Template, TemplateInfo, TemplateProblem, Variable};
use jinja::machinery::{Span, ast, parse};
use jinja::{Environment, ErrorKind, State, UndefinedBehavior, Value};

use crate::engine::{self, GIVEN};
use crate::problem::{self, Sources};

mod expression;
mod statement;

/// Includes within includes that are followed to find required variables.
const FOLLOW_MAX: usize = 8;

/// The variables of a template, or all its problems.
pub(crate) fn scan(template: &Template) -> Result<TemplateInfo, Vec<TemplateProblem>> {
    let sources = problem::sources(template);
    let mut environment = engine::environment(template);
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    let mut scan = Scan::new(&environment, &sources);
    for (sources_of, runs) in [(&template.parts, Runs::Surely), (&template.includes, Runs::Maybe)] {
        for source in sources_of {
            match parse(&source.value, &source.name, environment.syntax().clone()) {
                Ok(tree) => scan.source(&source.name, &tree, runs),
                Err(error) => scan.problems.push(problem::of_error(&error, &source.name, &sources)),
            }
        }
    }
    if scan.problems.is_empty() {
        let variables = scan.variables.into_iter().map(|(name, required)| Variable { name, required }).collect();
        Ok(TemplateInfo { variables })
    } else {
        Err(scan.problems)
    }
}

/// Whether a piece of template runs in every rendering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Runs {
    Surely,
    Maybe,
}

/// What becomes of a value: whether nothing at all would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// Printed, looped over or looked into: it fails on what is undefined.
    Needed,
    /// Tested, compared or passed on.
    Spared,
}

struct Scan<'e> {
    state: State<'e, 'e>,
    globals: BTreeSet<String>,
    sources: &'e Sources<'e>,
    /// By name, with whether it is required.
    variables: BTreeMap<String, bool>,
    problems: Vec<TemplateProblem>,
    /// Names that the template itself gives a value to, by scope.
    scopes: Vec<BTreeSet<String>>,
    /// The source under way, behind those that include it.
    path: Vec<String>,
}

impl<'e> Scan<'e> {
    fn new(environment: &'e Environment<'e>, sources: &'e Sources<'e>) -> Self {
        Self {
            state: environment.empty_state(),
            globals: environment.globals().map(|(name, _)| name.to_owned()).collect(),
            sources,
            variables: BTreeMap::new(),
            problems: Vec::new(),
            scopes: Vec::new(),
            path: Vec::new(),
        }
    }

    fn source(&mut self, name: &str, tree: &ast::Stmt<'_>, runs: Runs) {
        self.within(name, |scan| scan.in_scope(&["self"], |scan| scan.statement(tree, runs)));
    }

    fn within(&mut self, source: &str, walk: impl FnOnce(&mut Self)) {
        self.path.push(source.to_owned());
        walk(self);
        self.path.pop();
    }

    fn in_scope(&mut self, names: &[&str], walk: impl FnOnce(&mut Self)) {
        self.scopes.push(names.iter().map(|&name| name.to_owned()).collect());
        walk(self);
        self.scopes.pop();
    }

    fn assign(&mut self, target: &ast::Expr<'_>) {
        match target {
            ast::Expr::Var(variable) => self.assign_name(variable.id),
            ast::Expr::List(list) => list.items.iter().for_each(|item| self.assign(item)),
            ast::Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.assign(item)),
            // `{% set ns.x = … %}` changes what is there already.
            _ => {}
        }
    }

    fn assign_name(&mut self, name: &str) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.insert(name.to_owned());
        }
    }

    fn is_assigned(&self, name: &str) -> bool {
        self.scopes.iter().any(|scope| scope.contains(name))
    }

    fn read(&mut self, name: &str, required: bool) {
        if self.is_assigned(name) || self.globals.contains(name) || GIVEN.contains(&name) {
            return;
        }
        *self.variables.entry(name.to_owned()).or_default() |= required;
    }

    fn problem(&mut self, span: Span, message: String) {
        let part = self.path.last().cloned().unwrap_or_default();
        let source = self.sources.get(part.as_str()).copied().unwrap_or_default();
        let (line, column) = problem::position(source, span.start_offset as usize);
        let problem = TemplateProblem { part, line, column, message };
        // An include is walked again for each part that uses it.
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// A template named by a constant must be there; any other name is known only with data.
    fn reference(&mut self, name: &ast::Expr<'_>) {
        let constant = name.as_const();
        if let Some(target) = constant.as_ref().and_then(Value::as_str)
            && !self.sources.contains_key(target)
        {
            self.problem(name.span(), format!("there is no part or include `{target}`"));
        }
    }

    /// Asks the filter itself whether it takes what is undefined. With arguments it is not asked.
    fn filter(&mut self, name: &str, span: Span, has_arguments: bool) -> Use {
        let answer = self.state.apply_filter(name, &[Value::UNDEFINED]).map_err(|error| error.kind());
        match answer {
            Err(ErrorKind::UnknownFilter) => self.problem(span, format!("unknown filter `{name}`")),
            Err(ErrorKind::UndefinedError) if !has_arguments => return Use::Needed,
            Ok(_) | Err(_) => {}
        }
        Use::Spared
    }

    fn test(&mut self, name: &str, span: Span) {
        let answer = self.state.perform_test(name, &[Value::UNDEFINED]).map_err(|error| error.kind());
        if answer == Err(ErrorKind::UnknownTest) {
            self.problem(span, format!("unknown test `{name}`"));
        }
    }
}

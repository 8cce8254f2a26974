//! Statements.

use jinja::machinery::ast::{Expr, Include, Macro, Stmt};
use jinja::machinery::parse;

use super::{FOLLOW_MAX, Runs, Scan, Use};

impl Scan<'_> {
    fn statements(&mut self, statements: &[Stmt<'_>], runs: Runs) {
        statements.iter().for_each(|statement| self.statement(statement, runs));
    }

    pub(super) fn statement(&mut self, statement: &Stmt<'_>, runs: Runs) {
        match statement {
            Stmt::Template(template) => {
                // What stands beside `extends` is not printed.
                let extends = template.children.iter().any(|child| matches!(child, Stmt::Extends(_)));
                self.statements(&template.children, if extends { Runs::Maybe } else { runs });
            }
            Stmt::EmitExpr(emit) => self.expression(&emit.expr, runs, Use::Needed),
            Stmt::EmitRaw(_) | Stmt::Continue(_) | Stmt::Break(_) => {}
            Stmt::ForLoop(repeat) => {
                self.expression(&repeat.iter, runs, Use::Needed);
                self.in_scope(&["loop"], |scan| {
                    scan.assign(&repeat.target);
                    scan.optional(repeat.filter_expr.as_ref(), Runs::Maybe);
                    scan.statements(&repeat.body, Runs::Maybe);
                });
                self.in_scope(&[], |scan| scan.statements(&repeat.else_body, Runs::Maybe));
            }
            // No scope of its own: what is set in one branch may be read behind the `if`.
            Stmt::IfCond(choice) => {
                self.expression(&choice.expr, runs, Use::Spared);
                self.statements(&choice.true_body, Runs::Maybe);
                self.statements(&choice.false_body, Runs::Maybe);
            }
            Stmt::WithBlock(with) => self.in_scope(&[], |scan| {
                for (target, value) in &with.assignments {
                    scan.expression(value, runs, Use::Spared);
                    scan.assign(target);
                }
                scan.statements(&with.body, runs);
            }),
            Stmt::Set(set) => {
                self.expression(&set.expr, runs, Use::Spared);
                self.assign(&set.target);
            }
            Stmt::SetBlock(set) => {
                self.statements(&set.body, runs);
                self.optional(set.filter.as_ref(), runs);
                self.assign(&set.target);
            }
            Stmt::AutoEscape(escape) => {
                self.expression(&escape.enabled, runs, Use::Spared);
                self.statements(&escape.body, runs);
            }
            Stmt::FilterBlock(block) => {
                self.expression(&block.filter, runs, Use::Spared);
                self.statements(&block.body, runs);
            }
            // Another template may put its own in this place.
            Stmt::Block(block) => self.in_scope(&["super"], |scan| scan.statements(&block.body, Runs::Maybe)),
            Stmt::Import(import) => {
                self.named(&import.expr, runs);
                self.assign(&import.name);
            }
            Stmt::FromImport(import) => {
                self.named(&import.expr, runs);
                for (name, alias) in &import.names {
                    self.assign(alias.as_ref().unwrap_or(name));
                }
            }
            Stmt::Extends(extends) => self.named(&extends.name, runs),
            Stmt::Include(include) => self.include(include, runs),
            Stmt::Macro(declared) => {
                self.assign_name(declared.name);
                self.macro_body(declared);
            }
            Stmt::CallBlock(block) => {
                self.call(&block.call, runs);
                self.macro_body(&block.macro_decl);
            }
            Stmt::Do(statement) => self.call(&statement.call, runs),
        }
    }

    /// The name of another template.
    fn named(&mut self, name: &Expr<'_>, runs: Runs) {
        self.reference(name);
        self.expression(name, runs, Use::Spared);
    }

    fn macro_body(&mut self, declared: &Macro<'_>) {
        self.in_scope(&["caller"], |scan| {
            declared.args.iter().for_each(|argument| scan.assign(argument));
            declared.defaults.iter().for_each(|default| scan.expression(default, Runs::Maybe, Use::Spared));
            scan.statements(&declared.body, Runs::Maybe);
        });
    }

    /// An include reads and sets the variables of the place it stands in, so it is walked there too.
    fn include(&mut self, include: &Include<'_>, runs: Runs) {
        if !include.ignore_missing {
            self.reference(&include.name);
        }
        self.expression(&include.name, runs, Use::Spared);
        let Some(name) = include.name.as_const().and_then(|name| name.as_str().map(str::to_owned)) else { return };
        let Some(source) = self.sources.get(name.as_str()).copied() else { return };
        if runs == Runs::Maybe || self.path.len() >= FOLLOW_MAX || self.path.contains(&name) {
            return;
        }
        // One that does not parse is reported for itself.
        if let Ok(tree) = parse(source, &name, Default::default()) {
            self.within(&name, |scan| scan.statement(&tree, runs));
        }
    }
}

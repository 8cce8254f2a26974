//! Expressions.

use jinja::machinery::ast::{BinOpKind, Call, CallArg, Expr, UnaryOpKind};

use super::{Runs, Scan, Use};

impl Scan<'_> {
    pub(super) fn expression(&mut self, expression: &Expr<'_>, runs: Runs, used: Use) {
        match expression {
            Expr::Var(variable) => self.read(variable.id, runs == Runs::Surely && used == Use::Needed),
            Expr::Const(_) => {}
            Expr::Slice(slice) => {
                self.expression(&slice.expr, runs, Use::Spared);
                for bound in [&slice.start, &slice.stop, &slice.step] {
                    self.optional(bound.as_ref(), runs);
                }
            }
            Expr::UnaryOp(operation) => {
                let used = match operation.op {
                    UnaryOpKind::Not => Use::Spared,
                    UnaryOpKind::Neg => Use::Needed,
                };
                self.expression(&operation.expr, runs, used);
            }
            Expr::BinOp(operation) => {
                let (left, right) = operands(operation.op, runs);
                self.expression(&operation.left, runs, left);
                self.expression(&operation.right, right, left);
            }
            Expr::Compare(comparison) => {
                self.expression(&comparison.expr, runs, Use::Spared);
                comparison.ops.iter().for_each(|operand| self.expression(&operand.expr, Runs::Maybe, Use::Spared));
            }
            Expr::IfExpr(choice) => {
                self.expression(&choice.test_expr, runs, Use::Spared);
                self.expression(&choice.true_expr, Runs::Maybe, used);
                self.optional(choice.false_expr.as_ref(), Runs::Maybe);
            }
            Expr::Filter(filter) => {
                let used = self.filter(filter.name, filter.span(), !filter.args.is_empty());
                if let Some(operand) = &filter.expr {
                    self.expression(operand, runs, used);
                }
                self.arguments(&filter.args, runs);
            }
            Expr::Test(test) => {
                self.test(test.name, test.span());
                self.expression(&test.expr, runs, Use::Spared);
                self.arguments(&test.args, runs);
            }
            Expr::GetAttr(access) => self.expression(&access.expr, runs, Use::Needed),
            Expr::GetItem(access) => {
                self.expression(&access.expr, runs, Use::Needed);
                self.expression(&access.subscript_expr, runs, Use::Spared);
            }
            Expr::Call(call) => self.call(call, runs),
            Expr::List(list) => list.items.iter().for_each(|item| self.expression(item, runs, Use::Spared)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.expression(item, runs, Use::Spared)),
            Expr::Map(map) => {
                map.keys.iter().chain(&map.values).for_each(|item| self.expression(item, runs, Use::Spared));
            }
        }
    }

    pub(super) fn optional(&mut self, expression: Option<&Expr<'_>>, runs: Runs) {
        if let Some(expression) = expression {
            self.expression(expression, runs, Use::Spared);
        }
    }

    pub(super) fn call(&mut self, call: &Call<'_>, runs: Runs) {
        match &call.expr {
            // Data is JSON and holds nothing that can be called.
            Expr::Var(function) if !self.is_assigned(function.id) && !self.globals.contains(function.id) => {
                self.problem(function.span(), format!("unknown function `{}`", function.id));
            }
            callee => self.expression(callee, runs, Use::Spared),
        }
        self.arguments(&call.args, runs);
    }

    fn arguments(&mut self, arguments: &[CallArg<'_>], runs: Runs) {
        for argument in arguments {
            let (CallArg::Pos(value)
            | CallArg::Kwarg(_, value)
            | CallArg::PosSplat(value)
            | CallArg::KwargSplat(value)) = argument;
            self.expression(value, runs, Use::Spared);
        }
    }
}

/// What a binary operation makes of its operands, and whether the right one is looked at.
fn operands(operation: BinOpKind, runs: Runs) -> (Use, Runs) {
    match operation {
        BinOpKind::ScAnd | BinOpKind::ScOr => (Use::Spared, Runs::Maybe),
        BinOpKind::Eq
        | BinOpKind::Ne
        | BinOpKind::Lt
        | BinOpKind::Lte
        | BinOpKind::Gt
        | BinOpKind::Gte
        | BinOpKind::In
        | BinOpKind::Concat => (Use::Spared, runs),
        BinOpKind::Add
        | BinOpKind::Sub
        | BinOpKind::Mul
        | BinOpKind::Div
        | BinOpKind::FloorDiv
        | BinOpKind::Rem
        | BinOpKind::Pow => (Use::Needed, runs),
    }
}

//! How large a stack a plugin was linked with.

use wasmparser::{GlobalSectionReader, Operator, Parser, Payload};

/// The stack of a component's largest module, in bytes, where its toolchain shows it: linkers for wasm make the stack
/// pointer the first global, and those of Rust put the stack first, so it starts out at the stack's size. None where the
/// first global is no such thing.
#[must_use]
pub fn stack_bytes(component: &[u8]) -> Option<u64> {
    let mut pointer = None;
    let mut largest = (0, None);
    for payload in Parser::new(0).parse_all(component) {
        match payload.ok()? {
            Payload::Version { .. } => pointer = None,
            Payload::GlobalSection(globals) => pointer = stack_pointer(globals),
            Payload::CodeSectionStart { size, .. } if size > largest.0 => largest = (size, pointer),
            _ => {}
        }
    }
    largest.1
}

fn stack_pointer(globals: GlobalSectionReader<'_>) -> Option<u64> {
    let first = globals.into_iter().next()?.ok()?;
    match first.init_expr.get_operators_reader().read().ok()? {
        Operator::I32Const { value } if first.ty.mutable && value > 0 => u64::try_from(value).ok(),
        _ => None,
    }
}

//! What the build makes of the plugins: settings that no test of their code would miss.

use std::fs;

use campanile_tests::plugin;
use wasmparser::{GlobalType, Operator, Parser, Payload, ValType};

const CHANNELS: [&str; 4] = ["console", "null", "slack", "webhook"];

/// The stack of the component's first core module, in bytes: Rust puts it first, so it ends where the first mutable
/// global, the stack pointer, begins.
fn stack_bytes(component: &[u8]) -> i32 {
    for payload in Parser::new(0).parse_all(component) {
        let Payload::GlobalSection(globals) = payload.expect("a well-formed component") else { continue };
        for global in globals {
            let global = global.expect("a well-formed global");
            let first = global.init_expr.get_operators_reader().read().expect("a constant");
            if let (GlobalType { content_type: ValType::I32, mutable: true, .. }, Operator::I32Const { value }) =
                (global.ty, first)
            {
                return value;
            }
        }
    }
    panic!("the component has no stack pointer")
}

/// Beyond what the pool resets by copying, every call would pay page faults.
#[test]
fn a_channel_has_a_stack_of_64_kib() {
    for name in CHANNELS {
        let component = fs::read(plugin(name)).expect("a built plugin");
        assert_eq!(stack_bytes(&component), 64 << 10, "{name}");
    }
}

/// Each interface imported costs time at every call; the SDK keeps the standard library from asking for any of WASI.
#[test]
fn a_channel_that_prints_nothing_imports_nothing_of_wasi() {
    for name in CHANNELS {
        let component = fs::read(plugin(name)).expect("a built plugin");
        let imports: Vec<String> = Parser::new(0)
            .parse_all(&component)
            .filter_map(|payload| match payload.expect("a well-formed component") {
                Payload::ComponentImportSection(imports) => Some(imports),
                _ => None,
            })
            .flatten()
            .map(|import| import.expect("a well-formed import").name.name.to_owned())
            .filter(|name| name.starts_with("wasi:"))
            .collect();
        assert_eq!(imports.is_empty(), name != "console", "{name}: {imports:?}");
    }
}

//! Bounds on what is given to the compiler. Its time and memory grow with the code, and with some shapes of code much
//! faster than the file that holds them.

use wasmparser::{ComponentInstance, Parser, Payload};

/// Something of which a component has more than the compiler is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it has {found} {what}, the limit is {limit}; no setting changes that: build it smaller")]
pub struct Excess {
    /// Of what.
    pub what: &'static str,
    /// How many, as far as was counted.
    pub found: u64,
    /// How many there may be.
    pub limit: u64,
}

/// What is counted, over all nested modules and components.
#[derive(Debug, Default)]
struct Counts {
    modules: u64,
    components: u64,
    instantiations: u64,
    functions: u64,
    locals: u64,
    code_bytes: u64,
    globals: u64,
    types: u64,
}

/// Modules. A component from Rust has 3, from Python some 14 and one for each native module.
const MODULES_MAX: u64 = 100;

/// Components within: one for each interface that a component exports.
const COMPONENTS_MAX: u64 = 64;

/// Components within components within …: the compiler copies what is instantiated, at each level anew.
const DEPTH_MAX: u64 = 4;

/// Instantiations of components within. With [`DEPTH_MAX`], the most that copying can make of them is 16⁴.
const INSTANTIATIONS_MAX: u64 = 64;

/// Functions. Python's interpreter with its libraries has about 30,000.
const FUNCTIONS_MAX: u64 = 200_000;

/// Bytes of one function. The largest known, the loop of an interpreter, has under 200 KiB; the time to compile one
/// grows faster than its size.
const BODY_BYTES_MAX: u64 = 1 << 20;

/// Local variables of all functions together: each costs time and memory, and five bytes declare 50,000 of them.
const LOCALS_MAX: u64 = 4_000_000;

/// Bytes of code: a Python component has about 10 MiB.
const CODE_BYTES_MAX: u64 = 40 << 20;

/// Global variables.
const GLOBALS_MAX: u64 = 20_000;

/// Types.
const TYPES_MAX: u64 = 50_000;

/// Judges a component by its outline. Reads every section's head and no instruction: about 10 ms for 40 MiB.
///
/// # Errors
///
/// The first [`Excess`] found. What is not well-formed ends the look without one: the validator says it better.
pub(super) fn check(bytes: &[u8]) -> Result<(), Excess> {
    let mut counts = Counts::default();
    let mut depth = 0_u64;
    for payload in Parser::new(0).parse_all(bytes) {
        let Ok(payload) = payload else { return Ok(()) };
        match &payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                depth += 1;
                within("levels of components within components", depth, DEPTH_MAX)?;
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
        counts.add(&payload)?;
    }
    Ok(())
}

fn within(what: &'static str, found: u64, limit: u64) -> Result<(), Excess> {
    if found > limit { Err(Excess { what, found, limit }) } else { Ok(()) }
}

fn count(what: &'static str, counter: &mut u64, more: u64, limit: u64) -> Result<(), Excess> {
    *counter = counter.saturating_add(more);
    within(what, *counter, limit)
}

impl Counts {
    fn add(&mut self, payload: &Payload<'_>) -> Result<(), Excess> {
        match payload {
            Payload::ModuleSection { .. } => count("modules", &mut self.modules, 1, MODULES_MAX),
            Payload::ComponentSection { .. } => count("components within", &mut self.components, 1, COMPONENTS_MAX),
            Payload::ComponentInstanceSection(section) => {
                let copies = section
                    .clone()
                    .into_iter()
                    .filter(|instance| matches!(instance, Ok(ComponentInstance::Instantiate { .. })));
                let more = copies.count() as u64;
                count("instantiations of components within", &mut self.instantiations, more, INSTANTIATIONS_MAX)
            }
            Payload::FunctionSection(section) => {
                count("functions", &mut self.functions, section.count().into(), FUNCTIONS_MAX)
            }
            Payload::CodeSectionEntry(body) => {
                let size = body.range().len() as u64;
                within("bytes in one function", size, BODY_BYTES_MAX)?;
                count("bytes of code", &mut self.code_bytes, size, CODE_BYTES_MAX)?;
                let locals = body.get_locals_reader().into_iter().flatten();
                let declared =
                    locals.map_while(Result::ok).fold(0_u64, |sum, (more, _)| sum.saturating_add(more.into()));
                count("local variables", &mut self.locals, declared, LOCALS_MAX)
            }
            Payload::GlobalSection(section) => {
                count("global variables", &mut self.globals, section.count().into(), GLOBALS_MAX)
            }
            Payload::TypeSection(section) => count("types", &mut self.types, section.count().into(), TYPES_MAX),
            Payload::CoreTypeSection(section) => count("types", &mut self.types, section.count().into(), TYPES_MAX),
            Payload::ComponentTypeSection(section) => {
                count("types", &mut self.types, section.count().into(), TYPES_MAX)
            }
            _ => Ok(()),
        }
    }
}

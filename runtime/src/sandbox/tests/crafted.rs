//! Components put together by hand, for what no compiler of ours would make.

use wasm_encoder::{
    Alias, CanonicalFunctionSection, CodeSection, Component, ComponentAliasSection, ComponentExportKind,
    ComponentExportSection, ComponentInstanceSection, ComponentTypeSection, ConstExpr, EntityType, ExportKind,
    ExportSection, Function, FunctionSection, GlobalSection, GlobalType, ImportSection, InstanceSection, MemorySection,
    MemoryType, Module, ModuleArg, ModuleSection, RefType, StartSection, TableSection, TableType, TypeSection, ValType,
};

/// A module with this function, without parameters or results, as its start and as its export `f`.
pub(super) fn module(body: &Function, tables: u32, memories: u32) -> Module {
    let mut types = TypeSection::new();
    types.ty().function([], []);
    let mut functions = FunctionSection::new();
    functions.function(0);
    let mut table_section = TableSection::new();
    for _ in 0..tables {
        let element_type = RefType::FUNCREF;
        table_section.table(TableType { element_type, table64: false, minimum: 0, maximum: None, shared: false });
    }
    let mut memory_section = MemorySection::new();
    for _ in 0..memories {
        let one_page = MemoryType { minimum: 1, maximum: None, memory64: false, shared: false, page_size_log2: None };
        memory_section.memory(one_page);
    }
    let mut exports = ExportSection::new();
    exports.export("f", ExportKind::Func, 0);
    let mut code = CodeSection::new();
    code.function(body);
    let mut module = Module::new();
    module.section(&types).section(&functions);
    if tables > 0 {
        module.section(&table_section);
    }
    if memories > 0 {
        module.section(&memory_section);
    }
    module.section(&exports).section(&StartSection { function_index: 0 }).section(&code);
    module
}

/// A component of these modules, each instantiated so many times, with exports that look like a channel's.
pub(super) fn channel(modules: &[(&Module, u32)]) -> Vec<u8> {
    let mut component = Component::new();
    for (module, _) in modules {
        component.section(&ModuleSection(module));
    }
    let mut instances = InstanceSection::new();
    for (number, (_, times)) in modules.iter().enumerate() {
        for _ in 0..*times {
            instances.instantiate::<_, &str>(number as u32, Vec::<(&str, ModuleArg)>::new());
        }
    }
    component.section(&instances);
    let mut aliases = ComponentAliasSection::new();
    aliases.alias(Alias::CoreInstanceExport { instance: 0, kind: ExportKind::Func, name: "f" });
    component.section(&aliases);
    let mut types = ComponentTypeSection::new();
    types.function().params::<_, wasm_encoder::ComponentValType>(Vec::<(&str, _)>::new()).result(None);
    component.section(&types);
    let mut lifted = CanonicalFunctionSection::new();
    lifted.lift(0, 0, Vec::new());
    component.section(&lifted);
    let mut instances = ComponentInstanceSection::new();
    instances.export_items(["describe", "send"].map(|name| (name, ComponentExportKind::Func, 0)));
    component.section(&instances);
    let mut exports = ComponentExportSection::new();
    exports.export("campanile:plugin/channel@0.1.0", ComponentExportKind::Instance, 0, None);
    component.section(&exports);
    component.finish()
}

/// A module of nothing but this many types, imports and globals.
pub(super) fn empty_of(types: u32, imports: u32, globals: u32) -> Module {
    let mut module = Module::new();
    let mut type_section = TypeSection::new();
    for number in 0..types.max(1) {
        type_section.ty().function(vec![ValType::I32; (number % 7) as usize], []);
    }
    module.section(&type_section);
    let mut import_section = ImportSection::new();
    for number in 0..imports {
        import_section.import("m", &number.to_string(), EntityType::Function(0));
    }
    if imports > 0 {
        module.section(&import_section);
    }
    let mut global_section = GlobalSection::new();
    for _ in 0..globals {
        let global = GlobalType { val_type: ValType::I32, mutable: false, shared: false };
        global_section.global(global, &ConstExpr::i32_const(0));
    }
    if globals > 0 {
        module.section(&global_section);
    }
    module
}

/// A function that does `one` for ever.
pub(super) fn endless(one: impl Fn(&mut wasm_encoder::InstructionSink<'_>)) -> Function {
    let mut function = Function::new([]);
    let mut code = function.instructions();
    code.loop_(wasm_encoder::BlockType::Empty);
    one(&mut code);
    code.br(0).end().end();
    function
}

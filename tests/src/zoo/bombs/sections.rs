//! Bombs around the code: types, imports, exports, data and what nobody reads.

use std::borrow::Cow;

use wasm_encoder::{
    CodeSection, ConstExpr, CustomSection, DataSection, ElementSection, Elements, EntityType,
    ExportKind, ExportSection, Function, FunctionSection, GlobalSection, GlobalType, ImportSection,
    MemorySection, MemoryType, Module, RefType, TableSection, TableType, TypeSection, ValType,
};

use super::Attack;

pub(super) fn attacks() -> Vec<Attack> {
    let refused = Attack::refused;
    vec![
        refused(
            "a million types",
            million_types,
            &["the number of types is 1000000 at offset 0x", "at most 10000"],
        ),
        refused(
            "20,000 types of three bytes",
            small_types,
            &["the number of types is 20001 at offset 0x", "at most 10000"],
        ),
        refused(
            "a million imports",
            imports,
            &["the number of imports is 1000000 at offset 0x", "at most 50000"],
        ),
        refused(
            "a million exports",
            exports,
            &["the number of exports is 1000000 at offset 0x", "at most 100000"],
        ),
        refused(
            "a million globals",
            globals,
            &["the number of globals is 1000000 at offset 0x", "at most 50000"],
        ),
        refused(
            "90,000 data segments",
            data_segments,
            &["the number of data and element segments is 90000 at offset 0x", "at most 50000"],
        ),
        refused(
            "90,000 element segments",
            element_segments,
            &["the number of data and element segments is 90000 at offset 0x", "at most 50000"],
        ),
        refused("99 memories", memories, &["a core module's memories is 99 at offset 0x"]),
        refused("99 tables", tables, &["a core module's tables is 99 at offset 0x"]),
        refused("60 MB of data", data, &["the module's size is 57.2MiB at offset 0x", "32MiB"]),
        refused(
            "a 40 MB custom section",
            || custom(40_000_000),
            &["the module's size is 38.1MiB at offset 0x", "at most 32MiB"],
        ),
        refused(
            "a 30 MB custom section",
            || custom(30_000_000),
            &["the size of custom sections is 28.6MiB at offset 0x", "at most 16MiB"],
        ),
    ]
}

/// A command whose sections are put together by `more`, in their order.
struct Parts {
    types: TypeSection,
    imports: ImportSection,
    tables: TableSection,
    memories: MemorySection,
    globals: GlobalSection,
    exports: ExportSection,
    elements: ElementSection,
    data: DataSection,
}

/// An empty command with what `more` puts into it.
fn command(imported_functions: u32, more: impl FnOnce(&mut Parts)) -> Vec<u8> {
    let mut parts = Parts {
        types: TypeSection::new(),
        imports: ImportSection::new(),
        tables: TableSection::new(),
        memories: MemorySection::new(),
        globals: GlobalSection::new(),
        exports: ExportSection::new(),
        elements: ElementSection::new(),
        data: DataSection::new(),
    };
    parts.types.ty().function([], []);
    parts.exports.export("_start", ExportKind::Func, imported_functions);
    more(&mut parts);
    let mut functions = FunctionSection::new();
    functions.function(0);
    let mut start = Function::new([]);
    start.instructions().end();
    let mut code = CodeSection::new();
    code.function(&start);
    let mut module = Module::new();
    module.section(&parts.types).section(&parts.imports).section(&functions);
    module.section(&parts.tables).section(&parts.memories).section(&parts.globals);
    module.section(&parts.exports).section(&parts.elements).section(&code).section(&parts.data);
    module.finish()
}

const MILLION: u32 = 1_000_000;

fn small_types() -> Vec<u8> {
    command(0, |parts| {
        for _ in 0..20_000 {
            parts.types.ty().function([], []);
        }
    })
}

fn million_types() -> Vec<u8> {
    command(0, |parts| {
        for number in 1..MILLION {
            // No two are the same, so that none can be folded into another.
            let parameters =
                (0..20).map(|bit| if number >> bit & 1 == 0 { ValType::I32 } else { ValType::I64 });
            parts.types.ty().function(parameters, []);
        }
    })
}

fn imports() -> Vec<u8> {
    command(MILLION, |parts| {
        for _ in 0..MILLION {
            parts.imports.import("a", "b", EntityType::Function(0));
        }
    })
}

fn exports() -> Vec<u8> {
    command(0, |parts| {
        for number in 1..MILLION {
            parts.exports.export(&number.to_string(), ExportKind::Func, 0);
        }
    })
}

fn globals() -> Vec<u8> {
    command(0, |parts| {
        let ty = GlobalType { val_type: ValType::I32, mutable: true, shared: false };
        for _ in 0..MILLION {
            parts.globals.global(ty, &ConstExpr::i32_const(0));
        }
    })
}

const ONE_PAGE: MemoryType =
    MemoryType { minimum: 1, maximum: None, memory64: false, shared: false, page_size_log2: None };

const EMPTY_TABLE: TableType = TableType {
    element_type: RefType::FUNCREF,
    table64: false,
    minimum: 0,
    maximum: None,
    shared: false,
};

fn data_segments() -> Vec<u8> {
    command(0, |parts| {
        parts.memories.memory(ONE_PAGE);
        for _ in 0..90_000 {
            parts.data.active(0, &ConstExpr::i32_const(0), [1]);
        }
    })
}

fn element_segments() -> Vec<u8> {
    command(0, |parts| {
        parts.tables.table(EMPTY_TABLE);
        for _ in 0..90_000 {
            let none = Elements::Functions(Cow::Borrowed(&[]));
            parts.elements.active(None, &ConstExpr::i32_const(0), none);
        }
    })
}

fn memories() -> Vec<u8> {
    command(0, |parts| {
        for _ in 0..99 {
            parts.memories.memory(ONE_PAGE);
        }
    })
}

fn tables() -> Vec<u8> {
    command(0, |parts| {
        for _ in 0..99 {
            parts.tables.table(EMPTY_TABLE);
        }
    })
}

fn data() -> Vec<u8> {
    command(0, |parts| {
        parts.memories.memory(MemoryType { minimum: 1_000, ..ONE_PAGE });
        parts.data.active(0, &ConstExpr::i32_const(0), vec![1; 60_000_000]);
    })
}

fn custom(bytes: usize) -> Vec<u8> {
    let mut module = command(0, |_| {});
    let section = CustomSection { name: "ballast".into(), data: vec![0; bytes].into() };
    wasm_encoder::Section::append_to(&section, &mut module);
    module
}

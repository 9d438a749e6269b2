//! A preview 1 command ends with `proc_exit` and a number of 32 bits; the published adapter passes
//! on whether it is 0. Here the adapter is given a `proc_exit` that passes on the number, to
//! `wasmgrid:task/exit`; nothing else of it is changed.

use std::sync::LazyLock;

use wasm_encoder::{
    CodeSection, ExportSection, Function, ImportSection, Module,
    reencode::{Error, Reencode, RoundtripReencoder, utils},
};
use wasmparser::{Export, FunctionBody, Import, ImportSectionReader, Parser, TypeRef};
use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::provider;

/// The interface, and a world that imports it.
const WIT: &str = include_str!("../../../../guest-sdk/wit/exit.wit");
const WORLD: &str = "world adapter { import exit; }";

/// What the adapter calls as published, and what it calls here; the function has the same name.
const PUBLISHED: &str = "wasi:cli/exit@0.2.";
const INTERFACE: &str = "wasmgrid:task/exit@0.1.0";
const FUNCTION: &str = "exit";

/// What a module calls.
const PROC_EXIT: &str = "proc_exit";

/// For modules that export `_start`.
pub(super) static COMMAND: LazyLock<Result<Vec<u8>, String>> =
    LazyLock::new(|| with_numbers(super::COMMAND_ADAPTER));

/// For modules that were built for a world of their own.
pub(super) static REACTOR: LazyLock<Result<Vec<u8>, String>> =
    LazyLock::new(|| with_numbers(provider::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER));

/// `adapter`, changed as the module says.
fn with_numbers(adapter: &[u8]) -> Result<Vec<u8>, String> {
    let mut change = Change { functions: 0, exit: None, proc_exit: None, written: false };
    let mut module = Module::new();
    change
        .parse_core_module(&mut module, Parser::new(0), adapter)
        .map_err(|error| error.to_string())?;
    if !change.written {
        return Err("the adapter has another form than expected".into());
    }
    let mut bytes = module.finish();
    embed(&mut bytes)?;
    Ok(bytes)
}

/// Says in the adapter that it imports the interface.
fn embed(adapter: &mut Vec<u8>) -> Result<(), String> {
    let mut resolve = Resolve::default();
    let package = resolve.push_source("exit.wit", &format!("{WIT}\n{WORLD}"));
    let package = package.map_err(|error| format!("{error:#}"))?;
    let world = resolve.select_world(&[package], Some("adapter"));
    let world = world.map_err(|error| format!("{error:#}"))?;
    embed_component_metadata(adapter, &resolve, world, StringEncoding::UTF8)
        .map_err(|error| format!("{error:#}"))
}

/// Copies an adapter with another import and another function.
struct Change {
    /// Functions that were seen: imports first, bodies after them.
    functions: u32,
    /// The import that ends a command.
    exit: Option<u32>,
    proc_exit: Option<u32>,
    written: bool,
}

impl Reencode for Change {
    type Error = std::convert::Infallible;

    fn parse_import_section(
        &mut self,
        imports: &mut ImportSection,
        section: ImportSectionReader<'_>,
    ) -> Result<(), Error<Self::Error>> {
        for import in section.into_imports() {
            let Import { mut module, name, ty } = import?;
            if module.starts_with(PUBLISHED) && name == FUNCTION {
                self.exit = Some(self.functions);
                // Both take one i32: a result without values, and a number.
                module = INTERFACE;
            }
            self.functions += u32::from(matches!(ty, TypeRef::Func(_)));
            imports.import(module, name, RoundtripReencoder.entity_type(ty)?);
        }
        Ok(())
    }

    fn parse_export(
        &mut self,
        exports: &mut ExportSection,
        export: Export<'_>,
    ) -> Result<(), Error<Self::Error>> {
        if export.name == PROC_EXIT {
            self.proc_exit = Some(export.index);
        }
        utils::parse_export(self, exports, export)
    }

    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        body: FunctionBody<'_>,
    ) -> Result<(), Error<Self::Error>> {
        let index = self.functions;
        self.functions += 1;
        let (Some(exit), true) = (self.exit, self.proc_exit == Some(index)) else {
            return utils::parse_function_body(self, code, body);
        };
        let mut function = Function::new([]);
        function.instructions().local_get(0).call(exit).unreachable().end();
        code.function(&function);
        self.written = true;
        Ok(())
    }
}

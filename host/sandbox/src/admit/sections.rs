//! A file's sections, before they are validated: what is in them is counted against the caps, and
//! what stands at the top level is kept.

use wasmparser::{
    ComponentExternalKind, ComponentType, ComponentTypeDeclaration, ComponentTypeSectionReader,
    CompositeInnerType, CoreType, CoreTypeSectionReader, ElementItems, ElementSectionReader,
    Encoding, Error, FromReader, ImportSectionReader, InstanceTypeDeclaration,
    ModuleTypeDeclaration, Payload, RecGroup, SectionLimited, TypeSectionReader, WasmFeatures,
    types::Types,
};

use super::{
    features,
    instances::Scopes,
    scan::{ComponentImport, CoreImport, Scan},
    tally::Tally,
};
use crate::{Cap, Caps, Refusal};

/// Counts sections while a file is read.
pub(super) struct Sections<'a, 'c> {
    bytes: &'a [u8],
    tally: Tally<'c>,
    /// Modules and components that are being read, the outermost first.
    open: Vec<Encoding>,
    scopes: Scopes,
    encoding: Option<Encoding>,
    core_imports: Vec<CoreImport<'a>>,
    component_imports: Vec<ComponentImport<'a>>,
    component_exports: Vec<(&'a str, ComponentExternalKind)>,
    has_component_type: bool,
}

type Counted = Result<(), Refusal>;

impl<'a, 'c> Sections<'a, 'c> {
    pub(super) fn new(bytes: &'a [u8], caps: &'c Caps) -> Self {
        Self {
            bytes,
            tally: Tally::new(caps),
            open: Vec::new(),
            scopes: Scopes::default(),
            encoding: None,
            core_imports: Vec::new(),
            component_imports: Vec::new(),
            component_exports: Vec::new(),
            has_component_type: false,
        }
    }

    pub(super) const fn tally(&mut self) -> &mut Tally<'c> {
        &mut self.tally
    }

    /// Whether all that began has ended.
    pub(super) fn is_at_end(&self) -> bool {
        self.encoding.is_some() && self.open.is_empty()
    }

    pub(super) fn finish(self, types: Types) -> Scan<'a> {
        Scan {
            encoding: self.encoding.unwrap_or(Encoding::Module),
            core_imports: self.core_imports,
            component_imports: self.component_imports,
            component_exports: self.component_exports,
            has_component_type: self.has_component_type,
            types,
        }
    }

    /// Counts what is in a section. What a section says it has is looked at first, and nothing is
    /// kept by such a number.
    pub(super) fn count(&mut self, payload: &Payload<'a>) -> Counted {
        match payload {
            Payload::Version { encoding, range, .. } => self.begin(*encoding, range.start),
            Payload::End(_) => {
                if self.open.pop() == Some(Encoding::Component) {
                    self.scopes.leave();
                }
                Ok(())
            }
            Payload::CustomSection(section) => {
                if self.open.len() == 1 {
                    self.has_component_type |= section.name().starts_with("component-type");
                }
                let size = section.range().len();
                self.tally.add(Cap::CustomBytes, size, section.range().start)
            }
            Payload::TypeSection(types) => self.core_types(types),
            Payload::ImportSection(imports) => self.imports(imports),
            Payload::FunctionSection(section) => self.all(Cap::Functions, section),
            Payload::TableSection(section) => self.each(Cap::Tables, section),
            Payload::MemorySection(section) => self.each(Cap::Memories, section),
            Payload::GlobalSection(section) => self.all(Cap::Globals, section),
            Payload::ExportSection(section) => self.all(Cap::Exports, section),
            Payload::DataSection(section) => self.all(Cap::Segments, section),
            Payload::ElementSection(elements) => self.elements(elements),
            _ => self.component_section(payload),
        }
    }

    fn component_section(&mut self, payload: &Payload<'a>) -> Counted {
        match payload {
            Payload::ModuleSection { unchecked_range: range, .. }
            | Payload::ComponentSection { unchecked_range: range, .. } => {
                self.tally.add(Cap::Components, 1_u64, range.start)
            }
            Payload::CoreTypeSection(types) => self.component_core_types(types),
            Payload::ComponentTypeSection(types) => self.component_types(types),
            Payload::InstanceSection(section) => {
                self.all(Cap::Instances, section)?;
                items(section, |offset, instance| {
                    let made = self.scopes.core_instance(&instance);
                    self.tally.at_most(Cap::CoreInstances, made, offset)
                })
            }
            Payload::ComponentInstanceSection(section) => {
                self.all(Cap::Instances, section)?;
                items(section, |offset, instance| {
                    let made = self.scopes.instance(&instance);
                    self.tally.at_most(Cap::CoreInstances, made, offset)
                })
            }
            Payload::ComponentAliasSection(section) => {
                self.all(Cap::ComponentItems, section)?;
                items(section, |_, alias| {
                    self.scopes.alias(&alias);
                    Ok(())
                })
            }
            Payload::ComponentCanonicalSection(section) => self.all(Cap::ComponentItems, section),
            Payload::ComponentImportSection(section) => {
                self.all(Cap::Imports, section)?;
                items(section, |offset, import| {
                    self.scopes.import(&import.ty);
                    if self.open.len() == 1 {
                        let (name, offset) = (import.name.name, offset as u64);
                        self.component_imports.push(ComponentImport {
                            name,
                            ty: import.ty,
                            offset,
                        });
                    }
                    Ok(())
                })
            }
            Payload::ComponentExportSection(section) => {
                self.all(Cap::Exports, section)?;
                items(section, |_, export| {
                    self.scopes.export(export.kind, export.index);
                    if self.open.len() == 1 {
                        self.component_exports.push((export.name.name, export.kind));
                    }
                    Ok(())
                })
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, encoding: Encoding, offset: usize) -> Counted {
        self.encoding.get_or_insert(encoding);
        self.open.push(encoding);
        if encoding == Encoding::Component {
            self.scopes.enter();
            // A module is never around a component.
            self.tally.at_most(Cap::ComponentNesting, self.open.len() as u64, offset)?;
        }
        Ok(())
    }

    /// Counts a section against a cap on all of the file.
    fn all<T>(&mut self, cap: Cap, section: &SectionLimited<'_, T>) -> Counted {
        self.tally.add(cap, section.count(), section.range().start)
    }

    /// Counts a section against a cap on one module, which has one such section at most.
    fn each<T>(&self, cap: Cap, section: &SectionLimited<'_, T>) -> Counted {
        self.tally.at_most(cap, section.count(), section.range().start)
    }

    fn imports(&mut self, section: &ImportSectionReader<'a>) -> Counted {
        self.all(Cap::Imports, section)?;
        if self.open.len() != 1 {
            return Ok(());
        }
        for import in section.clone().into_imports_with_offsets() {
            let (offset, import) = import.map_err(|error| features::refusal(&error))?;
            let offset = offset as u64;
            let (module, name, ty) = (import.module, import.name, import.ty);
            self.core_imports.push(CoreImport { module, name, ty, offset });
        }
        Ok(())
    }

    fn elements(&mut self, section: &ElementSectionReader<'a>) -> Counted {
        self.all(Cap::Segments, section)?;
        items(section, |offset, element| {
            let count = match element.items {
                ElementItems::Functions(items) => items.count(),
                ElementItems::Expressions(_, items) => items.count(),
            };
            self.tally.add(Cap::Elements, count, offset)
        })
    }

    fn core_types(&mut self, section: &TypeSectionReader<'a>) -> Counted {
        self.type_section(section)?;
        self.groups(section, Self::core_type)
    }

    fn component_core_types(&mut self, section: &CoreTypeSectionReader<'a>) -> Counted {
        self.type_section(section)?;
        self.groups(section, Self::component_core_type)
    }

    fn component_types(&mut self, section: &ComponentTypeSectionReader<'a>) -> Counted {
        self.type_section(section)?;
        let range = section.range();
        let inner = inner_types(self.bytes.get(range.clone()).unwrap_or_default());
        self.tally.at_most(Cap::InnerTypes, inner, range.start)?;
        items(section, |offset, ty| self.component_type(&ty, offset))
    }

    fn type_section<T>(&mut self, section: &SectionLimited<'_, T>) -> Counted {
        self.all(Cap::Types, section)?;
        let range = section.range();
        self.tally.add(Cap::TypeBytes, range.len(), range.start)
    }

    /// Counts core types one by one, and none in a group: groups are of the garbage collection
    /// that is off, and their reader makes room for as many types as they say they have.
    fn groups<T: FromReader<'a>>(
        &mut self,
        section: &SectionLimited<'a, T>,
        count: fn(&mut Self, &T, usize) -> Counted,
    ) -> Counted {
        let mut types = section.clone().into_iter();
        while types.len() > 0 {
            let offset = types.original_position();
            if self.bytes.get(offset) == Some(&GROUP) {
                return Err(features::off(WasmFeatures::GC, offset as u64));
            }
            let Some(ty) = types.next() else { break };
            count(self, &ty.map_err(|error| features::refusal(&error))?, offset)?;
        }
        Ok(())
    }

    fn core_type(&mut self, group: &RecGroup, offset: usize) -> Counted {
        for ty in group.types() {
            if let CompositeInnerType::Func(ty) = &ty.composite_type.inner {
                self.tally.at_most(Cap::Parameters, ty.params().len(), offset)?;
                self.tally.at_most(Cap::Parameters, ty.results().len(), offset)?;
            }
        }
        Ok(())
    }

    fn component_core_type(&mut self, ty: &CoreType<'_>, offset: usize) -> Counted {
        match ty {
            CoreType::Rec(group) => self.core_type(group, offset),
            CoreType::Module(declarations) => declarations.iter().try_for_each(|declared| {
                let ModuleTypeDeclaration::Type(group) = declared else { return Ok(()) };
                self.tally.add(Cap::Types, 1_u64, offset)?;
                self.core_type(group, offset)
            }),
        }
    }

    /// Recurses as deep as types are declared within each other, which was capped before.
    fn component_type(&mut self, ty: &ComponentType<'_>, offset: usize) -> Counted {
        match ty {
            ComponentType::Func(ty) => self.tally.at_most(Cap::Parameters, ty.params.len(), offset),
            ComponentType::Component(declarations) => {
                declarations.iter().try_for_each(|declared| match declared {
                    ComponentTypeDeclaration::Type(ty) => self.declared(ty, offset),
                    ComponentTypeDeclaration::CoreType(ty) => self.declared_core(ty, offset),
                    _ => Ok(()),
                })
            }
            ComponentType::Instance(declarations) => {
                declarations.iter().try_for_each(|declared| match declared {
                    InstanceTypeDeclaration::Type(ty) => self.declared(ty, offset),
                    InstanceTypeDeclaration::CoreType(ty) => self.declared_core(ty, offset),
                    _ => Ok(()),
                })
            }
            ComponentType::Defined(_) | ComponentType::Resource { .. } => Ok(()),
        }
    }

    fn declared(&mut self, ty: &ComponentType<'_>, offset: usize) -> Counted {
        self.tally.add(Cap::Types, 1_u64, offset)?;
        self.component_type(ty, offset)
    }

    fn declared_core(&mut self, ty: &CoreType<'_>, offset: usize) -> Counted {
        self.tally.add(Cap::Types, 1_u64, offset)?;
        self.component_core_type(ty, offset)
    }
}

/// Reads a section's items one by one.
fn items<'a, T: FromReader<'a>>(
    section: &SectionLimited<'a, T>,
    mut each: impl FnMut(usize, T) -> Counted,
) -> Counted {
    for item in section.clone().into_iter_with_offsets() {
        let (offset, item) = item.map_err(|error: Error| features::refusal(&error))?;
        each(offset, item)?;
    }
    Ok(())
}

/// How a group of types begins.
const GROUP: u8 = 0x4e;

/// How many component or instance types may be declared within others in a section of types: a
/// declaration of one begins with these two bytes, which may stand in a name as well. It is counted
/// in the bytes, since whoever reads the types recurses.
fn inner_types(section: &[u8]) -> u64 {
    const DECLARED: u8 = 0x01;
    const COMPONENT_TYPE: u8 = 0x41;
    const INSTANCE_TYPE: u8 = 0x42;
    let pairs = section.windows(2);
    pairs.filter(|pair| matches!(pair, [DECLARED, COMPONENT_TYPE | INSTANCE_TYPE])).count() as u64
}

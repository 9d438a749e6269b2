//! A component's items, given to the validator one by one: what one costs is known before it is
//! validated, and counts against a cap. What costs no more than its bytes is not counted.

use wasmparser::{
    BinaryReader, CanonicalFunction, ComponentAlias, ComponentAliasSectionReader,
    ComponentCanonicalSectionReader as CanonicalReader, ComponentExport,
    ComponentExportSectionReader, ComponentExternalKind, ComponentImport,
    ComponentImportSectionReader, ComponentInstance, ComponentInstanceSectionReader,
    ComponentOuterAliasKind, ComponentType, ComponentTypeRef, ComponentTypeSectionReader,
    ComponentValType, Error, FromReader, Instance, InstanceSectionReader, Payload, SectionLimited,
    TypeBounds, Validator, types::TypesRef,
};

use super::{
    declared::Declared,
    features,
    sizes::{Sizes, sum},
    tally::Tally,
};
use crate::{Cap, Refusal, features::FEATURES};

/// Validates the sections whose items may cost more than their bytes.
#[derive(Default)]
pub(super) struct Work {
    sizes: Sizes,
    /// One item as a section of its own.
    section: Vec<u8>,
}

impl Work {
    /// Validates a section that is one of those; false where it is another.
    pub(super) fn validate(
        &mut self,
        payload: &Payload<'_>,
        validator: &mut Validator,
        tally: &mut Tally<'_>,
        bytes: &[u8],
    ) -> Result<bool, Refusal> {
        /// Reads a section item by item: what each costs is charged, then it is validated.
        macro_rules! each {
            ($section:ident, $reader:ident, $validate:ident, $cost:ident) => {
                if $section.count() == 0 {
                    validator.$validate($section).map_err(invalid)?;
                }
                for (start, end) in ranges($section)? {
                    self.section.clear();
                    self.section.push(1);
                    self.section.extend_from_slice(bytes.get(start..end).unwrap_or_default());
                    // Places are those in the file; the item begins behind the number 1.
                    let place = start.saturating_sub(1);
                    let reader = BinaryReader::new_features(&self.section, place, FEATURES);
                    let one = $reader::new(reader).map_err(invalid)?;
                    if let Some(Ok(item)) = one.clone().into_iter().next() {
                        let mut known = Known { validator, sizes: &mut self.sizes };
                        tally.add(Cap::Work, known.$cost(&item), start)?;
                    }
                    validator.$validate(&one).map_err(invalid)?;
                }
            };
        }
        match payload {
            Payload::InstanceSection(section) => {
                each!(section, InstanceSectionReader, instance_section, core_instance);
            }
            Payload::ComponentInstanceSection(section) => {
                each!(
                    section,
                    ComponentInstanceSectionReader,
                    component_instance_section,
                    instance
                );
            }
            Payload::ComponentAliasSection(section) => {
                each!(section, ComponentAliasSectionReader, component_alias_section, alias);
            }
            Payload::ComponentTypeSection(section) => {
                each!(section, ComponentTypeSectionReader, component_type_section, declared);
            }
            Payload::ComponentCanonicalSection(section) => {
                each!(section, CanonicalReader, component_canonical_section, canonical);
            }
            Payload::ComponentImportSection(section) => {
                each!(section, ComponentImportSectionReader, component_import_section, import);
            }
            Payload::ComponentExportSection(section) => {
                each!(section, ComponentExportSectionReader, component_export_section, export);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn invalid(error: Error) -> Refusal {
    features::refusal(&error)
}

/// Where a section's items begin and end; what is behind the last belongs to it, so that it is
/// found there.
fn ranges<'a, T: FromReader<'a>>(
    section: &SectionLimited<'a, T>,
) -> Result<Vec<(usize, usize)>, Refusal> {
    let mut ranges = Vec::new();
    let mut items = section.clone().into_iter();
    while items.len() > 0 {
        let start = items.original_position();
        let Some(item) = items.next() else { break };
        item.map_err(invalid)?;
        let is_last = items.len() == 0;
        ranges.push((start, if is_last { section.range().end } else { items.original_position() }));
    }
    Ok(ranges)
}

/// What the validator knows by now, and the sizes of it.
pub(super) struct Known<'v> {
    validator: &'v Validator,
    sizes: &'v mut Sizes,
}

impl Known<'_> {
    /// Copies what the module imports, and looks each of it up.
    fn core_instance(&mut self, instance: &Instance<'_>) -> u64 {
        match instance {
            Instance::Instantiate { module_index, args } => {
                sum([self.module(*module_index), args.len() as u64])
            }
            Instance::FromExports(_) => 0,
        }
    }

    /// Compares what is given with what is imported, and rewrites what is exported.
    fn instance(&mut self, instance: &ComponentInstance<'_>) -> u64 {
        match instance {
            ComponentInstance::Instantiate { component_index, args } => {
                let made = self.entity(ComponentExternalKind::Component, *component_index);
                sum(args.iter().map(|arg| self.entity(arg.kind, arg.index))).saturating_add(made)
            }
            ComponentInstance::FromExports(exports) => {
                sum(exports.iter().map(|export| self.entity(export.kind, export.index)))
            }
        }
    }

    /// Looks for resources in a type that comes from outside.
    fn alias(&mut self, alias: &ComponentAlias<'_>) -> u64 {
        match *alias {
            ComponentAlias::Outer { kind: ComponentOuterAliasKind::Type, count, index } => {
                self.type_at(count, index)
            }
            _ => 0,
        }
    }

    fn declared(&mut self, ty: &ComponentType<'_>) -> u64 {
        Declared::work(self, ty)
    }

    /// Flattens a function's type.
    fn canonical(&mut self, function: &CanonicalFunction) -> u64 {
        match *function {
            CanonicalFunction::Lift { type_index, .. } => self.type_at(0, type_index),
            CanonicalFunction::Lower { func_index, .. } => {
                self.entity(ComponentExternalKind::Func, func_index)
            }
            _ => 0,
        }
    }

    /// Looks whether all that is exported is named, and compares it with the type it is given.
    fn export(&mut self, export: &ComponentExport<'_>) -> u64 {
        let ascribed = export.ty.map_or(0, |ty| self.reference(ty));
        self.entity(export.kind, export.index).saturating_add(ascribed)
    }

    /// Looks whether all that is imported is named.
    fn import(&mut self, import: &ComponentImport<'_>) -> u64 {
        self.reference(import.ty)
    }

    fn reference(&mut self, ty: ComponentTypeRef) -> u64 {
        match ty {
            ComponentTypeRef::Module(index) => self.core_type_at(0, index),
            ComponentTypeRef::Func(index)
            | ComponentTypeRef::Type(TypeBounds::Eq(index))
            | ComponentTypeRef::Instance(index)
            | ComponentTypeRef::Component(index)
            | ComponentTypeRef::Value(ComponentValType::Type(index)) => self.type_at(0, index),
            ComponentTypeRef::Type(TypeBounds::SubResource)
            | ComponentTypeRef::Value(ComponentValType::Primitive(_)) => 1,
        }
    }

    /// The size of a type by its index, `outward` components from here; 1 where there is none,
    /// which the validator refuses.
    pub(super) fn type_at(&mut self, outward: u32, index: u32) -> u64 {
        let Some(types) = types(self.validator, outward) else { return 1 };
        if index >= types.component_type_count() {
            return 1;
        }
        self.sizes.any(types, types.component_any_type_at(index))
    }

    /// The same of a core type.
    pub(super) fn core_type_at(&self, outward: u32, index: u32) -> u64 {
        let Some(types) = types(self.validator, outward) else { return 1 };
        if index >= types.core_type_count_in_component() {
            return 1;
        }
        Sizes::core(types, types.core_type_at_in_component(index))
    }

    fn module(&self, index: u32) -> u64 {
        let Some(types) = types(self.validator, 0).filter(|types| index < types.module_count())
        else {
            return 1;
        };
        Sizes::module(types, types.module_at(index))
    }

    /// The size of something in the component's index spaces.
    fn entity(&mut self, kind: ComponentExternalKind, index: u32) -> u64 {
        let Some(types) = self.validator.types(0) else { return 1 };
        let id = match kind {
            ComponentExternalKind::Module => return self.module(index),
            ComponentExternalKind::Value => return 1,
            ComponentExternalKind::Type => return self.type_at(0, index),
            ComponentExternalKind::Func => (index < types.component_function_count())
                .then(|| types.component_function_at(index).into()),
            ComponentExternalKind::Instance => (index < types.component_instance_count())
                .then(|| types.component_instance_at(index).into()),
            ComponentExternalKind::Component => {
                (index < types.component_count()).then(|| types.component_at(index).into())
            }
        };
        id.map_or(1, |id| self.sizes.any(types, id))
    }
}

fn types(validator: &Validator, outward: u32) -> Option<TypesRef<'_>> {
    validator.types(usize::try_from(outward).ok()?)
}

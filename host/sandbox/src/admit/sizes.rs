//! How large types are once they are written out in full. Types name each other, so that a few
//! bytes of a file make a type of a million parts, and the validator's walks visit each of these
//! at each use. Names count by their length, since they are hashed and copied with their types.

use std::collections::HashMap;

use wasmparser::{
    component_types::{
        ComponentAnyTypeId, ComponentCoreModuleTypeId, ComponentCoreTypeId, ComponentDefinedType,
        ComponentEntityType, ComponentItem, ComponentValType, ResourceId,
    },
    types::TypesRef,
};

/// Bytes of a name that count as one part: they are copied or hashed in about the time in which a
/// part of a type is visited.
const NAME_BYTES: usize = 64;

/// What a name adds to the part it belongs to.
pub(super) const fn named(name: &str) -> u64 {
    1 + (name.len() / NAME_BYTES) as u64
}

/// What is within a component's type counts this often. Where two of them are compared, each is
/// rewritten in the terms of the other first, with all of those within.
pub(super) const REWRITTEN: u64 = 2;

/// The sizes of types, each found once.
#[derive(Default)]
pub(super) struct Sizes {
    known: HashMap<ComponentAnyTypeId, u64>,
}

impl Sizes {
    /// The size of a type; that of one which is of a type it cannot see is 1.
    pub(super) fn any(&mut self, types: TypesRef<'_>, id: ComponentAnyTypeId) -> u64 {
        if let Some(size) = self.known.get(&id) {
            return *size;
        }
        let size = match id {
            ComponentAnyTypeId::Resource(_) => return 1,
            ComponentAnyTypeId::Defined(id) => {
                types.get(id).map_or(1, |ty| self.defined(types, ty))
            }
            ComponentAnyTypeId::Func(id) => types.get(id).map_or(1, |function| {
                let parameters =
                    function.params.iter().map(|(name, ty)| named(name) + self.value(types, ty));
                let parameters = sum(parameters);
                sum([1, parameters, self.values(types, &function.result)])
            }),
            ComponentAnyTypeId::Instance(id) => types.get(id).map_or(1, |instance| {
                let exports = self.items(types, &instance.exports);
                sum([1, exports, paths(instance.explicit_resources.values())])
            }),
            ComponentAnyTypeId::Component(id) => types.get(id).map_or(1, |component| {
                let within = sum([
                    self.items(types, &component.imports),
                    self.items(types, &component.exports),
                    listed(&component.imported_resources),
                    listed(&component.defined_resources),
                    paths(component.explicit_resources.values()),
                ]);
                within.saturating_mul(REWRITTEN).saturating_add(1)
            }),
        };
        self.known.insert(id, size);
        size
    }

    /// The size of the type of a core module.
    pub(super) fn module(types: TypesRef<'_>, id: ComponentCoreModuleTypeId) -> u64 {
        types.get(id).map_or(1, |module| {
            let imports = module.imports.keys().map(|(module, name)| named(module) + named(name));
            sum([1, sum(imports), sum(module.exports.keys().map(|name| named(name)))])
        })
    }

    /// The size of a core type, of which modules alone have parts that are visited again.
    pub(super) fn core(types: TypesRef<'_>, id: ComponentCoreTypeId) -> u64 {
        match id {
            ComponentCoreTypeId::Module(id) => Self::module(types, id),
            ComponentCoreTypeId::Sub(_) => 1,
        }
    }

    fn items<'a>(
        &mut self,
        types: TypesRef<'_>,
        items: impl IntoIterator<Item = (&'a String, &'a ComponentItem)>,
    ) -> u64 {
        sum(items.into_iter().map(|(name, item)| named(name) + self.entity(types, &item.ty)))
    }

    fn entity(&mut self, types: TypesRef<'_>, entity: &ComponentEntityType) -> u64 {
        match *entity {
            ComponentEntityType::Module(id) => Self::module(types, id),
            ComponentEntityType::Func(id) => self.any(types, id.into()),
            ComponentEntityType::Value(ty) => self.value(types, &ty),
            ComponentEntityType::Type { created, .. } => self.any(types, created),
            ComponentEntityType::Instance(id) => self.any(types, id.into()),
            ComponentEntityType::Component(id) => self.any(types, id.into()),
        }
    }

    fn defined(&mut self, types: TypesRef<'_>, ty: &ComponentDefinedType) -> u64 {
        let within = match ty {
            ComponentDefinedType::Primitive(_)
            | ComponentDefinedType::Own(_)
            | ComponentDefinedType::Borrow(_) => 0,
            ComponentDefinedType::Record(record) => {
                let fields = record.fields.iter();
                sum(fields.map(|(name, ty)| named(name) + self.value(types, ty)))
            }
            ComponentDefinedType::Variant(variant) => {
                let cases = variant.cases.iter();
                sum(cases.map(|(name, case)| named(name) + self.values(types, &case.ty)))
            }
            ComponentDefinedType::Tuple(tuple) => self.values(types, &*tuple.types),
            ComponentDefinedType::Flags(names) | ComponentDefinedType::Enum(names) => {
                sum(names.iter().map(|name| named(name)))
            }
            ComponentDefinedType::List { element, .. }
            | ComponentDefinedType::FixedLengthList { element, .. } => self.value(types, element),
            ComponentDefinedType::Option { ty, .. } => self.value(types, ty),
            ComponentDefinedType::Map { key, value, .. } => self.values(types, [key, value]),
            ComponentDefinedType::Result { ok, err, .. } => {
                self.values(types, ok.iter().chain(err))
            }
            ComponentDefinedType::Future { ty, .. } | ComponentDefinedType::Stream { ty, .. } => {
                self.values(types, ty)
            }
        };
        within.saturating_add(1)
    }

    fn values<'a>(
        &mut self,
        types: TypesRef<'_>,
        values: impl IntoIterator<Item = &'a ComponentValType>,
    ) -> u64 {
        sum(values.into_iter().map(|ty| self.value(types, ty)))
    }

    fn value(&mut self, types: TypesRef<'_>, ty: &ComponentValType) -> u64 {
        match ty {
            ComponentValType::Primitive(_) => 1,
            ComponentValType::Type(id) => self.any(types, (*id).into()),
        }
    }
}

/// The sum, or the most there can be.
pub(super) fn sum(sizes: impl IntoIterator<Item = u64>) -> u64 {
    sizes.into_iter().fold(0, u64::saturating_add)
}

/// Where resources are found in what names them: a path has a step for each instance around one.
fn paths<'a>(paths: impl Iterator<Item = &'a Vec<usize>>) -> u64 {
    sum(paths.map(|path| 1 + path.len() as u64))
}

fn listed(resources: &[(ResourceId, Vec<usize>)]) -> u64 {
    paths(resources.iter().map(|(_, path)| path))
}

//! Types of components and instances that are declared at one place, with all that is declared
//! within them: what their validation costs, found before it. Nothing of them is known to the
//! validator yet, so sizes are found here the same way, from above: what is named in an instance
//! counts as all of that instance.

use wasmparser::{
    ComponentAlias, ComponentDefinedType, ComponentExternalKind, ComponentOuterAliasKind,
    ComponentType, ComponentTypeDeclaration, ComponentTypeRef, ComponentValType, CoreType,
    InstanceTypeDeclaration, TypeBounds,
};

use super::{
    sizes::{REWRITTEN, named, sum},
    work::Known,
};

/// What is declared, read from the outside in.
pub(super) struct Declared<'a, 'v> {
    known: &'a mut Known<'v>,
    scopes: Vec<Scope>,
    work: u64,
}

/// One type of a component or an instance that is being read: the sizes of what it can name.
#[derive(Default)]
struct Scope {
    types: Vec<u64>,
    core_types: Vec<u64>,
    instances: Vec<u64>,
    /// Of all that it imports and exports.
    size: u64,
}

impl<'a, 'v> Declared<'a, 'v> {
    /// What it costs to validate `ty`, which stands in a component's own types.
    pub(super) fn work(known: &'a mut Known<'v>, ty: &ComponentType<'_>) -> u64 {
        if !matches!(ty, ComponentType::Component(_) | ComponentType::Instance(_)) {
            // Made in one step for each of its bytes at most, and not walked.
            return 0;
        }
        let mut declared = Self { known, scopes: Vec::new(), work: 0 };
        let size = declared.size(ty);
        declared.work.saturating_add(size)
    }

    /// The size of a type. Recurses as deep as types are declared within each other, which was
    /// capped before.
    fn size(&mut self, ty: &ComponentType<'_>) -> u64 {
        match ty {
            ComponentType::Defined(ty) => self.defined(ty),
            ComponentType::Func(ty) => {
                let parameters = ty.params.iter().map(|(name, ty)| named(name) + self.value(*ty));
                sum([1, sum(parameters), self.values(ty.result)])
            }
            ComponentType::Component(declarations) => {
                self.scopes.push(Scope::default());
                for declared in declarations {
                    match declared {
                        ComponentTypeDeclaration::CoreType(ty) => self.core_type(ty),
                        ComponentTypeDeclaration::Type(ty) => self.inner(ty),
                        ComponentTypeDeclaration::Alias(alias) => self.alias(alias),
                        ComponentTypeDeclaration::Export { name, ty } => self.named(name.name, *ty),
                        ComponentTypeDeclaration::Import(import) => {
                            self.named(import.name.name, import.ty);
                        }
                    }
                }
                self.close().saturating_mul(REWRITTEN).saturating_add(1)
            }
            ComponentType::Instance(declarations) => {
                self.scopes.push(Scope::default());
                for declared in declarations {
                    match declared {
                        InstanceTypeDeclaration::CoreType(ty) => self.core_type(ty),
                        InstanceTypeDeclaration::Type(ty) => self.inner(ty),
                        InstanceTypeDeclaration::Alias(alias) => self.alias(alias),
                        InstanceTypeDeclaration::Export { name, ty } => self.named(name.name, *ty),
                    }
                }
                self.close().saturating_add(1)
            }
            ComponentType::Resource { .. } => 1,
        }
    }

    fn close(&mut self) -> u64 {
        self.scopes.pop().map_or(0, |scope| scope.size)
    }

    fn inner(&mut self, ty: &ComponentType<'_>) {
        let size = self.size(ty);
        if matches!(ty, ComponentType::Component(_) | ComponentType::Instance(_)) {
            self.charge(size);
        }
        self.define(size);
    }

    fn core_type(&mut self, ty: &CoreType<'_>) {
        let size = match ty {
            CoreType::Rec(_) => 1,
            CoreType::Module(declarations) => declarations.len() as u64,
        };
        if let Some(scope) = self.scopes.last_mut() {
            scope.core_types.push(size);
        }
    }

    /// Something that the type imports or exports under a name.
    fn named(&mut self, name: &str, ty: ComponentTypeRef) {
        let size = match ty {
            ComponentTypeRef::Module(index) => self.core_type_at(0, index),
            ComponentTypeRef::Func(index)
            | ComponentTypeRef::Type(TypeBounds::Eq(index))
            | ComponentTypeRef::Instance(index)
            | ComponentTypeRef::Component(index) => self.type_at(0, index),
            ComponentTypeRef::Type(TypeBounds::SubResource) => 1,
            ComponentTypeRef::Value(ty) => self.value(ty),
        };
        let size = size.saturating_add(named(name));
        self.charge(size);
        let Some(scope) = self.scopes.last_mut() else { return };
        scope.size = scope.size.saturating_add(size);
        match ty {
            ComponentTypeRef::Type(_) => scope.types.push(size),
            ComponentTypeRef::Instance(_) => scope.instances.push(size),
            ComponentTypeRef::Module(_)
            | ComponentTypeRef::Func(_)
            | ComponentTypeRef::Value(_)
            | ComponentTypeRef::Component(_) => {}
        }
    }

    fn alias(&mut self, alias: &ComponentAlias<'_>) {
        match *alias {
            ComponentAlias::InstanceExport { kind, instance_index, .. } => {
                let Some(scope) = self.scopes.last_mut() else { return };
                let size = at(&scope.instances, instance_index);
                match kind {
                    ComponentExternalKind::Type => scope.types.push(size),
                    ComponentExternalKind::Instance => scope.instances.push(size),
                    _ => {}
                }
            }
            ComponentAlias::Outer { kind: ComponentOuterAliasKind::Type, count, index } => {
                let size = self.type_at(count, index);
                self.charge(size);
                self.define(size);
            }
            ComponentAlias::Outer { kind: ComponentOuterAliasKind::CoreType, count, index } => {
                let size = self.core_type_at(count, index);
                if let Some(scope) = self.scopes.last_mut() {
                    scope.core_types.push(size);
                }
            }
            // The validator refuses those in types.
            ComponentAlias::Outer { .. } | ComponentAlias::CoreInstanceExport { .. } => {}
        }
    }

    fn define(&mut self, size: u64) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.types.push(size);
        }
    }

    fn charge(&mut self, work: u64) {
        self.work = self.work.saturating_add(work);
    }

    /// A type by its index, `outward` scopes from here.
    fn type_at(&mut self, outward: u32, index: u32) -> u64 {
        match self.scope(outward) {
            Ok(scope) => at(&scope.types, index),
            Err(outward) => self.known.type_at(outward, index),
        }
    }

    fn core_type_at(&mut self, outward: u32, index: u32) -> u64 {
        match self.scope(outward) {
            Ok(scope) => at(&scope.core_types, index),
            Err(outward) => self.known.core_type_at(outward, index),
        }
    }

    /// A scope that is being read; else how far it is outside of these.
    fn scope(&self, outward: u32) -> Result<&Scope, u32> {
        let scopes = u32::try_from(self.scopes.len()).unwrap_or(u32::MAX);
        let inside = usize::try_from(outward).ok();
        inside
            .and_then(|outward| self.scopes.iter().nth_back(outward))
            .ok_or_else(|| outward.saturating_sub(scopes))
    }

    fn defined(&mut self, ty: &ComponentDefinedType<'_>) -> u64 {
        let within = match ty {
            ComponentDefinedType::Primitive(_)
            | ComponentDefinedType::Own(_)
            | ComponentDefinedType::Borrow(_) => 0,
            ComponentDefinedType::Record(fields) => {
                sum(fields.iter().map(|(name, ty)| named(name) + self.value(*ty)))
            }
            ComponentDefinedType::Variant(cases) => {
                sum(cases.iter().map(|case| named(case.name) + self.values(case.ty)))
            }
            ComponentDefinedType::Tuple(types) => self.values(types.iter().copied()),
            ComponentDefinedType::Flags(names) | ComponentDefinedType::Enum(names) => {
                sum(names.iter().map(|name| named(name)))
            }
            ComponentDefinedType::List(ty)
            | ComponentDefinedType::FixedLengthList(ty, _)
            | ComponentDefinedType::Option(ty) => self.value(*ty),
            ComponentDefinedType::Map(key, value) => self.values([*key, *value]),
            ComponentDefinedType::Result { ok, err } => self.values(ok.iter().chain(err).copied()),
            ComponentDefinedType::Future(ty) | ComponentDefinedType::Stream(ty) => self.values(*ty),
        };
        within.saturating_add(1)
    }

    fn values(&mut self, values: impl IntoIterator<Item = ComponentValType>) -> u64 {
        sum(values.into_iter().map(|ty| self.value(ty)))
    }

    fn value(&mut self, ty: ComponentValType) -> u64 {
        match ty {
            ComponentValType::Primitive(_) => 1,
            ComponentValType::Type(index) => self.type_at(0, index),
        }
    }
}

/// The size at an index; 1 where there is none, which the validator refuses.
fn at(sizes: &[u64], index: u32) -> u64 {
    usize::try_from(index).ok().and_then(|at| sizes.get(at)).copied().unwrap_or(1)
}

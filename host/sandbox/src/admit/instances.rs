//! How many core instances a component comes to have once it is instantiated: components within
//! it may be instantiated again and again, so that a few hundred bytes make millions.

use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind,
    ComponentTypeRef, Instance,
};

/// The components that are being read, the outermost first.
#[derive(Default)]
pub(super) struct Scopes {
    open: Vec<Scope>,
}

/// A component that is being read.
#[derive(Default)]
struct Scope {
    /// What an instance of this component has, as far as it was read.
    core_instances: u64,
    /// The same of each component in its index space.
    components: Vec<u64>,
}

/// What a component has that is known by its type alone: one that another component is given, or
/// that an instance exports. No tool makes those; if somebody makes many core instances of them,
/// the compiler's limits end it.
const UNKNOWN: u64 = 1;

impl Scopes {
    /// A component begins.
    pub(super) fn enter(&mut self) {
        self.open.push(Scope::default());
    }

    /// It ends, and is one of those that the component around it can instantiate.
    pub(super) fn leave(&mut self) {
        let Some(scope) = self.open.pop() else { return };
        self.define(scope.core_instances);
    }

    pub(super) fn import(&mut self, ty: &ComponentTypeRef) {
        if matches!(ty, ComponentTypeRef::Component(_)) {
            self.define(UNKNOWN);
        }
    }

    /// An export is also a new name for what is exported.
    pub(super) fn export(&mut self, kind: ComponentExternalKind, index: u32) {
        if kind == ComponentExternalKind::Component {
            self.define(self.component(0, index));
        }
    }

    pub(super) fn alias(&mut self, alias: &ComponentAlias<'_>) {
        match *alias {
            ComponentAlias::InstanceExport { kind: ComponentExternalKind::Component, .. } => {
                self.define(UNKNOWN);
            }
            ComponentAlias::Outer { kind: ComponentOuterAliasKind::Component, count, index } => {
                self.define(self.component(count, index));
            }
            _ => {}
        }
    }

    /// What the component has with this instance.
    pub(super) fn core_instance(&mut self, instance: &Instance<'_>) -> u64 {
        self.instantiate(u64::from(matches!(instance, Instance::Instantiate { .. })))
    }

    /// What the component has with this instance.
    pub(super) fn instance(&mut self, instance: &ComponentInstance<'_>) -> u64 {
        self.instantiate(match *instance {
            ComponentInstance::Instantiate { component_index, .. } => {
                self.component(0, component_index)
            }
            ComponentInstance::FromExports(_) => 0,
        })
    }

    fn define(&mut self, core_instances: u64) {
        if let Some(scope) = self.open.last_mut() {
            scope.components.push(core_instances);
        }
    }

    /// What a component has, `outward` scopes from here; 0 where there is none, which the
    /// validator refuses.
    fn component(&self, outward: u32, index: u32) -> u64 {
        let scope =
            usize::try_from(outward).ok().and_then(|count| self.open.iter().nth_back(count));
        let index = usize::try_from(index).ok();
        scope.zip(index).and_then(|(scope, at)| scope.components.get(at)).copied().unwrap_or(0)
    }

    fn instantiate(&mut self, more: u64) -> u64 {
        let Some(scope) = self.open.last_mut() else { return 0 };
        scope.core_instances = scope.core_instances.saturating_add(more);
        scope.core_instances
    }
}

//! Structural caps: what a module may look like, whatever its tasks would do, and how an operator
//! sets them. They stop what costs more to look at or to compile than it may; the pass that holds
//! them is in [`admit`](crate::admit).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use wasmgrid_proto::ByteCount;

/// Makes [`Caps`] and [`Cap`] of one table: a field with its documentation, the cap's name, its
/// default, the most it can be set to, what it counts, and what helps who is over it.
macro_rules! caps {
    ($(
        $(#[$doc:meta])*
        $field:ident: $cap:ident = $name:literal, $unit:ident, $default:expr, most $most:expr,
        $counts:literal, $help:literal;
    )*) => {
        /// What a module may look like. Defaults lie between the largest honest modules known (a
        /// Python runtime as a component: 18 MB, 13,500 functions of up to 427 KB and 271 locals,
        /// 38 core modules) and the smallest that were built to cost their compiler seconds or
        /// gigabytes. Unless a field says otherwise it counts all of the file, with every module
        /// and component in it.
        ///
        /// Beyond what can be set here are the parser's own limits (`wasmparser`'s `limits.rs`),
        /// whose refusals say that they are `invalid WebAssembly`.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub struct Caps {
            $($(#[$doc])* pub $field: u64,)*
        }

        impl Default for Caps {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl Caps {
            /// Each at the most it can be set to.
            #[must_use]
            pub const fn most() -> Self {
                Self { $($field: $most,)* }
            }

            /// What `cap` is set to.
            #[must_use]
            pub const fn value(&self, cap: Cap) -> u64 {
                match cap { $(Cap::$cap => self.$field,)* }
            }

            /// None of anything.
            pub(crate) const fn none() -> Self {
                Self { $($field: 0,)* }
            }

            pub(crate) const fn value_mut(&mut self, cap: Cap) -> &mut u64 {
                match cap { $(Cap::$cap => &mut self.$field,)* }
            }
        }

        /// Names a field of [`Caps`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Cap {
            $(#[doc = concat!("[`Caps::", stringify!($field), "`]")] $cap,)*
        }

        impl Cap {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$cap),*];

            /// The name under which it is set.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$cap => $name,)* }
            }

            /// The most it can be set to.
            #[must_use]
            pub const fn most(self) -> u64 {
                match self { $(Self::$cap => $most,)* }
            }

            /// What it counts, for "… is 7".
            #[must_use]
            pub const fn counts(self) -> &'static str {
                match self { $(Self::$cap => $counts,)* }
            }

            /// What an author can do about it.
            pub(crate) const fn help(self) -> &'static str {
                match self { $(Self::$cap => $help,)* }
            }

            const fn unit(self) -> Unit {
                match self { $(Self::$cap => Unit::$unit,)* }
            }
        }
    };
}

/// How a cap's value is written.
#[derive(Clone, Copy)]
enum Unit {
    Bytes,
    Count,
}

/// Where nothing but the file's size sets an end.
const NO_END: u64 = u64::MAX;

caps! {
    /// The file's size. Default 32 MiB: a Python runtime is 18 MB. Most 64 MiB: each module is
    /// held in memory, and sent as one message.
    module_bytes: ModuleBytes = "module-bytes", Bytes, 32 << 20, most 64 << 20,
        "the module's size", "strip debug information (`wasm-tools strip`)";
    /// Custom sections together: names, debug information. Default 16 MiB: they are stored and
    /// sent with the module, and never run.
    custom_bytes: CustomBytes = "custom-bytes", Bytes, 16 << 20, most NO_END,
        "the size of custom sections", "strip debug information (`wasm-tools strip`)";
    /// Functions with a body. Default 50,000: 13,500 in Python; 900,000 empty ones took the
    /// compiler 80 s and 5.1 GiB.
    functions: Functions = "functions", Count, 50_000, most 1_000_000,
        "the number of functions", "link with `--gc-sections`, or split the module";
    /// One function's body. Default 512 KiB: 427 KB in Python; one of 1.6 MB took over 120 s.
    body_bytes: BodyBytes = "body-bytes", Bytes, 512 << 10, most 7_654_321,
        "the size of a function's body", "split the function, or turn off inlining";
    /// Locals that one function declares. Default 2,000: 271 in Python; 300 loops over 50,000
    /// locals in 209 KB took over 15 s.
    locals: Locals = "locals", Count, 2_000, most 50_000,
        "the number of a function's locals", "split the function, or turn on optimisation";
    /// Locals of all functions together. Default 1,000,000: fifty times those of Python.
    total_locals: TotalLocals = "total-locals", Count, 1_000_000, most NO_END,
        "the number of all functions' locals", "turn on optimisation, or split the module";
    /// Blocks, loops and ifs within each other in one function. Default 1,000: compilers of
    /// languages stay below 200, and the engine's compiler recurses.
    block_nesting: BlockNesting = "block-nesting", Count, 1_000, most 7_654_321,
        "the nesting of blocks", "split the function";
    /// Targets of all `br_table`s of one function. Default 100,000: an interpreter's loop has
    /// hundreds, a table over all of Unicode some ten thousand.
    branch_targets: BranchTargets = "branch-targets", Count, 100_000, most 7_654_321,
        "the number of a function's br_table targets", "split its largest switch";
    /// Types, those declared within others too. Default 10,000; 19 MB of types took 20 s and
    /// 1.0 GiB.
    types: Types = "types", Count, 10_000, most 1_000_000,
        "the number of types", "split the module";
    /// Type sections together. Default 256 KiB: 17 KB in Python; what is read of a type takes up
    /// to thirty times its bytes in memory.
    type_bytes: TypeBytes = "type-bytes", Bytes, 256 << 10, most NO_END,
        "the size of type sections", "split the module";
    /// Component and instance types declared within others, in one section. Default 100: 2 in
    /// Python; readers of types recurse, and take some 3 KB of stack for each. Most 200, for
    /// which half a thread's stack has room.
    inner_types: InnerTypes = "inner-types", Count, 100, most 200,
        "the number of types within types", "import only the parts of the interfaces that are used";
    /// Parameters of one function, and results of one. Default 64: ABIs pass more in memory, and
    /// calls with 1,000 results took the compiler seconds each.
    parameters: Parameters = "parameters", Count, 64, most 1_000,
        "the number of a function's parameters or results", "pass them in memory";
    /// Imports. Default 50,000: a Python runtime's modules import some thousands from each other.
    imports: Imports = "imports", Count, 50_000, most 1_000_000,
        "the number of imports", "link statically";
    /// Exports. Default 100,000: a Python runtime's modules export some ten thousand symbols.
    exports: Exports = "exports", Count, 100_000, most 1_000_000,
        "the number of exports", "link with `--gc-sections`, without `--export-all`";
    /// Globals. Default 50,000: linked libraries have one for each symbol they share.
    globals: Globals = "globals", Count, 50_000, most 1_000_000,
        "the number of globals", "link statically";
    /// Tables of one core module, without imported ones. Default 8, for which runners have room.
    tables: Tables = "tables", Count, 8, most 8,
        "the number of a core module's tables", "use fewer";
    /// Memories of one core module, without imported ones. Default 4, for which runners have
    /// room.
    memories: Memories = "memories", Count, 4, most 4,
        "the number of a core module's memories", "use fewer";
    /// Data and element segments. Default 50,000: Go makes some thousands.
    segments: Segments = "segments", Count, 50_000, most 200_000,
        "the number of data and element segments", "join neighbouring data";
    /// Elements of all element segments. Default 500,000: about one for each function whose
    /// address is taken.
    elements: Elements = "elements", Count, 500_000, most 10_000_000,
        "the number of elements in segments", "split the module";
    /// Core modules and components within the file. Default 200: a Python runtime has 38 core
    /// modules and as many small components around them.
    components: Components = "components", Count, 200, most 1_000,
        "the number of modules and components within the component", "link them into fewer";
    /// Components within each other. Default 20: tools that compose components make two or
    /// three levels.
    component_nesting: ComponentNesting = "component-nesting", Count, 20, most 100,
        "the nesting of components", "compose them side by side";
    /// Instances that components say they make, of modules, components and exports. Default 400;
    /// each is checked against the types of what it is made of.
    instances: Instances = "instances", Count, 400, most 1_000,
        "the number of instances", "link components into fewer";
    /// Instances of core modules that one task comes to have, counted through components that
    /// are instantiated again and again. Default 64, for which runners have room.
    core_instances: CoreInstances = "core-instances", Count, 64, most 64,
        "the number of core instances of a task", "link its modules into fewer";
    /// Aliases and lifted, lowered and built-in functions of components. Default 100,000: one or
    /// two for each function that a component's modules share.
    component_items: ComponentItems = "component-items", Count, 100_000, most 1_000_000,
        "the number of aliases and canonical functions", "link its modules into fewer";
    /// Parts of types that are visited while a component is looked at: those of a type written out
    /// in full, once for each use of it. Default 10,000,000, which take half a second: 30,000 in a
    /// component with all of WASI; 14 KB of a file made 240,000,000. Most 1,000,000,000.
    work: Work = "work", Count, 10_000_000, most 1_000_000_000,
        "the number of parts of types that are visited, counted again at each use of a type,",
        "use fewer or smaller types";
}

impl Cap {
    /// `value` in the cap's unit.
    #[must_use]
    pub fn show(self, value: u64) -> String {
        match self.unit() {
            Unit::Bytes => ByteCount(value).to_string(),
            Unit::Count => value.to_string(),
        }
    }
}

/// One cap and its value, written `NAME=VALUE` as in `functions=100000` or `module-bytes=64MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapSetting {
    /// Which.
    pub cap: Cap,
    /// In bytes or as a count.
    pub value: u64,
}

/// A text that sets no cap.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CapError {
    /// It is not `NAME=VALUE`.
    #[error("invalid cap {found:?}: expected NAME=VALUE, such as functions=100000")]
    Shape {
        /// What was there.
        found: String,
    },
    /// No cap has this name.
    #[error("unknown cap {name:?}: expected one of: {}", names())]
    Name {
        /// What was there.
        name: String,
    },
    /// The value is no number, or no amount of bytes.
    #[error("invalid value {found:?} for the cap {}: expected a value such as \
         {}={example}", cap.name(), cap.name())]
    Value {
        /// Which cap.
        cap: Cap,
        /// What was there.
        found: String,
        /// A value that would do.
        example: String,
    },
    /// The value is above what the cap can be set to.
    #[error(
        "{}={found} exceeds {}, the maximum that the parser and the runners accept",
        cap.name(), cap.show(cap.most())
    )]
    Most {
        /// Which cap.
        cap: Cap,
        /// What was there.
        found: String,
    },
}

fn names() -> String {
    Cap::ALL.iter().map(|cap| cap.name()).collect::<Vec<_>>().join(", ")
}

impl FromStr for CapSetting {
    type Err = CapError;

    fn from_str(text: &str) -> Result<Self, CapError> {
        let (name, found) =
            text.split_once('=').ok_or_else(|| CapError::Shape { found: text.into() })?;
        let (name, found) = (name.trim(), found.trim());
        let cap = Cap::ALL.iter().copied().find(|cap| cap.name() == name);
        let cap = cap.ok_or_else(|| CapError::Name { name: name.into() })?;
        let value = match cap.unit() {
            Unit::Bytes => found.parse::<ByteCount>().ok().map(|bytes| bytes.0),
            Unit::Count => found.parse().ok(),
        };
        let value = value.ok_or_else(|| CapError::Value {
            cap,
            found: found.into(),
            example: cap.show(Caps::default().value(cap)),
        })?;
        if value > cap.most() {
            return Err(CapError::Most { cap, found: found.into() });
        }
        Ok(Self { cap, value })
    }
}

impl fmt::Display for CapSetting {
    /// As it is parsed: a value in bytes is written exactly.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.cap.unit() {
            Unit::Bytes => "B",
            Unit::Count => "",
        };
        write!(f, "{}={}{unit}", self.cap.name(), self.value)
    }
}

impl Caps {
    /// The defaults with these settings; of two for one cap the later counts.
    #[must_use]
    pub fn with(settings: &[CapSetting]) -> Self {
        let mut caps = Self::default();
        for setting in settings {
            *caps.value_mut(setting.cap) = setting.value;
        }
        caps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cap_is_set_by_its_name_and_written_as_it_is_read() {
        for &cap in Cap::ALL {
            let default = Caps::default().value(cap);
            assert!(default <= cap.most(), "{}", cap.name());
            let setting = CapSetting { cap, value: default - 1 };
            let read: CapSetting = setting.to_string().parse().expect("as it is written");
            assert_eq!(read, setting);
            let caps = Caps::with(&[setting]);
            assert_eq!(caps.value(cap), default - 1);
            let others = Cap::ALL.iter().filter(|other| **other != cap);
            assert!(others.clone().all(|&other| caps.value(other) == Caps::default().value(other)));
        }
    }

    #[test]
    fn bytes_are_written_with_their_units() {
        let setting: CapSetting = "module-bytes = 48MiB".parse().expect("fits");
        assert_eq!(setting, CapSetting { cap: Cap::ModuleBytes, value: 48 << 20 });
    }

    #[test]
    fn nonsense_is_refused_with_the_names_there_are() {
        let refused = |text: &str| text.parse::<CapSetting>().expect_err(text).to_string();
        assert!(refused("functions").contains("NAME=VALUE"));
        assert!(refused("function=1").contains("functions, body-bytes, locals"));
        assert!(refused("functions=many").contains("functions=50000"));
        assert!(refused("module-bytes=big").contains("module-bytes=32MiB"));
        assert!(refused("functions=1000001").contains("1000000"));
        assert!(refused("memories=5").contains("memories=5 exceeds 4"));
    }
}

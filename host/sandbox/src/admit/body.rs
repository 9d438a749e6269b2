//! One function's body, read for its structure alone: how large it is, its locals, how deep its
//! blocks nest, and whether each of its operators is one that tasks may use. Whether the operators
//! fit each other is found where the module is compiled, which validates: that costs several times
//! as much.

use wasmparser::{
    AbstractHeapType, BlockType, BrTable, FrameKind, FrameStack, FunctionBody, HeapType, ValType,
    VisitOperator, VisitSimdOperator, WasmFeatures,
};

use super::{features, plain, tally::Tally};
use crate::{Cap, Refusal, features::FEATURES, refusal::cap_refusal};

/// Reads `body` to its end. `frames` is room that bodies share.
pub(super) fn check(
    body: &FunctionBody<'_>,
    tally: &mut Tally<'_>,
    frames: &mut Vec<FrameKind>,
) -> Result<(), Refusal> {
    let range = body.range();
    tally.at_most(Cap::BodyBytes, range.len(), range.start)?;
    let invalid = |error| features::refusal(&error);
    let mut locals = body.get_locals_reader().map_err(invalid)?;
    let mut declared = 0;
    for _ in 0..locals.get_count() {
        let offset = locals.original_position();
        let (count, ty) = locals.read().map_err(invalid)?;
        declared += u64::from(count);
        tally.at_most(Cap::Locals, declared, offset)?;
        if let Some(feature) = feature_of(ty) {
            return Err(features::off(feature, offset as u64));
        }
    }
    tally.add(Cap::TotalLocals, declared, range.start)?;

    frames.clear();
    frames.push(FrameKind::Block);
    let mut operators = locals.get_binary_reader();
    // The function's own frame is no block of its author's.
    let most_frames = tally.caps().block_nesting.saturating_add(1);
    let most_depth = usize::try_from(most_frames).unwrap_or(usize::MAX);
    let most_targets = tally.caps().branch_targets;
    let mut walk = Walk { frames, most_frames, targets: 0, most_targets, stop: None };
    let code = body.as_bytes();
    while !operators.eof() {
        // Behind its end a function has nothing, which the parser says.
        if !walk.frames.is_empty() {
            let rest = operators.original_position() - range.start;
            let skipped =
                plain::skip(code.get(rest..).unwrap_or_default(), walk.frames, most_depth);
            operators.read_bytes(skipped).map_err(invalid)?;
        }
        let offset = operators.original_position();
        operators.visit_operator(&mut walk).map_err(invalid)?;
        if let Some(stop) = walk.stop {
            return Err(stop.refusal(tally, offset));
        }
    }
    operators.finish_expression(&walk).map_err(invalid)
}

/// Why a body is read no further.
#[derive(Clone, Copy)]
enum Stop {
    Off(WasmFeatures),
    Over(Cap, u64),
}

impl Stop {
    fn refusal(self, tally: &Tally<'_>, offset: usize) -> Refusal {
        match self {
            Self::Off(feature) => features::off(feature, offset as u64),
            Self::Over(cap, found) => {
                cap_refusal(cap, found, tally.caps().value(cap), offset as u64)
            }
        }
    }
}

/// The feature that is off and that `ty` needs. Numbers, vectors and references to functions need
/// none.
fn feature_of(ty: ValType) -> Option<WasmFeatures> {
    match ty {
        ValType::I32 | ValType::I64 | ValType::F32 | ValType::F64 | ValType::V128 => None,
        ValType::Ref(reference) => {
            let heap = reference.heap_type();
            if reference.is_nullable() && is_func(heap) {
                None
            } else {
                Some(feature_of_heap(heap))
            }
        }
    }
}

const fn is_func(heap: HeapType) -> bool {
    matches!(heap, HeapType::Abstract { shared: false, ty: AbstractHeapType::Func })
}

/// The feature that a reference other than `funcref` needs.
const fn feature_of_heap(heap: HeapType) -> WasmFeatures {
    match heap {
        HeapType::Abstract { shared: true, .. } => WasmFeatures::SHARED_EVERYTHING_THREADS,
        HeapType::Abstract { ty: AbstractHeapType::Exn | AbstractHeapType::NoExn, .. } => {
            WasmFeatures::EXCEPTIONS
        }
        HeapType::Abstract { ty: AbstractHeapType::Cont | AbstractHeapType::NoCont, .. } => {
            WasmFeatures::STACK_SWITCHING
        }
        HeapType::Abstract { ty: AbstractHeapType::Func, .. } | HeapType::Concrete(_) => {
            WasmFeatures::FUNCTION_REFERENCES
        }
        HeapType::Abstract { .. } => WasmFeatures::GC_TYPES,
        HeapType::Exact(_) => WasmFeatures::CUSTOM_DESCRIPTORS,
    }
}

/// Sees each operator, and keeps the blocks it is in: never more than the cap and one.
struct Walk<'a> {
    frames: &'a mut Vec<FrameKind>,
    most_frames: u64,
    targets: u64,
    most_targets: u64,
    stop: Option<Stop>,
}

impl FrameStack for Walk<'_> {
    #[inline]
    fn current_frame(&self) -> Option<FrameKind> {
        self.frames.last().copied()
    }
}

impl Walk<'_> {
    #[inline]
    fn open(&mut self, frame: FrameKind, ty: BlockType) {
        let depth = self.frames.len() as u64;
        if depth >= self.most_frames {
            self.stop = Some(Stop::Over(Cap::BlockNesting, depth));
            return;
        }
        self.frames.push(frame);
        if let BlockType::Type(ty) = ty {
            self.see(ty);
        }
    }

    #[inline]
    fn see(&mut self, ty: ValType) {
        if let Some(feature) = feature_of(ty) {
            self.off(feature);
        }
    }

    #[cold]
    fn off(&mut self, feature: WasmFeatures) {
        self.stop = Some(Stop::Off(feature));
    }

    fn branch(&mut self, table: &BrTable<'_>) {
        self.targets += u64::from(table.len());
        if self.targets > self.most_targets {
            self.stop = Some(Stop::Over(Cap::BranchTargets, self.targets));
        }
    }
}

/// The feature an operator belongs to, by the parser's name for its proposal.
#[rustfmt::skip]
macro_rules! feature {
    (mvp) => { WasmFeatures::empty() };
    (sign_extension) => { WasmFeatures::SIGN_EXTENSION };
    (saturating_float_to_int) => { WasmFeatures::SATURATING_FLOAT_TO_INT };
    (bulk_memory) => { WasmFeatures::BULK_MEMORY };
    (reference_types) => { WasmFeatures::REFERENCE_TYPES };
    (tail_call) => { WasmFeatures::TAIL_CALL };
    (simd) => { WasmFeatures::SIMD };
    (relaxed_simd) => { WasmFeatures::RELAXED_SIMD };
    (threads) => { WasmFeatures::THREADS };
    (shared_everything_threads) => { WasmFeatures::SHARED_EVERYTHING_THREADS };
    (exceptions) => { WasmFeatures::EXCEPTIONS };
    (legacy_exceptions) => { WasmFeatures::LEGACY_EXCEPTIONS };
    (gc) => { WasmFeatures::GC };
    (function_references) => { WasmFeatures::FUNCTION_REFERENCES };
    (custom_descriptors) => { WasmFeatures::CUSTOM_DESCRIPTORS };
    (memory_control) => { WasmFeatures::MEMORY_CONTROL };
    (stack_switching) => { WasmFeatures::STACK_SWITCHING };
    (wide_arithmetic) => { WasmFeatures::WIDE_ARITHMETIC };
}

/// What the walk does at each operator beside looking at its feature.
#[rustfmt::skip]
macro_rules! step {
    ($walk:ident visit_block $ty:ident) => { $walk.open(FrameKind::Block, $ty) };
    ($walk:ident visit_loop $ty:ident) => { $walk.open(FrameKind::Loop, $ty) };
    ($walk:ident visit_if $ty:ident) => { $walk.open(FrameKind::If, $ty) };
    ($walk:ident visit_else) => {{
        $walk.frames.pop();
        $walk.frames.push(FrameKind::Else);
    }};
    ($walk:ident visit_end) => {{
        $walk.frames.pop();
    }};
    ($walk:ident visit_br_table $table:ident) => { $walk.branch(&$table) };
    ($walk:ident visit_typed_select $ty:ident) => { $walk.see($ty) };
    ($walk:ident visit_ref_null $heap:ident) => {
        if !is_func($heap) {
            $walk.off(feature_of_heap($heap));
        }
    };
    ($walk:ident $visit:ident $($arg:ident)*) => {{}};
}

macro_rules! visit {
    ($(@$proposal:ident $op:ident $({ $($arg:ident: $ty:ty),* })? => $visit:ident ($($ann:tt)*))*) => {
        $(
            #[inline]
            fn $visit(&mut self $($(, $arg: $ty)*)?) {
                const FEATURE: WasmFeatures = feature!($proposal);
                if !FEATURES.contains(FEATURE) {
                    return self.off(FEATURE);
                }
                step!(self $visit $($($arg)*)?)
            }
        )*
    };
}

#[allow(unused_variables, reason = "most operators are seen for their feature alone")]
impl<'a> VisitOperator<'a> for Walk<'_> {
    type Output = ();

    fn simd_visitor(&mut self) -> Option<&mut dyn VisitSimdOperator<'a, Output = ()>> {
        Some(self)
    }

    wasmparser::for_each_visit_operator!(visit);
}

#[allow(unused_variables, reason = "most operators are seen for their feature alone")]
impl VisitSimdOperator<'_> for Walk<'_> {
    wasmparser::for_each_visit_simd_operator!(visit);
}

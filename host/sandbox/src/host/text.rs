//! A text that a guest passes, whose length is known before it is read: to read one that is not UTF-8
//! is to copy it, into up to twice its size.

use std::borrow::Cow;

use wasmtime::component::{
    __internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext},
    ComponentType, Lift, WasmStr,
};

use super::Caller;

/// In the length of a text whose units may be of one byte or two: it has units of two.
const WIDE: u32 = 1 << 31;

/// See the module.
pub(super) struct Text {
    text: WasmStr,
    units: u32,
}

impl Text {
    fn new(text: WasmStr, length: u32) -> Self {
        Self { text, units: length & !WIDE }
    }

    /// Its length in units of its encoding, which have a byte or two.
    pub(super) const fn units(&self) -> u32 {
        self.units
    }

    /// The text, which is a copy of the guest's unless that is UTF-8.
    pub(super) fn read<'a>(&self, store: &'a Caller<'_>) -> wasmtime::Result<Cow<'a, str>> {
        self.text.to_str(store)
    }
}

// SAFETY: it is passed as what it wraps, and all that describes how that is passed is taken from it.
unsafe impl ComponentType for Text {
    type Lower = <WasmStr as ComponentType>::Lower;

    const ABI: CanonicalAbiInfo = WasmStr::ABI;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> wasmtime::Result<()> {
        WasmStr::typecheck(ty, types)
    }
}

// SAFETY: what it wraps is read as that reads itself; the length is read beside, and only counted.
unsafe impl Lift for Text {
    fn linear_lift_from_flat(
        cx: &mut LiftContext<'_>,
        ty: InterfaceType,
        source: &Self::Lower,
    ) -> wasmtime::Result<Self> {
        let [_, length] = source;
        Ok(Self::new(WasmStr::linear_lift_from_flat(cx, ty, source)?, length.get_u32()))
    }

    fn linear_lift_from_memory(
        cx: &mut LiftContext<'_>,
        ty: InterfaceType,
        bytes: &[u8],
    ) -> wasmtime::Result<Self> {
        let length = bytes.last_chunk().map_or(u32::MAX, |length| u32::from_le_bytes(*length));
        Ok(Self::new(WasmStr::linear_lift_from_memory(cx, ty, bytes)?, length))
    }
}

//! Admission of any bytes: it answers, with a module or a refusal, and never panics. What it
//! admits, it admits again in the same way.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wasmgrid_sandbox::{Caps, admit::admit};

fuzz_target!(|bytes: &[u8]| {
    let caps = Caps::default();
    match admit(bytes, &caps) {
        Ok(info) => {
            assert_eq!(info.size_bytes, bytes.len() as u64);
            assert_eq!(admit(bytes, &caps).as_ref(), Ok(&info));
        }
        // The text of a refusal is shown to people: it is made of what was found.
        Err(refusal) => assert!(!refusal.to_string().is_empty()),
    }
});

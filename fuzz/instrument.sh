#!/bin/sh
# Stands before rustc (RUSTC_WRAPPER) and builds what is fuzzed with libFuzzer's coverage: our own
# crates and the readers under them, not the engine. All flags are stable ones; AddressSanitizer
# and cargo-fuzz would need a nightly toolchain.
set -eu

rustc=$1
shift
case " $* " in
*" --target "*) # What runs in the build itself, as macros do, has no --target and no libFuzzer.
    case " $* " in
    *" --crate-name wasmgrid_proto "* | *" --crate-name wasmgrid_sandbox "* | \
        *" --crate-name admission "* | *" --crate-name frame "* | *" --crate-name runner "* | \
        *" --crate-name wasmparser "* | *" --crate-name postcard "*)
        set -- "$@" -Cpasses=sancov-module \
            -Cllvm-args=-sanitizer-coverage-level=4 \
            -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
            -Cllvm-args=-sanitizer-coverage-pc-table \
            -Cllvm-args=-sanitizer-coverage-trace-compares \
            -Ccodegen-units=1 --cfg=fuzzing
        ;;
    esac
    ;;
esac
exec "$rustc" "$@"

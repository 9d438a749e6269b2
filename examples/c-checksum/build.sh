#!/bin/sh
# Builds checksum.wasm (or the file named) with clang and wasi-libc. Exits with 3, and says what
# to install, where a part of the toolchain is missing.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
output=${1:-$here/checksum.wasm}
install="on Debian: apt-get install clang lld wasi-libc libclang-rt-dev-wasm32"

missing() {
    echo "c-checksum: $1 is missing; $install" >&2
    exit 3
}

clang=${CLANG:-clang}
command -v "$clang" >/dev/null || missing "clang"
command -v wasm-ld >/dev/null || missing "wasm-ld (lld)"
probe=$(mktemp -d)
trap 'rm -rf "$probe"' EXIT
printf '#include <stdio.h>\nint main(void) { return puts(""); }\n' >"$probe/probe.c"
"$clang" --target=wasm32-wasi "$probe/probe.c" -o "$probe/probe.wasm" 2>"$probe/errors" || {
    cat "$probe/errors" >&2
    missing "wasi-libc or clang's runtime for wasm32"
}

"$clang" --target=wasm32-wasi -O2 -Wall -Wextra -Werror -std=c11 "$here/checksum.c" -o "$output"
echo "$output"

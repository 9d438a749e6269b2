#!/bin/sh
# Builds collatz.wasm (or the file named) with the AssemblyScript compiler. Exits with 3, and says
# what to install, where it is missing.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
output=${1:-$here/collatz.wasm}

missing() {
    echo "assemblyscript-collatz: $1 is missing; $2" >&2
    exit 3
}

command -v node >/dev/null || missing "node" "install Node.js 20 or newer with npm"
[ -x "$here/node_modules/.bin/asc" ] || missing "asc" "in $here: npm ci"

cd "$here"
# No collector (`stub`): each task has a fresh instance, which is gone before memory is short.
node_modules/.bin/asc collatz.ts --config node_modules/@assemblyscript/wasi-shim/asconfig.json \
    --optimize --runtime stub --noAssert --outFile "$output"
echo "$output"

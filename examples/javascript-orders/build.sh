#!/bin/sh
# Builds orders.wasm (or the file named) with componentize-js. Exits with 3, and says what to
# install, where it is missing.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
output=${1:-$here/orders.wasm}

missing() {
    echo "javascript-orders: $1 is missing; $2" >&2
    exit 3
}

command -v node >/dev/null || missing "node" "install Node.js 20 or newer with npm"
componentize=$here/node_modules/.bin/componentize-js
[ -x "$componentize" ] || missing "componentize-js" "in $here: npm ci"

# A task has no network, and a component that imports wasi:http is refused: so without it.
"$componentize" "$here/orders.js" --wit "$here/../../guest-sdk/wit" --world-name task \
    --disable http fetch-event --out "$output"
echo "$output"

#!/bin/sh
# build.sh PROGRAM OUTPUT builds a program of this folder with the compiler of its language. Exits
# with 3, and says what to install, where that is missing.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
program=$here/$1
output=$2

missing() {
    echo "$1: $2 is missing; $3" >&2
    exit 3
}

case $1 in
*.c)
    sh "$here/../../examples/c-checksum/build.sh" "$output" >/dev/null
    clang --target=wasm32-wasi -O2 -Wall -Wextra -Werror -std=c11 "$program" -o "$output"
    ;;
*.rs)
    target=wasm32-wasip1
    [ -d "$(rustc --print target-libdir --target $target)" ] ||
        missing "$1" "the target $target" "rustup target add $target"
    rustc --edition 2024 -O --target $target "$program" -o "$output"
    ;;
*.go)
    go=$here/.venv/bin/go
    [ -x "$go" ] || go=$(command -v go) || missing "$1" "go" "make languages, or install Go 1.21"
    GOOS=wasip1 GOARCH=wasm "$go" build -o "$output" "$program" 2>"$output.errors" || {
        grep -q "unsupported GOOS/GOARCH" "$output.errors" &&
            missing "$1" "wasip1 in this Go" "make languages, or install Go 1.21"
        cat "$output.errors" >&2
        exit 1
    }
    ;;
*.ts)
    command -v node >/dev/null || missing "$1" "node" "install Node.js 20 or newer with npm"
    # Its configuration is read beside its modules.
    cd "$here/../../examples/assemblyscript-collatz"
    [ -x node_modules/.bin/asc ] || missing "$1" "asc" "make languages"
    node_modules/.bin/asc "../../tests/programs/$1" --optimize --runtime stub --outFile "$output" \
        --config node_modules/@assemblyscript/wasi-shim/asconfig.json
    ;;
esac

#!/bin/sh
# Builds statistics.wasm (or the file named) with componentize-py. Exits with 3, and says what to
# install, where it is missing.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
output=${1:-$here/statistics.wasm}

componentize=$here/.venv/bin/componentize-py
[ -x "$componentize" ] || componentize=$(command -v componentize-py) || {
    echo "python-statistics: componentize-py is missing; in $here:" \
        "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt" >&2
    exit 3
}

"$componentize" --quiet --wit-path "$here/../../guest-sdk/wit" --world task \
    componentize --python-path "$here" app --output "$output"
echo "$output"

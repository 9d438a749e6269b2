"""How schemathesis sends what it has no sender for: a module is bytes, and nearly none are one."""

import schemathesis


@schemathesis.serializer("application/wasm")
def module(_context, value):
    if isinstance(value, bytes):
        return value
    return str(value).encode("utf-8", "surrogatepass")

"""Describes numbers with Python's own `statistics`: a JSON list in, a JSON object out.
Against the grid's world, guest-sdk/wit/world.wit."""

import json
import statistics

import wit_world
from componentize_py_types import Err
from wit_world.exports.guest import Failure_Rejected
from wit_world.imports import context, io

# Lists above this are worth telling of while they are worked on.
LONG = 10_000


def parse(data: bytes) -> list[float]:
    try:
        numbers = [float(number) for number in json.loads(data)]
    except (ValueError, TypeError) as error:
        # A wrong input is a failure that running again would not mend.
        raise Err(Failure_Rejected(f"no list of numbers: {error}"))
    if len(numbers) < 2:
        raise Err(Failure_Rejected("fewer than two numbers"))
    return numbers


class Guest(wit_world.exports.Guest):
    def run(self, input: bytes) -> bytes:
        numbers = parse(input)
        if len(numbers) > LONG:
            io.progress(0, len(numbers))
        described = {
            "line": context.info().index + 1,
            "n": len(numbers),
            "mean": statistics.fmean(numbers),
            "median": statistics.median(numbers),
            "stdev": round(statistics.stdev(numbers), 6),
        }
        return json.dumps(described).encode()

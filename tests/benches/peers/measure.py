"""What is measured of each peer, and how its figures are told."""

import argparse
import json
import sys
import time

MISSING = 3
"""The exit code of a script whose peer is not installed."""


def arguments():
    """The number of workers, and how much is run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--quick", action="store_true")
    return parser.parse_args()


def missing(name, package):
    """Ends the script of a peer that is not there."""
    print(f"{name} is not installed (`pip install {package}`, then BENCH_PYTHON=PYTHON)")
    sys.exit(MISSING)


def spin(seconds):
    """Computes for so long."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def seconds(work):
    """How long something takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def calls(call, count):
    """The median and the 99th percentile of single calls, in milliseconds."""
    times = sorted(seconds(call) * 1e3 for _ in range(count))
    return {"call.p50": times[count // 2], "call.p99": times[min(count * 99 // 100, count - 1)]}


def tell(**figures):
    """Prints the figures as the last line."""
    print(json.dumps({name.replace("_", "."): value for name, value in figures.items()}))

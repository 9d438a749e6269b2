"""Ray: `ray.init()`, which starts a cluster on this machine, and remote functions."""

import os
import time

import measure

# Nothing is told to anybody, and nothing is looked for on the network.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

try:
    import ray
except ImportError:
    measure.missing("Ray", "ray")


def main():
    options = measure.arguments()
    tasks = 2_000 if options.quick else 10_000
    begun = time.perf_counter()
    ray.init(num_cpus=options.workers, include_dashboard=False, log_to_driver=False,
             logging_level="ERROR", _node_ip_address="127.0.0.1")
    try:
        noop, spin = ray.remote(returns_nothing), ray.remote(spins)
        ray.get(noop.remote())
        started = time.perf_counter() - begun
        ray.get([noop.remote() for _ in range(200)])
        rate = tasks / measure.seconds(lambda: ray.get([noop.remote() for _ in range(tasks)]))
        ideal = tasks * 0.001 / options.workers
        took = measure.seconds(lambda: ray.get([spin.remote() for _ in range(tasks)]))
        one = measure.calls(lambda: ray.get(noop.remote()), 500)
    finally:
        ray.shutdown()
    measure.tell(version=ray.__version__, noop=rate, ms=100 * ideal / took, start=started * 1e3, **one)


def returns_nothing():
    return None


def spins():
    # Workers do not have this folder to import from.
    end = time.perf_counter() + 0.001
    while time.perf_counter() < end:
        pass


if __name__ == "__main__":
    main()

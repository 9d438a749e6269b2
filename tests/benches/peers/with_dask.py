"""Dask: `dask scheduler` and `dask worker`, asked by its own client."""

import os
import subprocess
import sys
import tempfile
import time

import measure

try:
    import distributed
    from distributed import Client
except ImportError:
    measure.missing("Dask", "dask distributed")


def noop(_):
    return None


def spin(_):
    measure.spin(0.001)


def main():
    options = measure.arguments()
    tasks = 1_000 if options.quick else 5_000
    with tempfile.TemporaryDirectory() as folder:
        known = os.path.join(folder, "scheduler.json")
        begun = time.perf_counter()
        daemons = [
            start("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", known, "--no-dashboard"),
            start("worker", "--scheduler-file", known, "--nworkers", str(options.workers),
                  "--nthreads", "1", "--no-dashboard", "--local-directory", folder),
        ]
        try:
            with Client(scheduler_file=known, timeout=60) as client:
                client.submit(noop, -1, pure=False).result()
                started = time.perf_counter() - begun
                client.wait_for_workers(options.workers)
                client.upload_file(measure.__file__)
                run(client, noop, 100)
                rate = tasks / measure.seconds(lambda: run(client, noop, tasks))
                ideal = tasks * 0.001 / options.workers
                efficiency = 100 * ideal / measure.seconds(lambda: run(client, spin, tasks))
                one = measure.calls(lambda: client.submit(noop, 0, pure=False).result(), 200)
        finally:
            for daemon in reversed(daemons):
                daemon.terminate()
                daemon.wait()
    measure.tell(version=distributed.__version__, noop=rate, ms=efficiency, start=started * 1e3, **one)


def start(kind, *flags):
    command = [sys.executable, "-m", "dask", kind, *flags]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def run(client, function, tasks):
    client.gather(client.map(function, range(tasks), pure=False))


if __name__ == "__main__":
    main()

"""HyperQueue: `hq server start`, `hq worker start` and `hq submit`. Without the program the cluster
of its Python package: its client looks once a second whether a job has ended, so that a single call
and a start cannot be timed by it, and each task's output goes to two files."""

import os
import shutil
import subprocess
import tempfile
import time

import measure

NOOP = ["/bin/true"]


def main():
    options = measure.arguments()
    tasks = 500 if options.quick else 3_000
    if shutil.which("hq"):
        figures = by_program(options, tasks)
    else:
        figures = by_package(options, tasks)
    measure.tell(**figures)


def by_program(options, tasks):
    with tempfile.TemporaryDirectory() as folder:
        def hq(*arguments):
            return ["hq", "--server-dir", folder, *arguments]

        def run(*arguments):
            subprocess.run(hq(*arguments), check=True, stdout=subprocess.DEVNULL)

        def submit(count):
            run("submit", "--wait", "--stdout=none", "--stderr=none", "--array", f"1-{count}", "--", *NOOP)

        begun = time.perf_counter()
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        server = subprocess.Popen(hq("server", "start", "--host", "127.0.0.1"), **silent)
        try:
            while subprocess.run(hq("server", "info"), **silent).returncode:
                time.sleep(0.01)
            worker = subprocess.Popen(hq("worker", "start", "--cpus", str(options.workers)), **silent)
            submit(1)
            started = time.perf_counter() - begun
            rate = tasks / measure.seconds(lambda: submit(tasks))
            one = measure.calls(lambda: submit(1), 50)
            run("server", "stop")
            worker.wait()
        finally:
            server.terminate()
            server.wait()
    version = subprocess.run(["hq", "--version"], capture_output=True, text=True).stdout.split()[-1]
    return {"version": version, "noop": rate, "start": started * 1e3, **one}


def by_package(options, tasks):
    try:
        from importlib.metadata import version

        from hyperqueue import Job
        from hyperqueue.cluster import LocalCluster, WorkerConfig
    except ImportError:
        measure.missing("HyperQueue", "hyperqueue")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        with LocalCluster(worker_config=WorkerConfig(cores=options.workers)) as cluster:
            client = cluster.client()

            def submit(count):
                job = Job(max_fails=0)
                for _ in range(count):
                    job.program(NOOP)
                client.wait_for_jobs([client.submit(job)], raise_on_error=True)

            submit(1)
            rate = tasks / measure.seconds(lambda: submit(tasks))
    return {"version": version("hyperqueue"), "noop": rate}


if __name__ == "__main__":
    main()

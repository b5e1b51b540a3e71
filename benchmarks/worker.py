"""A process that times one style of one case. `speed.py` starts it and communicates with it over pipes.

It reads the job as one line of JSON and answers {"compile_s"} after compilation. Then, for each line {"steps": K}, it runs
K steps of every seed and answers {"seconds", "peak_rss_mb", "device_mb"}; device_mb, the peak memory of a GPU, is null on a
CPU. It ends when its input ends. A job of the style "roofline" gets
one answer, the estimate of `roofline.measure`.
"""

from __future__ import annotations

import importlib
import json
import sys
import time

import _checkout  # noqa: F401

MODULES = {"nmbench": "engine", "published": "published", "haiku": "haiku_unroll", "torch": "pytorch"}


def answer(pipe, **values) -> None:
    print(json.dumps(values), file=pipe, flush=True)


def device_mb() -> int | None:
    """Peak memory in use on the first JAX device, in MB; None if it is a CPU or JAX is not in use."""
    if "jax" not in sys.modules:
        return None
    memory = sys.modules["jax"].devices()[0].memory_stats()
    return round(memory["peak_bytes_in_use"] / 1e6) if memory else None


def main() -> None:
    pipe, sys.stdout = sys.stdout, sys.stderr
    job = json.loads(sys.stdin.readline())
    if job["style"] in ("nmbench", "roofline"):
        from nmbench.support import devices

        devices.prepare(1 if job["style"] == "roofline" else None)
    import cases

    from nmbench.results.provenance import peak_rss_mb

    experiment = cases.load(job["case"], job["model"], job.get("changes"))
    if job["style"] == "roofline":
        import roofline

        answer(pipe, **roofline.measure(experiment))
        return
    runner = importlib.import_module(f"styles.{MODULES[job['style']]}").Runner(experiment, job["seeds"])
    began = time.perf_counter()
    runner.compile()
    answer(pipe, compile_s=time.perf_counter() - began)
    for line in sys.stdin:
        seconds = runner.run(json.loads(line)["steps"])
        answer(pipe, seconds=seconds, peak_rss_mb=peak_rss_mb(), device_mb=device_mb())


if __name__ == "__main__":
    main()

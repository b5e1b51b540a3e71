"""One style of one case in a process of its own, driven over pipes; started by `speed.py`, not by hand.

Reads its job as one line of JSON; answers {"compile_s"} when ready. Then, per line {"steps": K}, runs K steps of every seed
and answers {"seconds", "peak_rss_mb"}. Ends with its input.
"""

from __future__ import annotations

import importlib
import json
import sys
import time

MODULES = {"nmbench": "engine", "published": "published", "haiku": "haiku_unroll", "torch": "pytorch"}


def answer(pipe, **values) -> None:
    print(json.dumps(values), file=pipe, flush=True)


def main() -> None:
    pipe, sys.stdout = sys.stdout, sys.stderr
    job = json.loads(sys.stdin.readline())
    if job["style"] in ("nmbench", "roofline"):
        from nmbench.support import devices

        devices.prepare(1 if job["style"] == "roofline" else None)
    import cases

    from nmbench.results.provenance import peak_rss_mb

    cell = cases.load(job["case"], job["model"], job.get("changes"))
    if job["style"] == "roofline":
        import roofline

        answer(pipe, **roofline.measure(cell))
        return
    runner = importlib.import_module(f"styles.{MODULES[job['style']]}").Runner(cell, job["seeds"])
    began = time.perf_counter()
    runner.compile()
    answer(pipe, compile_s=time.perf_counter() - began)
    for line in sys.stdin:
        seconds = runner.run(json.loads(line)["steps"])
        answer(pipe, seconds=seconds, peak_rss_mb=peak_rss_mb())


if __name__ == "__main__":
    main()

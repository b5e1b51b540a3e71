"""Starts, queries and stops worker processes for `speed.py`. Only one of them works at a time."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

from nmbench.support.errors import NmbenchError

SCRIPT = pathlib.Path(__file__).parent / "worker.py"


class Worker:
    """A process that runs one job (see `worker.py`). Use as a context manager.

    Args:
      job: style, case, model, seeds and optionally changes and platform (a value for JAX_PLATFORMS).

    The methods raise `NmbenchError` if the process has ended.
    """

    def __init__(self, **job: Any):
        self.job = job
        # nmbench sets XLA_FLAGS itself; the other styles use the defaults of JAX and PyTorch. The compilation cache is off,
        # because the table also compares compile times.
        environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
        environment["JAX_ENABLE_COMPILATION_CACHE"] = "false"
        if platform := job.pop("platform", None):
            environment |= {"JAX_PLATFORMS": platform, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        self._errors = tempfile.TemporaryFile(mode="w+")  # noqa: SIM115 (closed on exit)
        self._process = subprocess.Popen(
            [sys.executable, str(SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
            text=True,
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception: object) -> None:
        if exception[0] is not None:
            self._process.kill()
        try:
            self._process.communicate(timeout=60)
        finally:
            self._process.kill()
            self._process.wait()
            self._errors.close()

    def begin(self) -> dict[str, Any]:
        """Send the job and return the first answer."""
        return self._ask(self.job)

    def run(self, steps: int) -> dict[str, Any]:
        """Run this number of steps of every seed. Returns {"seconds", "peak_rss_mb", "device_mb"}."""
        return self._ask({"steps": steps})

    def calibrate(self, seconds: float) -> int:
        """Returns the number of steps that take about `seconds`."""
        steps = 1
        self.run(steps)
        while True:
            took = max(self.run(steps)["seconds"], 1e-6)
            if took > seconds / 5:
                return max(1, round(steps * seconds / took))
            steps = max(steps + 1, min(10 * steps, round(steps * seconds / 3 / took)))

    def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin and self._process.stdout
        try:
            print(json.dumps(message), file=self._process.stdin, flush=True)
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            self._process.wait(timeout=60)
            self._errors.seek(0)
            lines = self._errors.read().strip().splitlines() or [f"exit code {self._process.returncode}"]
            raise NmbenchError(f"the worker of {self.job} ended: {lines[-1]}")
        return json.loads(answer)

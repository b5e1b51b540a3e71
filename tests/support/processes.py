"""Commands as real processes."""

import os
import subprocess
import sys

# `python -m ...` with interrupts heeded: a shell starts background jobs with them ignored, and children inherit that.
HEED = """
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def start(*argv, cwd, **options):
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    command = [sys.executable, "-c", HEED, *argv]
    return subprocess.Popen(command, cwd=cwd, env=environment, stdout=-1, stderr=-1, text=True, **options)


def finish(process, timeout=300):
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err

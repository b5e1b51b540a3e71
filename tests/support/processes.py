"""Commands as real processes."""

import os
import subprocess
import sys

# `python -m ...` that reacts to interrupts: a shell starts background jobs with interrupts ignored; children inherit that.
INTERRUPTIBLE = """
import os, runpy, signal, sys
if "LONGEST_FILE" in os.environ:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(os.environ["LONGEST_FILE"]),) * 2)
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def start(*argv, cwd, longest_file=None, **options):
    """Start `python -m ...`; `longest_file`: bytes beyond which a file cannot grow in it."""
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    if longest_file is not None:
        environment["LONGEST_FILE"] = str(longest_file)
        environment["JAX_ENABLE_COMPILATION_CACHE"] = "false"  # it would keep incomplete programs
    command = [sys.executable, "-c", INTERRUPTIBLE, *argv]
    return subprocess.Popen(command, cwd=cwd, env=environment, stdout=-1, stderr=-1, text=True, **options)


def finish(process, timeout=300):
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err

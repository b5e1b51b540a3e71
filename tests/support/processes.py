"""Commands as real processes."""

import os
import subprocess
import sys

# Runs `python -m ...` so that it reacts to interrupts. Background jobs of a shell and their children ignore interrupts.
INTERRUPTIBLE = """
import os, runpy, signal, sys
if "LONGEST_FILE" in os.environ:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(os.environ["LONGEST_FILE"]),) * 2)
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def users_environment() -> dict[str, str]:
    """The environment without the settings with which pytest's own processes compile."""
    return {k: v for k, v in os.environ.items() if k not in ("XLA_FLAGS", "JAX_DISABLE_MOST_OPTIMIZATIONS")}


def start(*argv, cwd, longest_file=None, **options):
    """Start `python -m ...`. The process cannot write files longer than `longest_file` bytes."""
    environment = users_environment()
    if longest_file is not None:
        environment["LONGEST_FILE"] = str(longest_file)
        environment["JAX_ENABLE_COMPILATION_CACHE"] = "false"  # the cache would keep incomplete programs
    command = [sys.executable, "-c", INTERRUPTIBLE, *argv]
    return subprocess.Popen(command, cwd=cwd, env=environment, stdout=-1, stderr=-1, text=True, **options)


def finish(process, timeout=300):
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err

"""Compiled programs of tests, kept from one run of the tests to the next."""

import fcntl
import itertools
import os
import pathlib
import time

from nmbench.support import devices


def keep_in(folder: pathlib.Path) -> None:
    """Have JAX keep all compiled programs of this process and its children below `folder`. Call it before JAX is imported.

    JAX writes its files in place, so each process takes a numbered folder that no other process holds. It starts with links
    to the programs of the other folders. The folder may be deleted at any time.
    """
    folder = folder / devices.processor()
    for number in itertools.count():
        own = folder / str(number)
        own.mkdir(parents=True, exist_ok=True)
        lock = os.open(own / "lock", os.O_RDWR | os.O_CREAT)  # released when the process ends
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError:
            os.close(lock)
    for program in folder.glob("*/*-cache"):
        # A younger file may be incomplete.
        if not (own / program.name).exists() and program.stat().st_mtime < time.time() - 60:
            os.link(program, own / program.name)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(own)
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

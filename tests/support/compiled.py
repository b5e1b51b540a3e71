"""A cache of compiled programs, which is kept between runs of the tests."""

import contextlib
import fcntl
import itertools
import os
import pathlib
import time

from nmbench.support import devices

# A younger file may be incomplete. JAX compiles a program again if it cannot read its file.
COMPLETE_S = 5


def keep_in(folder: pathlib.Path) -> None:
    """Have JAX keep all compiled programs of this process and its children below `folder`. Call it before JAX is imported.

    JAX writes its files in place, so each process takes a numbered folder that no other process holds, and links to the
    programs of the other folders. The folder may be deleted at any time.
    """
    folder = folder / devices.processor()
    for number in itertools.count():
        own = folder / str(number)
        own.mkdir(parents=True, exist_ok=True)
        lock = os.open(own / "lock", os.O_RDWR | os.O_CREAT)  # The lock is released when the process ends.
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError:
            os.close(lock)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(own)
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    share()


def share() -> None:
    """Link to the programs that other processes have compiled since the last call."""
    own = pathlib.Path(os.environ["JAX_COMPILATION_CACHE_DIR"])
    mine, latest = {path.name for path in own.iterdir()}, time.time() - COMPLETE_S
    for program in own.parent.glob("*/*-cache"):
        if program.name not in mine:
            with contextlib.suppress(FileNotFoundError, FileExistsError):
                if program.stat().st_mtime < latest:
                    os.link(program, own / program.name)

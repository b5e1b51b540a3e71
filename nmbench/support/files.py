"""Files that are there whole or not at all: written under a temporary name, brought to the disk, renamed.

A temporary name says which process on which machine is writing, so that what a killed process left is known as such.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import platform
import shutil
import time

TEMPORARY = ".tmp-"
# What a process on another machine may still be writing is left alone for so long.
OLD_S = 24 * 3600.0


def temporary(folder: pathlib.Path) -> pathlib.Path:
    """A new name in `folder` for something that this process is writing; nothing is made."""
    return folder / f"{TEMPORARY}{_machine()}-{os.getpid()}-{os.urandom(6).hex()}"


def write(path: pathlib.Path, data: bytes) -> None:
    """Write `data` and have it on the disk before this returns; raises `OSError`."""
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace(path: pathlib.Path, data: bytes) -> None:
    """Put `data` in the place of whatever `path` holds; readers see the old or the new. Raises `OSError`; the old stays."""
    name = temporary(path.parent)
    try:
        write(name, data)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            name.unlink()
        raise
    sync_folder(path.parent)


def sync_folder(folder: pathlib.Path) -> None:
    """Bring a folder's names to the disk, where the platform can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def leftovers(folder: pathlib.Path) -> list[pathlib.Path]:
    """Temporary files and folders in `folder` whose writer is dead, or that nobody has touched for a day."""
    try:
        names = sorted(p for p in folder.iterdir() if p.name.startswith(TEMPORARY))
    except OSError:
        return []
    return [path for path in names if _is_left(path)]


def remove(path: pathlib.Path) -> None:
    """Remove a file or folder if it can be."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def _is_left(path: pathlib.Path) -> bool:
    machine, _, rest = path.name.removeprefix(TEMPORARY).partition("-")
    pid = rest.partition("-")[0]
    if machine == _machine() and pid.isdecimal() and not _runs(int(pid)):
        return True
    try:
        return time.time() - path.lstat().st_mtime > OLD_S
    except OSError:
        return False


def _runs(pid: int) -> bool:
    if os.name != "posix":  # elsewhere signal 0 would end the process
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _machine() -> str:
    """Short name of what process ids belong to: this machine since it started, or this container."""
    facts = [platform.node()]
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        with contextlib.suppress(OSError):
            facts.append(os.readlink(path) if os.path.islink(path) else pathlib.Path(path).read_text(encoding="ascii"))
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:8]

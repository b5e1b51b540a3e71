"""Atomic files: they are written under a temporary name, synced to the disk, then renamed.

A temporary name contains the machine and the process that writes the file, so that files of a killed process are recognised.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import platform
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator

from nmbench.support.errors import NmbenchError, printable

try:
    import fcntl
except ImportError:  # Windows: processes that write to one folder are not serialised
    fcntl = None

TEMPORARY = ".tmp-"
# Age in seconds after which a temporary file counts as abandoned, even if its process may still run.
OLD_S = 24 * 3600.0
# Seconds to wait for a lock before the user is told.
PATIENCE_S = 2.0


def temporary_path(folder: pathlib.Path) -> pathlib.Path:
    """A new path in `folder` for a file or folder that this process will write; nothing is created."""
    return folder / f"{TEMPORARY}{_machine()}-{os.getpid()}-{os.urandom(6).hex()}"


def check_writable(folder: pathlib.Path, why: str) -> None:
    """Raise `NmbenchError`, with the reason to write, unless files can be written into an existing folder."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise NmbenchError(f"{folder} cannot be written ({error.strerror or error}); {why}") from error


def check_regular(path: pathlib.Path) -> None:
    """Raise `OSError` unless `path` is a regular file: opening a named pipe would wait for a writer, perhaps for ever."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError("it is not a regular file")


def read(path: pathlib.Path) -> bytes:
    """The content of a regular file; raises `OSError`."""
    check_regular(path)
    return path.read_bytes()


def write(path: pathlib.Path, data: bytes) -> None:
    """Write `data` and sync it to the disk; raises `OSError`."""
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace(path: pathlib.Path, data: bytes) -> None:
    """Replace the content of `path` atomically: readers see the old or the new content.

    Raises:
      OSError: the file cannot be written. Its old content is unchanged.
    """
    name = temporary_path(path.parent)
    try:
        write(name, data)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            name.unlink()
        raise
    sync_folder(path.parent)


def sync_folder(folder: pathlib.Path) -> None:
    """Sync a folder's entries to the disk, if the platform supports it."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def locked(path: pathlib.Path) -> Iterator[None]:
    """Hold an exclusive lock on a file. If another process holds it for more than `PATIENCE_S`, a line on stderr says so.

    The file is created if there is none. Its content is never changed, and a symbolic link is not followed. Some shared
    file systems have no locks; there, this does nothing.

    Raises:
      OSError: the file cannot be opened.
    """
    if fcntl is None:
        yield
        return
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    try:
        with contextlib.suppress(OSError):
            _acquire(lock, path)
        yield
    finally:
        os.close(lock)


def lock_at_once(handle: int) -> bool:
    """Lock an open file, until it and all its copies in child processes are closed. False if another process has locked it.

    Where there are no locks, the result is True.
    """
    try:
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # this file system has no locks
        pass
    return True


def check_lock(path: pathlib.Path) -> None:
    """Raise `OSError` if `locked` could not open the file, for example because it belongs to another user."""
    if fcntl is not None and os.path.lexists(path):
        os.close(os.open(path, os.O_RDWR | os.O_NOFOLLOW))


def _acquire(lock: int, path: pathlib.Path) -> None:
    assert fcntl is not None
    patient_until = time.monotonic() + PATIENCE_S
    while time.monotonic() < patient_until:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(0.05)
    print(printable(f"nmbench: waiting for another process, which holds the lock {path}"), file=sys.stderr)
    fcntl.flock(lock, fcntl.LOCK_EX)


def abandoned(folder: pathlib.Path) -> list[pathlib.Path]:
    """Temporary files and folders in `folder` whose process has ended, or that have not changed for a day."""
    try:
        names = sorted(p for p in folder.iterdir() if p.name.startswith(TEMPORARY))
    except OSError:
        return []
    return [path for path in names if _is_abandoned(path)]


def remove(path: pathlib.Path) -> None:
    """Remove a file or folder; errors are ignored."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def _is_abandoned(path: pathlib.Path) -> bool:
    machine, _, rest = path.name.removeprefix(TEMPORARY).partition("-")
    pid = rest.partition("-")[0]
    if machine == _machine() and pid.isdecimal() and not _is_running(int(pid)):
        return True
    try:
        return time.time() - path.lstat().st_mtime > OLD_S
    except OSError:
        return False


def _is_running(pid: int) -> bool:
    if os.name != "posix":  # on Windows, signal 0 is Ctrl-C
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _machine() -> str:
    """A name for the namespace of process ids: this machine since its last boot, or this container."""
    facts = [platform.node()]
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        with contextlib.suppress(OSError):
            facts.append(os.readlink(path) if os.path.islink(path) else pathlib.Path(path).read_text(encoding="ascii"))
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:8]

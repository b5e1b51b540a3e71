"""Prepare JAX before its first import: one host device per core, one thread each, compiled programs kept on disk.

Seeds are sharded over devices, and a device with one thread repeats its results exactly.
"""

from __future__ import annotations

import hashlib
import os
import pathlib
import platform
import sys

from nmbench.support.errors import NmbenchError


def cores() -> int:
    """Cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS or Windows
        return os.cpu_count() or 1


def can_pin() -> bool:
    """Whether a process can be kept to some of the cores here."""
    return hasattr(os, "sched_setaffinity")


# XLA_FLAGS as they were before `prepare` added to them.
_users_flags = os.environ.get("XLA_FLAGS")


def environment() -> dict[str, str]:
    """This process's environment with XLA_FLAGS as the user has them, for a child that prepares JAX for itself."""
    rest = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    return rest if _users_flags is None else {**rest, "XLA_FLAGS": _users_flags}


def prepare(devices: int | None = None) -> None:
    """Set XLA_FLAGS for `devices` host devices (all cores by default). Flags that the user has set are left alone.

    Raises:
      NmbenchError: JAX is running already, or more devices than cores are asked for.
    """
    wanted = devices or cores()
    if wanted > 8 * cores():
        raise NmbenchError(f"--devices={wanted} is far more than this machine's {cores()} cores; use at most {8 * cores()}")
    if "jax" in sys.modules:
        if devices and len(sys.modules["jax"].devices()) < devices:
            raise NmbenchError("JAX was imported before nmbench could set the number of devices; set XLA_FLAGS yourself")
        return
    flags = os.environ.get("XLA_FLAGS", "")
    for name, value in (("xla_force_host_platform_device_count", wanted), ("xla_cpu_multi_thread_eigen", "false")):
        if name not in flags:
            flags = f"{flags} --{name}={value}".strip()
    os.environ["XLA_FLAGS"] = flags
    keep_compiled()


def keep_compiled() -> None:
    """Have JAX keep compiled programs in the user's cache folder, unless the user has settings of their own.

    A program runs only on the kind of processor it was compiled for, so each kind has a folder; a home folder may be shared
    by many. `JAX_ENABLE_COMPILATION_CACHE=false` turns it off, and the folder may be deleted at any time.
    """
    if os.environ.get("JAX_ENABLE_COMPILATION_CACHE", "").lower() in ("false", "0"):
        return
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = pathlib.Path(home, "nmbench", f"compiled-{processor()}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if os.access(folder, os.W_OK):
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder))
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")


def processor() -> str:
    """A short name for this kind of processor and what it can do."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n\n")[0].splitlines()
        facts = [line for line in lines if line.startswith(("model name", "flags", "Features"))]
    except OSError:
        facts = []
    return hashlib.sha256("\n".join(facts or [platform.machine(), platform.processor()]).encode()).hexdigest()[:8]

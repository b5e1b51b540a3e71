"""Prepare JAX before its first import: one host device per core, one thread each.

Seeds are sharded over devices, and a device with one thread repeats its results exactly.
"""

from __future__ import annotations

import os
import sys

from nmbench.errors import NmbenchError


def cores() -> int:
    """Cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS or Windows
        return os.cpu_count() or 1


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

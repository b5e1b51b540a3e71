"""Origin of a row: versions, commit and machine, without host and user names."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import pathlib
import platform
import subprocess
import sys
from typing import Any

import nmbench
from nmbench.support.devices import cores, users_xla_flags


def describe() -> dict[str, Any]:
    """The provenance columns of a row, for this process."""
    import jax

    sha, dirty = _git()
    version = importlib.metadata.version
    return {
        "nmbench_version": nmbench.__version__,
        "python_version": platform.python_version(),
        "jax_version": version("jax"),
        "jaxlib_version": version("jaxlib"),
        "haiku_version": version("dm-haiku"),
        "optax_version": version("optax"),
        "numpy_version": version("numpy"),
        "git_sha": sha,
        "git_dirty": dirty,
        "platform": f"{platform.system()}-{platform.machine()}",
        "device_kind": jax.devices()[0].device_kind,
        "processor": processor(),
        "n_cpu": cores(),
        "x64": uses_x64(),
        "prng_impl": str(jax.random.key_impl(jax.random.key(0))),
        # A flag's value may be a path, and a path may contain a user name.
        "xla_flags": " ".join(f for f in os.environ.get("XLA_FLAGS", "").split() if "/" not in f and "\\" not in f),
    }


def processor() -> str:
    """Model of the processor, e.g. "AMD EPYC 7763 64-Core Processor (25/1)"; "" if the system does not name it.

    The numbers in brackets, the family and the model, tell processors apart to which a cloud gives one name.
    """
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor()
    facts = dict(line.split(":", 1) for line in text.split("\n\n")[0].splitlines() if ":" in line)
    facts = {name.strip(): value.strip() for name, value in facts.items()}
    family = [facts[name] for name in ("cpu family", "model") if name in facts]
    return " ".join(filter(None, [facts.get("model name", ""), f"({'/'.join(family)})" if family else ""]))


def uses_x64() -> bool:
    """Whether JAX's default float is float64."""
    import jax.numpy as jnp

    return jnp.result_type(float) == jnp.float64


def jax_settings() -> dict[str, Any]:
    """Settings of JAX that change random numbers or rounding, where they differ from those that nmbench trains with.

    They are part of the run id. 64-bit floats are not in this dict, since a configuration has an entry of its own for them.
    """
    import jax

    usual = {
        "default_prng_impl": "threefry2x32",
        "threefry_partitionable": True,
        "default_matmul_precision": None,
        "random_seed_offset": 0,
    }
    settings = {name: getattr(jax.config, f"jax_{name}") for name in usual} | {"xla_flags": users_xla_flags()}
    return {name: value for name, value in settings.items() if value != usual.get(name, "")}


def utc_now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def peak_rss_mb() -> float:
    """Peak resident memory of this process in MB; 0 if the platform does not report it."""
    try:
        # Linux: unlike ru_maxrss, this excludes the peak of the parent process.
        status = pathlib.Path("/proc/self/status").read_text(encoding="utf-8")
        return round(int(status.split("VmHWM:")[1].split()[0]) / 1024, 1)
    except (OSError, IndexError, ValueError):
        pass
    try:
        import resource
    except ImportError:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20) if sys.platform == "darwin" else peak / 1024, 1)


def _git() -> tuple[str | None, bool | None]:
    root = pathlib.Path(nmbench.__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None, None

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None, None

"""Prepare JAX before it starts: one host device per core, one thread per device, compiled programs cached on disk.

Seeds are divided among devices. A device with one thread reproduces its results exactly.
"""

from __future__ import annotations

import hashlib
import os
import pathlib
import platform
import sys

from nmbench.support.errors import NmbenchError, one_line


def cores() -> int:
    """Number of cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows do not have it
        return os.cpu_count() or 1


def can_pin() -> bool:
    """Whether this platform can restrict a process to some of the cores."""
    return hasattr(os, "sched_setaffinity")


# XLA_FLAGS of the user, before `prepare` adds to them.
_users_flags = os.environ.get("XLA_FLAGS")


# XLA flags that nmbench sets, unless the user has set them.
_MULTI_THREAD = "xla_cpu_multi_thread_eigen"
_DEVICES = "xla_force_host_platform_device_count"
own_flags = {f"--{_MULTI_THREAD}=false"}


def users_xla_flags() -> str:
    """XLA_FLAGS without nmbench's own, the number of devices and paths; sorted. Such flags can change results."""
    flags = os.environ.get("XLA_FLAGS", "").split()
    ours = lambda flag: flag in own_flags or flag.startswith(f"--{_DEVICES}=")
    # A path, such as that of a dump, does not change results and may contain a user name.
    return " ".join(sorted(flag for flag in flags if not ours(flag) and "/" not in flag and "\\" not in flag))


def environment() -> dict[str, str]:
    """The environment of this process with the XLA_FLAGS of the user, for a child process that prepares JAX itself."""
    rest = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    return rest if _users_flags is None else {**rest, "XLA_FLAGS": _users_flags}


def prepare(devices: int | None = None) -> None:
    """Set XLA_FLAGS for `devices` host devices (default: one per core), and cache compiled programs on disk.

    Flags that the user has set are not changed. If JAX has started its devices before, nothing is set.

    Raises:
      NmbenchError: more than eight devices per core, or JAX has started before and has fewer devices than `devices`.
    """
    wanted = devices or cores()
    if wanted > 8 * cores():
        raise NmbenchError(f"--devices={wanted} is far more than this machine's {cores()} cores; use at most {8 * cores()}")
    if started():
        if devices and len(sys.modules["jax"].devices()) < devices:
            raise NmbenchError(
                "JAX has started before nmbench could set the number of devices; start Python again, and call nmbench "
                "before you use JAX"
            )
        return
    flags = os.environ.get("XLA_FLAGS", "")
    for name, value in ((_DEVICES, wanted), (_MULTI_THREAD, "false")):
        if name not in flags:
            flags = f"{flags} --{name}={value}".strip()
    os.environ["XLA_FLAGS"] = flags
    keep_compiled()


def started() -> bool:
    """Whether JAX has started its devices, so that their number cannot change in this process."""
    if "jax" not in sys.modules:
        return False
    config, name = sys.modules["jax"].config, "jax_num_cpu_devices"
    before = getattr(config, name)
    try:
        config.update(name, before + 1)  # JAX refuses any change once it has started
    except RuntimeError:
        return True
    config.update(name, before)
    return False


def start(devices: int | None = None) -> None:
    """Call `prepare`, then `check`; raises the errors of both."""
    prepare(devices)
    check()


def check() -> None:
    """Import JAX and start its devices, so that an unsuitable setting is named before a model or a task is blamed for it.

    Raises:
      NmbenchError: JAX refuses a setting of the environment, it finds no device, or nmbench cannot train with a setting.
    """
    with one_line("JAX refuses a setting of the environment"):
        import jax
    setting = lambda name: getattr(jax.config, f"jax_{name}")  # JAX adds these attributes when it is imported
    try:
        jax.devices()
    except Exception as error:  # JAX raises an AssertionError without a message if there is no GPU
        wanted = setting("platforms")
        hint = f"JAX_PLATFORMS={wanted}; unset it, or install JAX for that platform" if wanted else str(error)
        raise NmbenchError(f"JAX finds no device: {hint}") from error
    if setting("disable_jit"):
        raise NmbenchError("JAX_DISABLE_JIT is set, but nmbench needs compiled functions; unset it")
    if setting("numpy_dtype_promotion") != "standard":
        raise NmbenchError("JAX_NUMPY_DTYPE_PROMOTION must be standard; unset it")


def keep_compiled() -> None:
    """Cache compiled programs in the user's cache folder (`~/.cache/nmbench`). The user's own JAX settings have priority.

    A program runs only on the kind of processor that it was compiled for, and machines with different processors may share a
    home folder, so each kind of processor has its own folder. `JAX_ENABLE_COMPILATION_CACHE=false` turns the cache off. The
    folder may be deleted at any time.
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
        if "jax" in sys.modules and (config := sys.modules["jax"].config).jax_compilation_cache_dir is None:
            config.update("jax_compilation_cache_dir", str(folder))  # JAX reads the variables when it is imported
            config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def processor() -> str:
    """A name for this kind of processor, 8 hexadecimal digits: a hash of its model and instruction sets."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n\n")[0].splitlines()
        facts = [line for line in lines if line.startswith(("model name", "flags", "Features"))]
    except OSError:
        facts = []
    return hashlib.sha256("\n".join(facts or [platform.machine(), platform.processor()]).encode()).hexdigest()[:8]

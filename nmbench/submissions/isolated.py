"""The program that `isolation` starts in a process of its own: it answers one question about a stranger's model.

  python -m nmbench.submissions.isolated PLACE FOLDER LIMITS

It limits itself first, and only then imports the model's file: the kernel's limits on memory, time and file sizes, and an
audit hook, through which Python reports what the process is about to do. The hook refuses processes, sockets, and files
outside of the workplace and of Python's own folders, for the whole time. There are no test sets in the copy of nmbench that
runs here: the validation set stands in for a test set, with the name and hash of the real one.
"""

from __future__ import annotations

import json
import os
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

from nmbench.support.errors import NmbenchError

# Audit events that are refused, whatever they are about.
REFUSED = (
    "socket.",
    "subprocess.",
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
    "os.kill",
    # Relative paths are judged from the folder in which the process has started.
    "os.chdir",
    "os.fchdir",
    "os.symlink",
)
REFUSED += ("ftplib.", "http.", "smtplib.", "urllib.", "webbrowser.", "pty.", "winreg.", "sys.addaudithook")
# Events that change files, by the number of paths among their arguments.
_CHANGES = {"os.remove": 1, "os.rmdir": 1, "os.mkdir": 1, "os.truncate": 1, "os.chmod": 1, "os.chown": 1, "os.utime": 1}
_CHANGES |= {"os.rename": 2, "os.link": 2, "shutil.rmtree": 1, "shutil.move": 2}
_SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/etc", "/sys", "/dev", "/opt", "/nix", "/System", "/Library")
_SYSTEM += ("/proc/cpuinfo", "/proc/meminfo", "/proc/sys/kernel")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def main(place_text: str, folder_text: str, limits_text: str) -> int:
    place, folder, limits = pathlib.Path(place_text), pathlib.Path(folder_text), json.loads(limits_text)
    from nmbench.submissions import isolation

    question = json.loads((place / isolation.QUESTION).read_text(encoding="utf-8"))
    limit_resources(limits)
    hide_test_sets()
    watch((place, folder), limits["hidden"])
    try:
        result: dict[str, Any] = {"answer": _answer(question, folder)}
    except NmbenchError as error:
        result = {"error": str(error)}
    except MemoryError:
        result = {"error": f"the model needs more than {limits['memory'] >> 20} MB of memory, the limit"}
    except Exception as error:
        result = {"error": f"{type(error).__name__}: {error}"}
    (place / isolation.ANSWER).write_text(json.dumps(result), encoding="utf-8")
    os._exit(0)  # whatever the model registered to run at exit does not run


def _answer(question: Mapping[str, Any], folder: pathlib.Path) -> dict[str, Any]:
    from nmbench.submissions import probe

    return probe.answer(question, folder)


def limit_resources(limits: Mapping[str, Any]) -> None:
    """Set the kernel's limits for this process; they cannot be raised again. Windows has none of them."""
    try:
        import resource
    except ImportError:
        return
    wanted = {"RLIMIT_AS": limits["memory"], "RLIMIT_FSIZE": limits["file"], "RLIMIT_CPU": limits["processor_s"]}
    for name, value in {**wanted, "RLIMIT_CORE": 0}.items():
        kind = getattr(resource, name, None)
        if kind is None:
            continue
        most = resource.getrlimit(kind)[1]
        value = value if most == resource.RLIM_INFINITY else min(value, most)
        try:
            resource.setrlimit(kind, (value, value))
        except (OSError, ValueError):  # macOS refuses a limit on the address space
            continue


def hide_test_sets() -> None:
    """Let the validation set stand in for every test set. Its name, hash and number of trials are those of the real one."""
    import numpy as np

    from nmbench.contracts import frozen_sets, metrics

    load = frozen_sets.load

    def without_test(folder: pathlib.Path, task: str, version: int, split: str, flags: str = "") -> frozen_sets.FrozenSet:
        if split != "test":
            return load(folder, task, version, split, flags)
        entry = frozen_sets.read_manifest(folder)[frozen_sets.key(task, version, split)]
        replacement = load(folder, task, version, "validation", flags)
        return frozen_sets.FrozenSet(split, replacement.arrays, entry["sha256"], entry["n"])

    frozen_sets.load = without_test
    # A validation set may have no trial in the subset of a metric, so all trials count. Another process computes scores.
    metrics.Metric.chosen = lambda self, arrays, trials: np.ones(trials, bool)


def watch(places: tuple[pathlib.Path, ...], hidden: list[str]) -> None:
    """Install the audit hook. It cannot be removed."""
    writable = _within(places)
    # Of other processes, /proc would show the variables, which may hold secrets.
    readable = _within((*places, sys.prefix, sys.base_prefix, *_SYSTEM, f"/proc/{os.getpid()}", *sys.path[1:]))
    is_hidden = _within(tuple(hidden))
    full_path, join, working = os.path.realpath, os.path.join, os.getcwd()

    def refuse(what: str) -> None:
        raise NmbenchError(f"the model's code {what}, which is not allowed in a submitted model")

    def hook(event: str, arguments: tuple) -> None:
        if event == "open":
            path, mode, flags = arguments
            if isinstance(path, int) or path is None:
                return
            path = full_path(join(working, os.fsdecode(path)))
            writes = (isinstance(mode, str) and set(mode) & set("wax+")) or (isinstance(flags, int) and flags & _WRITES)
            if writes and not writable(path) and path != os.devnull:
                refuse(f"writes {path}")
            if is_hidden(path) or not readable(path):
                refuse(f"reads {path}")
            if not writable(path) and os.path.isdir(path):  # other paths could be relative to it
                refuse(f"opens the folder {path}")
        elif event in _CHANGES:
            for path in arguments[: _CHANGES[event]]:
                if isinstance(path, str | bytes | os.PathLike) and not writable(full_path(join(working, os.fsdecode(path)))):
                    refuse(f"changes {os.fsdecode(path)}")
        elif event.startswith(REFUSED):
            refuse(f"uses {event}")

    sys.addaudithook(hook)


def _within(folders: tuple) -> Any:
    """A function that says whether a resolved path is one of these folders or inside one."""
    roots = tuple({os.path.realpath(folder) for folder in folders if str(folder)})
    starts = tuple(root.rstrip("/") + os.sep for root in roots)
    return lambda path: path in roots or path.startswith(starts)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

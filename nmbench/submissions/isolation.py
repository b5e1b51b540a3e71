"""Ask questions about a stranger's model in a process of its own.

The process gets no secrets (its environment is a short list of variables), an empty home and working folder that are removed
afterwards, limits on time, memory and file sizes, and a copy of nmbench without the test sets. On Linux, where the kernel
allows user namespaces, it also has no network, sees no other processes, and finds empty folders in the place of the test
sets and of the submission. `isolated` is the program that runs there. It answers with data (JSON and arrays), which the
asking side checks; what it prints is shown only in messages. docs/verification.md says what this defends and what not.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import nmbench
from nmbench.submissions import model_source
from nmbench.submissions.asking import Respondent
from nmbench.support import devices, files
from nmbench.support.errors import NmbenchError, printable

QUESTION, ANSWER, OUTPUT = "question.json", "answer.json", "output.txt"
PREDICTIONS = "predictions"  # the question that comes with files
# By whether there are namespaces.
PROTECTIONS = {
    True: "a process of its own: no network, no secrets, no test sets",
    False: "a process of its own: no secrets, no test sets; this system cannot block the NETWORK",
}
# The variables that the process may see: those that Python and JAX need, and those that change rounding.
ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "SYSTEMROOT", "XLA_FLAGS")
ENVIRONMENT_PREFIXES = ("JAX_PLATFORMS", "JAX_ENABLE_X64", "JAX_DEFAULT_", "OPENBLAS_")
LARGEST_ANSWER = 1 << 24  # bytes
_LONGEST_MESSAGE = 600  # characters
# The inner namespace owns no mounts, so the process cannot undo those of the outer one.
_HIDE = 'for i in $(seq $1); do shift; mount -t tmpfs none "$1" || exit 97; done; shift; exec unshare --user "$@"'


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a process may use.

    Attributes:
      seconds: wall time.
      memory_mb: address space, of which JAX reserves more than it uses: 2 GB to train on the Element Finder on a CPU.
      file_mb: size of each file that it writes.
      processor_s: processor time of all cores together; by default `seconds` for each core.
    """

    seconds: float = 3600.0
    memory_mb: int = 8_192
    file_mb: int = 2_048
    processor_s: int | None = None


@contextlib.contextmanager
def own_process(
    plugin: pathlib.Path | None, hidden: Sequence[pathlib.Path] = (), limits: Limits = Limits()
) -> Iterator[Respondent]:
    """A process of its own answers each question, for the model of a file, or of an installed package if `plugin` is None.

    Args:
      plugin: the model's file; the process gets a copy.
      hidden: folders that the process must not find, besides the frozen sets: those of the submission.
      limits: what the process may use, for each question.

    Raises:
      NmbenchError: the file does what a model has no reason to do (`model_source`). Asking raises it if there is no answer,
        because the process broke a limit, died, or did something that is not allowed.
    """
    if plugin is not None:
        model_source.check(plugin)
    hide = [one.resolve() for one in (*_frozen_sets(), *hidden) if one.is_dir()]
    with _temporary_folder() as exchanged:
        yield Respondent(exchanged, lambda asked: _ask(asked, plugin, exchanged, hide, limits), PROTECTIONS[namespaces()])


def _ask(
    question: Mapping[str, Any],
    plugin: pathlib.Path | None,
    exchanged: pathlib.Path,
    hide: Sequence[pathlib.Path],
    limits: Limits,
) -> dict[str, Any]:
    # Nothing is left from one process to the next: neither test inputs nor submitted parameters for the one that trains.
    if question["ask"] != PREDICTIONS:
        _empty(exchanged)
    with _temporary_folder() as place:
        for name in ("home", "code", "model"):
            (place / name).mkdir()
        _copy_code(place / "code")
        copies = [] if plugin is None else [str(shutil.copy(plugin, place / "model" / plugin.name))]
        text = json.dumps({**question, "plugins": copies}, allow_nan=False)
        (place / QUESTION).write_text(text, encoding="utf-8")
        program = [sys.executable, "-s", "-m", "nmbench.submissions.isolated", str(place), str(exchanged)]
        program.append(json.dumps(_limits(limits, hide)))
        code = _run(_in_namespaces(program, hide) if namespaces() else program, place, exchanged, limits.seconds)
        _refuse_links(exchanged)
        found = _read_answer(place / ANSWER)
        if code in (None, -signal.SIGXCPU, 128 + signal.SIGXCPU):
            raise NmbenchError(f"the model took longer than {limits.seconds:g} s, the limit; --time_limit sets it")
        if said := _shown(found.get("error", ""), place):
            raise NmbenchError(said)
        if code != 0 or not isinstance(found.get("answer"), dict):
            raise NmbenchError(f"the process of the model ended with code {code}{_last_line(place / OUTPUT)}")
        return found["answer"]


@contextlib.contextmanager
def _temporary_folder() -> Iterator[pathlib.Path]:
    with tempfile.TemporaryDirectory(prefix="nmbench-isolated-", ignore_cleanup_errors=True) as text:
        yield pathlib.Path(text).resolve()


def _empty(folder: pathlib.Path) -> None:
    for path in folder.iterdir():
        files.remove(path)


def _refuse_links(folder: pathlib.Path) -> None:
    """Raise `NmbenchError` if the process left anything but folders and regular files: a link could lead anywhere."""
    for path in folder.rglob("*"):
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            files.remove(path)
            raise NmbenchError(f"the process of the model made {path.name[:80]!r}, which is no regular file")


@functools.cache
def namespaces() -> bool:
    """Whether this system lets a process have namespaces of its own, without network: Linux, unless it is forbidden."""
    if not sys.platform.startswith("linux") or shutil.which("unshare") is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        command = _in_namespaces(["true"], [pathlib.Path(folder)])
        try:
            return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
        except (OSError, subprocess.SubprocessError):
            return False


def _in_namespaces(program: Sequence[str], hide: Sequence[pathlib.Path]) -> list[str]:
    new = ["--user", "--map-root-user", "--net", "--ipc", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return ["unshare", *new, "sh", "-c", _HIDE, "sh", str(len(hide)), *map(str, hide), *program]


def _run(command: Sequence[str], place: pathlib.Path, exchanged: pathlib.Path, seconds: float) -> int | None:
    """Exit code of a command that is stopped, with all its children, after `seconds`; None if it was."""
    with open(place / OUTPUT, "wb") as output:
        process = subprocess.Popen(
            command,
            cwd=exchanged,
            env=_environment(place),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _environment(place: pathlib.Path) -> dict[str, str]:
    given = devices.environment()
    kept = {name: text for name, text in given.items() if name in ENVIRONMENT or name.startswith(ENVIRONMENT_PREFIXES)}
    home = str(place / "home")
    return {**kept, "HOME": home, "TMPDIR": home, "XDG_CACHE_HOME": home, "PYTHONPATH": str(place / "code")}


def _limits(limits: Limits, hide: Sequence[pathlib.Path]) -> dict[str, Any]:
    processor_s = limits.processor_s or int(limits.seconds * devices.cores()) + 1
    sizes = {"memory": limits.memory_mb << 20, "file": limits.file_mb << 20}
    return {**sizes, "processor_s": processor_s, "hidden": list(map(str, hide))}


def _read_answer(path: pathlib.Path) -> dict[str, Any]:
    """The answer as data, {} if there is none or it is not valid."""
    try:
        if path.is_symlink() or path.stat().st_size > LARGEST_ANSWER:
            return {}
        answer = json.loads(files.read(path).decode())
    except (OSError, ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _shown(text: Any, place: pathlib.Path) -> str:
    """A message of the process in one line, without the temporary folder of the model's file."""
    return printable(" ".join(str(text).replace(f"{place / 'model'}{os.sep}", "").split()))[:_LONGEST_MESSAGE]


def _last_line(path: pathlib.Path) -> str:
    """ ": LINE", the last line that the process printed; "" if there is none."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - 4096))
            lines = file.read().decode("utf-8", "replace").strip().splitlines()
    except OSError:
        return ""
    return f": {printable(lines[-1])[:_LONGEST_MESSAGE]}" if lines else ""


def _package() -> pathlib.Path:
    return pathlib.Path(nmbench.__file__).resolve().parent


def _frozen_sets() -> list[pathlib.Path]:
    return [folder / "testsets" for folder in (_package() / "tasks", _package().parent / "tasks") if folder.is_dir()]


def _copy_code(to: pathlib.Path) -> None:
    """Copy nmbench with its tasks and models, but without the test sets."""
    package = _package()
    ignore = shutil.ignore_patterns("*-test.npz")
    shutil.copytree(package, to / "nmbench", ignore=ignore)
    if not (package / "tasks").is_dir():  # a checkout: the two folders are beside the package
        for name in ("tasks", "baselines"):
            shutil.copytree(package.parent / name, to / name, ignore=ignore)
        shutil.copy(package.parent / "setup.py", to)

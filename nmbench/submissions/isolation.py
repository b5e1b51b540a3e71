"""Ask questions about a stranger's model in a process of its own.

The process gets no secrets (its environment is a short list of variables), an empty home and working folder that are removed
afterwards, limits on time, memory and file sizes, and a copy of nmbench without the test sets. On Linux, where the kernel
allows user namespaces, it also has no network, sees no other processes, and finds empty folders in the place of the test
sets and of the submission. `isolated` is the program that runs there. It answers with data (JSON and arrays), which the
asking side checks; what it prints is shown only in messages. docs/verification.md says what this defends and what it does not.
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
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import nmbench
from nmbench.support import devices, files
from nmbench.support.errors import NmbenchError, printable

QUESTION, ANSWER, OUTPUT, FILES = "question.json", "answer.json", "output.txt", "files"
# The variables that the process may see: those that Python and JAX need, and those that change rounding.
ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "SYSTEMROOT", "XLA_FLAGS")
ENVIRONMENT_PREFIXES = ("JAX_PLATFORMS", "JAX_ENABLE_X64", "JAX_DEFAULT_", "OPENBLAS_")
LARGEST_ANSWER = 1 << 24  # bytes
_LONGEST_MESSAGE = 600  # characters
# The inner namespace owns no mounts, so the process cannot undo those of the outer one.
_HIDE = 'n=$1; shift; while [ $n -gt 0 ]; do mount -t tmpfs none "$1" || exit 97; shift; n=$((n - 1)); done; exec unshare -U "$@"'


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a process may use.

    Attributes:
      seconds: wall time.
      memory_mb: address space. JAX reserves a few times what it uses: training on the Element Finder takes 3 GB.
      file_mb: size of each file that it writes.
      processor_s: processor time of all cores together; by default `seconds` for each core.
    """

    seconds: float = 3600.0
    memory_mb: int = 16_384
    file_mb: int = 2_048
    processor_s: int | None = None


@dataclasses.dataclass(frozen=True)
class Reply:
    """What came back.

    Attributes:
      answer: plain data, made by the stranger's process: check it.
      namespaces: whether the process had no network and could not see the hidden folders. Otherwise only Python's audit
        hook stood in its way.
      duration_s: seconds of wall time.
    """

    answer: dict[str, Any]
    namespaces: bool
    duration_s: float


@contextlib.contextmanager
def workplace() -> Iterator[pathlib.Path]:
    """A temporary folder for one or more questions: files for the process, and files from it, are in `FILES` inside it."""
    with tempfile.TemporaryDirectory(prefix="nmbench-isolated-", ignore_cleanup_errors=True) as folder:
        place = pathlib.Path(folder).resolve()
        for name in ("home", FILES, "code"):
            (place / name).mkdir()
        _copy_code(place / "code")
        yield place


def ask(
    question: Mapping[str, Any],
    place: pathlib.Path,
    *,
    hidden: Sequence[pathlib.Path] = (),
    limits: Limits = Limits(),  # noqa: B008, it is frozen
) -> Reply:
    """Ask the process a question of `nmbench.submissions.probe`.

    Args:
      question: plain data; "plugins" are the names of files in the folder `FILES` of the workplace.
      place: the folder of `workplace`.
      hidden: folders that the process must not find, besides the frozen sets; where namespaces are allowed, they are empty.
      limits: what it may use.

    Raises:
      NmbenchError: the question has no answer; the process broke a limit, died, or did something that is not allowed.
    """
    began = time.perf_counter()
    (place / QUESTION).write_text(json.dumps(question, allow_nan=False), encoding="utf-8")
    (place / ANSWER).unlink(missing_ok=True)
    hide = [folder.resolve() for folder in (*_frozen_sets(), *hidden) if folder.is_dir()]
    inside = namespaces()
    program = [sys.executable, "-s", "-B", "-m", "nmbench.submissions.isolated", str(place), json.dumps(_limits(limits, hide))]
    command = _in_namespaces(program, hide) if inside else program
    code = _run(command, place, limits.seconds)
    answer = _read_answer(place / ANSWER)
    said = printable(str(answer.get("error", "")))[:_LONGEST_MESSAGE]
    if code is None:
        raise NmbenchError(f"the model took longer than {limits.seconds:g} s, the limit; see --time_limit")
    if code == -signal.SIGXCPU:
        raise NmbenchError("the model used more processor time than allowed; see --time_limit")
    if said:
        raise NmbenchError(said)
    if code != 0 or "answer" not in answer or not isinstance(answer["answer"], dict):
        raise NmbenchError(f"the process of the model ended with code {code}{_last_line(place / OUTPUT)}")
    return Reply(answer["answer"], inside, time.perf_counter() - began)


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


def _run(command: Sequence[str], place: pathlib.Path, seconds: float) -> int | None:
    """Exit code of a command that is stopped, with all its children, after `seconds`; None if it was."""
    with open(place / OUTPUT, "wb") as output:
        process = subprocess.Popen(
            command,
            cwd=place / FILES,
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

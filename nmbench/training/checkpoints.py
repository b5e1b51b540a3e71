"""Checkpoints of runs in training: when they are written, and what can resume from them.

Each run has its own file, named by its run id, because a run does not depend on the runs trained beside it by a single bit.
So any runs can be resumed together. The run id identifies the configuration; the file also holds a fingerprint of the
training code and of the libraries, and a hash of its contents. Files are written every few minutes and when the command
receives a signal, and are removed when the row of the run is stored.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import os
import pathlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from nmbench.contracts import fingerprints
from nmbench.results.provenance import utc_now
from nmbench.support.errors import NmbenchError
from nmbench.support.interrupts import SignalWatch
from nmbench.training import parameter_files, snapshot
from nmbench.training.snapshot import Snapshot

SUFFIX, UNUSABLE = ".safetensors", ".unusable"
MINUTES = 5.0
# The code that determines how a run goes on from its state. Models and data are part of the run id.
TRAINING_CODE = (
    "contracts/input_weights.py",
    "contracts/model.py",
    "contracts/parameters.py",
    "contracts/protocol.py",
    "contracts/specs.py",
    "contracts/task.py",
    "contracts/unroll.py",
    "training/optimizer.py",
    "training/phase_program.py",
    "training/piece_length.py",
    "training/snapshot.py",
    "training/state.py",
    "training/trainer.py",
)
_LIBRARIES = ("jax", "jaxlib", "dm-haiku", "optax", "numpy")


class Checkpoints:
    """The checkpoints of one command.

    Args:
      folder: where the files are; created when the first one is written.
      minutes: minutes between two checkpoints; 0 writes one after every validation.
      watch: tells whether the command has received a signal.
      say: called with one line that the user should read.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        *,
        minutes: float = MINUTES,
        watch: SignalWatch | None = None,
        say: Callable[[str], None] = lambda line: print(line, file=sys.stderr),
    ):
        self.folder, self.watch = folder, watch or SignalWatch()
        self._seconds, self._say = 60 * minutes, say
        self._started: dict[str, str] = {}
        self._keys: list[str] = []
        self._unfinished: set[str] = set()
        self._snapshots: Callable[[], list[Snapshot]] = list
        self._last_saved, self._warned = 0.0, False

    def load(self, key: str) -> Snapshot | None:
        """The checkpoint of a run, None if there is none. One that cannot be used is set aside, and one line says why."""
        path = self._path(key)
        try:
            loaded = parameter_files.load_arrays(path)
            if loaded is None:
                return None
            arrays, facts = loaded
            if facts.pop("hash", None) != snapshot.content_hash(arrays, facts):
                raise NmbenchError("its contents do not match their hash")
            if facts["key"] != key:
                raise NmbenchError("it is of another run")
            if facts["code"] != training_code():
                raise NmbenchError("it was made with other training code or other versions of the libraries")
        except NmbenchError as error:
            aside = path.with_name(path.name + UNUSABLE)
            with contextlib.suppress(OSError):
                os.replace(path, aside)
            self._say(
                f"the checkpoint {path} cannot be used: {error}; it is now {aside.name}, and the run starts from step 0"
            )
            return None
        self._started[key] = facts["started_utc"]
        return snapshot.unpack(arrays, facts)

    def started(self, key: str) -> str | None:
        """When training of a run began, before all interruptions, UTC; None if it has not begun."""
        return self._started.get(key)

    def discard(self, key: str) -> None:
        """Remove the checkpoint of a run that is stored or will be trained again."""
        with contextlib.suppress(OSError):
            self._path(key).unlink()
        self._unfinished.discard(key)

    @contextlib.contextmanager
    def training(self, keys: Sequence[str], snapshots: Callable[[], list[Snapshot]]) -> Iterator[None]:
        """Context of the training, evaluation and storing of some runs: a first signal waits for a checkpoint.

        Args:
          keys: names of the checkpoints, in the order of the runs.
          snapshots: returns the current state of all these runs.

        Raises:
          NmbenchError: an `NmbenchError` from inside, which then also says what was saved.
          Interrupted: the command received a signal; the state of all runs is saved.
        """
        self._keys, self._unfinished, self._snapshots = list(keys), set(keys), snapshots
        self._last_saved = time.monotonic()
        now = utc_now()
        for key in keys:
            self._started.setdefault(key, now)
        try:
            with self.watch.deferred():
                yield
        except NmbenchError as error:
            raise NmbenchError("; ".join(filter(None, [str(error), self.rescue()]))) from error
        except Exception:
            self.rescue()
            raise
        finally:
            self._keys, self._unfinished, self._snapshots = [], set(), list

    def update(self) -> None:
        """Write checkpoints if it is time, and stop if a signal has arrived. Call it between two chunks."""
        self.stop_if_signalled()
        if time.monotonic() - self._last_saved < self._seconds:
            return
        try:
            self._save()
        except OSError as error:
            if not self._warned:
                self._say(f"cannot write a checkpoint to {self.folder}: {error.strerror or error}; training continues")
            self._warned = True
        self._last_saved = time.monotonic()

    def stop_if_signalled(self) -> None:
        """If a signal has arrived, save all runs that are not stored and raise `Interrupted`."""
        if self.watch.signalled:
            self.watch.raise_if_signalled(self.rescue())

    def rescue(self) -> str:
        """Write a checkpoint of every run that is not stored; return a sentence on what was saved, "" for nothing."""
        try:
            step = self._save()
        except OSError as error:
            return f"no checkpoint could be written to {self.folder} ({error.strerror or error})"
        except RuntimeError:  # after an error in the middle of a chunk, JAX has no state to save
            return ""
        if not step:
            return ""
        runs = f"{len(self._unfinished)} run{'' if len(self._unfinished) == 1 else 's'}"
        return f"{runs} saved at step {step} in {self.folder}; run the same command again to resume"

    def _save(self) -> int:
        """Write the runs that are not stored; return the number of steps that they have done."""
        if not self._unfinished:
            return 0
        states = dict(zip(self._keys, self._snapshots(), strict=False))
        step = max((state.curve[-1].step for state in states.values() if state.curve), default=0)
        if step:
            self.folder.mkdir(parents=True, exist_ok=True)
            for key in self._unfinished:
                arrays, facts = snapshot.pack(states[key])
                facts |= {"key": key, "code": training_code(), "started_utc": self._started[key]}
                facts["hash"] = snapshot.content_hash(arrays, facts)
                parameter_files.save_arrays(self._path(key), arrays, facts)
        return step

    def _path(self, key: str) -> pathlib.Path:
        return self.folder / f"{key}{SUFFIX}"


@functools.cache
def training_code() -> str:
    """Fingerprint of the training code, by its meaning, and of the versions of the libraries."""
    root = pathlib.Path(__file__).resolve().parents[1]
    code = fingerprints.of_files(root / name for name in TRAINING_CODE)
    versions = [f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES]
    return hashlib.sha256("\n".join([code, *versions]).encode()).hexdigest()

"""Checkpoints of unfinished runs: writing them, and resuming from them.

Each run has its own file, named by its run id. Runs that are trained together do not affect each other, not even in the last
bit, so any runs at the same step can be resumed together. The run id identifies the configuration. The file also holds a
hash of the training code and the versions of the libraries, and a hash of its own contents. Files are written every few
minutes and when the command receives a signal. A file is removed when the row of its run is stored.
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
from nmbench.results.provenance import processor, utc_now
from nmbench.support.errors import NmbenchError
from nmbench.support.interrupts import SignalWatch
from nmbench.training import parameter_files, snapshot
from nmbench.training.snapshot import Snapshot

SUFFIX, UNUSABLE = ".safetensors", ".unusable"
MINUTES = 5.0
# The code that determines how training continues from a snapshot. Models and data are part of the run id.
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
# Between the names of processors that trained one run. Such a row is not expected to come out the same to the bit anywhere.
_AND = "; then "
_STOPPING = "stopping at the next validation; press Ctrl-C again to stop at once, without saving"
_LIBRARIES = ("jax", "jaxlib", "dm-haiku", "optax", "numpy")


class Checkpoints:
    """The checkpoints of one command.

    Args:
      folder: folder of the files; created when the first file is written.
      minutes: minutes between two checkpoints; 0 writes one after every validation.
      watch: records whether the command has received a signal.
      say: called with messages for the user, one line each.
      keep: whether to write checkpoints at all.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        *,
        minutes: float = MINUTES,
        watch: SignalWatch | None = None,
        say: Callable[[str], None] = lambda line: print(line, file=sys.stderr),
        keep: bool = True,
    ):
        self.folder, self.watch = folder, watch or SignalWatch()
        self._seconds, self._say, self._keep = 60 * minutes, say, keep
        self._code = training_code()  # now, since a developer may edit the code during training
        self._started: dict[str, str] = {}
        self._processor, self._earlier = processor(), dict[str, str]()
        self._keys: list[str] = []
        self._unfinished: set[str] = set()
        self._snapshots: Callable[[], list[Snapshot]] = list
        self._last_saved, self._warned = 0.0, False

    def load(self, key: str) -> Snapshot | None:
        """The snapshot in the checkpoint of a run, None without a usable one. An unusable file is renamed and reported."""
        path = self._path(key)
        try:
            loaded = parameter_files.load_arrays(path)
            if loaded is None:
                return None
            arrays, facts = loaded
            if facts.pop("hash", None) != snapshot.content_hash(arrays, facts):
                raise NmbenchError("its contents do not match their hash")
            if facts["key"] != key:
                raise NmbenchError("it belongs to another run")
            if facts["code"] != self._code:
                raise NmbenchError("it was made with other training code or other versions of the libraries")
        except NmbenchError as error:
            aside, renamed = path.with_name(path.name + UNUSABLE), ""
            with contextlib.suppress(OSError):
                os.replace(path, aside)
                renamed = f"it is now {aside.name}, and "
            self._say(f"the checkpoint {path} cannot be used: {error}; {renamed}the run starts from step 0")
            return None
        self._started[key] = facts["started_utc"]
        self._earlier[key] = facts.get("processor", "")
        if (device := facts.get("device", _device())) != _device():  # such as a GPU of the same machine
            self._earlier[key] += f" with {device}"
        return snapshot.unpack(arrays, facts)

    def unused(self, keys: Sequence[str]) -> int:
        """Number of checkpoints of the same models, tasks, protocols and seeds as these, under other keys."""
        stems = {key.rpartition(".")[0] for key in keys}
        with contextlib.suppress(OSError):
            names = [path.name.removesuffix(SUFFIX) for path in self.folder.glob(f"*{SUFFIX}")]
            return sum(name.rpartition(".")[0] in stems and name not in keys for name in names)
        return 0

    def started(self, key: str) -> str | None:
        """Time at which training of a run began, before any interruption, in UTC; None if it has not begun."""
        return self._started.get(key)

    def processor(self, key: str) -> str:
        """Model of the processor on which a run is trained; with those before its interruptions, if they were others."""
        earlier = [model for model in self._earlier.get(key, "").split(_AND) if model]
        return _AND.join(dict.fromkeys([*earlier, self._processor]))

    def discard(self, key: str) -> None:
        """Remove the checkpoint of a run that is stored or will be trained from the beginning."""
        with contextlib.suppress(OSError):
            self._path(key).unlink()
        self._unfinished.discard(key)

    @contextlib.contextmanager
    def training(self, keys: Sequence[str], snapshots: Callable[[], list[Snapshot]]) -> Iterator[None]:
        """Context in which some runs are trained, evaluated and stored.

        A first signal is only recorded; the next `update` or `stop_if_signalled` saves the runs and stops. A second signal
        stops at once and saves nothing.

        Args:
          keys: names of the checkpoints, one per run.
          snapshots: returns the current state of all these runs, in the order of `keys`.

        Raises:
          NmbenchError: the `NmbenchError` that was raised inside, or that memory ran out, with a sentence about saved runs.
          Interrupted: the command received a signal.
        """
        self._keys, self._unfinished, self._snapshots = list(keys), set(keys), snapshots
        self._last_saved = time.monotonic()
        now = utc_now()
        for key in keys:
            self._started.setdefault(key, now)
        try:
            with self.watch.deferred(_STOPPING):
                yield
        except NmbenchError as error:
            raise NmbenchError("; ".join(filter(None, [str(error), self.rescue()]))) from error
        except Exception as error:
            saved = self.rescue()
            if isinstance(error, MemoryError) or any(
                words in str(error) for words in ("RESOURCE_EXHAUSTED", "ut of memory")
            ):
                advice = "memory ran out; try fewer seeds at a time, a smaller model, or --remat"
                raise NmbenchError("; ".join(filter(None, [advice, saved]))) from error
            raise
        finally:
            self._keys, self._unfinished, self._snapshots = [], set(), list

    def update(self) -> None:
        """Call `stop_if_signalled`, then write checkpoints if they are due. To be called between two chunks."""
        self.stop_if_signalled()
        if not self._keep or time.monotonic() - self._last_saved < self._seconds:
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
        """Write a checkpoint of every run that is not stored; return a sentence about the saved runs, "" if none."""
        if not self._keep:
            return "unfinished runs are not saved and start again from step 0" if self._unfinished else ""
        try:
            step = self._save()
        except OSError as error:
            why = f"{self.folder}: {error.strerror or error}"
            return f"not all runs could be saved ({why}); the others start again from their last checkpoint, or from step 0"
        except RuntimeError:  # after an error within a chunk, the last state has been donated to JAX and cannot be read
            return ""
        if not step:
            return ""
        runs = f"{len(self._unfinished)} run{'' if len(self._unfinished) == 1 else 's'}"
        return f"{runs} saved at step {step} in {self.folder}; run the same command again to resume"

    def _save(self) -> int:
        """Write a checkpoint of every run that is not stored; return the number of steps done. At 0, nothing is written."""
        if not self._unfinished:
            return 0
        states = dict(zip(self._keys, self._snapshots(), strict=False))
        step = max((state.curve[-1].step for state in states.values() if state.curve), default=0)
        if step:
            self.folder.mkdir(parents=True, exist_ok=True)
            for key in sorted(self._unfinished):
                arrays, facts = snapshot.pack(states[key])
                facts |= {"key": key, "code": self._code, "started_utc": self._started[key]}
                facts |= {"processor": self.processor(key), "device": _device()}
                facts["hash"] = snapshot.content_hash(arrays, facts)
                parameter_files.save_arrays(self._path(key), arrays, facts)
        return step

    def _path(self, key: str) -> pathlib.Path:
        return self.folder / f"{key}{SUFFIX}"


def _device() -> str:
    import jax

    return jax.devices()[0].device_kind


@functools.cache
def training_code() -> str:
    """Hash of the training code (see `nmbench.contracts.fingerprints`) and of the versions of the libraries."""
    root = pathlib.Path(__file__).resolve().parents[1]
    code = fingerprints.of_files(root / name for name in TRAINING_CODE)
    versions = [f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES]
    return hashlib.sha256("\n".join([code, *versions]).encode()).hexdigest()

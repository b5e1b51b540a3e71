"""Checkpoints of runs in training: when they are written, what resumes from them, and what happens when the disk is full.

Each lane has a file of its own, named by the run that it will become, since a lane depends on no other by a single bit:
any of them can be resumed in any company. A run id holds the configuration; the file also names the code and the libraries,
so nothing but the very same run resumes. Files are written every few minutes and when the command is told to stop, and
removed when the run's row is stored.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import functools
import hashlib
import importlib.metadata
import importlib.util
import math
import os
import pathlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from nmbench.results.provenance import utc_now
from nmbench.support import files
from nmbench.support.errors import NmbenchError
from nmbench.support.interrupts import Watch
from nmbench.training import parameter_files, snapshot
from nmbench.training.snapshot import Snapshot

SUFFIX, ASIDE = ".safetensors", ".unusable"
MINUTES = 5.0
_FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
_LIBRARIES = ("jax", "jaxlib", "dm-haiku", "optax", "numpy")


class Checkpoints:
    """The checkpoints of one command.

    Args:
      folder: where the files lie; made when the first is written.
      minutes: wall-clock time between two checkpoints; 0 for one after every validation.
      watch: tells whether the command has been told to stop.
      tell: called with one line on what the user should know.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        *,
        minutes: float = MINUTES,
        watch: Watch | None = None,
        tell: Callable[[str], None] = lambda line: print(line, file=sys.stderr),
    ):
        self.folder, self.watch = folder, watch or Watch()
        self._seconds, self._tell = 60 * minutes, tell
        self._started: dict[str, str] = {}
        self._keys: list[str] = []
        self._latest: Callable[[], list[Snapshot]] | None = None
        self._ballast: pathlib.Path | None = None
        self._last, self._now = 0.0, utc_now()
        self._complained = False

    def load(self, key: str, read: Callable[[Mapping[str, Any], Mapping[str, Any]], Snapshot]) -> Snapshot | None:
        """Where a run stands, None if there is no checkpoint; one that is of no use is set aside, and one line says why.

        Args:
          key: the run's name.
          read: makes a snapshot from arrays and facts; raises `NmbenchError` if they are not those of this run.
        """
        path = self._path(key)
        try:
            loaded = parameter_files.load_arrays(path)
            if loaded is None:
                return None
            arrays, facts = loaded
            seal = facts.pop("seal", None)
            if seal != snapshot.seal(arrays, facts):
                raise NmbenchError("its contents do not match their hash")
            if facts.get("key") != key:
                raise NmbenchError("it is of another run")
            if facts.get("code") != code():
                raise NmbenchError("it was made by other code or other versions of the libraries")
            found = read(arrays, facts)
            try:
                datetime.datetime.fromisoformat(facts["started_utc"])
            except (KeyError, TypeError, ValueError):
                raise NmbenchError("it does not say when the run started") from None
        except NmbenchError as error:
            aside = path.with_name(path.name + ASIDE)
            with contextlib.suppress(OSError):
                os.replace(path, aside)
            self._tell(f"the checkpoint {path} cannot be used: {error}; set aside as {aside.name}, the run starts anew")
            return None
        self._started[key] = facts["started_utc"]
        return found

    def started(self, key: str) -> str | None:
        """When training of a resumed run began, UTC; None for one that was not resumed."""
        return self._started.get(key)

    def discard(self, key: str) -> None:
        """Forget the checkpoint of a run: it is stored, or to be done again."""
        with contextlib.suppress(OSError):
            self._path(key).unlink()
        if key in self._keys:
            self._drop(key)

    @contextlib.contextmanager
    def training(self, keys: Sequence[str], size: int) -> Iterator[None]:
        """Around the training, evaluation and storing of some lanes: signals wait for a checkpoint, the disk has room.

        Args:
          keys: names of the runs, in order of their lanes.
          size: bytes that a checkpoint of a lane takes at most.

        Raises:
          NmbenchError: on entering, there is no room on the disk for what training will end with. One that is raised inside
            says in addition what has been kept.
          Interrupted: told to stop; what has been done is in the checkpoints.
        """
        self._keys, self._latest, self._last, self._now = list(keys), None, time.monotonic(), utc_now()
        self._reserve(len(keys) * size)
        try:
            with self.watch.held():
                yield
        except NmbenchError as error:
            raise NmbenchError("; ".join(filter(None, [str(error), self.rescue()]))) from error
        except Exception:
            self.rescue()
            raise
        finally:
            self._release()
            self._keys, self._latest = [], None

    def keep(self, snapshots: Callable[[], list[Snapshot]]) -> None:
        """The `keep` of `nmbench.training.trainer.train`: write checkpoints when it is time, and stop when told to."""
        self._latest = snapshots
        if self.watch.asked:
            self.watch.heed(self.rescue())
        if time.monotonic() - self._last >= self._seconds:
            try:
                self._save()
            except OSError as error:
                if not self._complained:
                    self._tell(f"cannot write a checkpoint to {self.folder}: {error.strerror or error}; training goes on")
                self._complained = True
            self._last = time.monotonic()

    def heed(self) -> None:
        """Stop if told to, after training: what is not stored yet is kept."""
        if self.watch.asked:
            self.watch.heed(self.rescue())

    def rescue(self) -> str:
        """Write a checkpoint of all that is not stored, in the room that was reserved; say what was kept, "" for nothing."""
        if self._latest is None or not self._keys:
            return ""
        self._release()
        try:
            step = self._save()
        except OSError as error:
            return f"no checkpoint could be written to {self.folder} ({error.strerror or error})"
        except RuntimeError:  # JAX has no state left after an error in the middle of a chunk
            return ""
        if not step:
            return ""
        count = f"{len(self._keys)} run{'' if len(self._keys) == 1 else 's'}"
        return f"{count} kept at step {step} in {self.folder}; the same command goes on from there"

    def _save(self) -> int:
        """Write the lanes that are not stored; returns the number of steps that they have done in all."""
        assert self._latest is not None
        latest = dict(zip(self._keys, self._latest(), strict=True))
        step = max((s.curve[-1].step for s in latest.values() if s.curve), default=0)
        if step:
            self.folder.mkdir(parents=True, exist_ok=True)
            for key, lane in latest.items():
                arrays, facts = snapshot.pack(lane)
                facts |= {"key": key, "code": code(), "started_utc": self._started.setdefault(key, self._now)}
                parameter_files.save_arrays(self._path(key), arrays, {**facts, "seal": snapshot.seal(arrays, facts)})
        return step

    def _drop(self, key: str) -> None:
        place, latest = self._keys.index(key), self._latest
        self._keys.pop(place)
        if latest is not None:
            # The state of all lanes stays where it is until the last of them is stored.
            self._latest = lambda: [lane for i, lane in enumerate(latest()) if i != place]

    def _path(self, key: str) -> pathlib.Path:
        return self.folder / f"{key}{SUFFIX}"

    def _reserve(self, size: int) -> None:
        """Take the room that the checkpoints of finished lanes need, so that a disk that fills up cannot cost them."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._ballast = files.temporary(self.folder)
            with open(self._ballast, "wb") as file:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, size)
                else:
                    for _ in range(math.ceil(size / (1 << 20))):
                        file.write(bytes(1 << 20))
        except OSError as error:
            self._release()
            if error.errno not in _FULL:
                raise NmbenchError(f"{self.folder} cannot be written ({error.strerror or error})") from error
            raise NmbenchError(
                f"no room for results in {self.folder.parent} ({error.strerror or error}): checkpoints take up to "
                f"{math.ceil(size / 1000)} kB; free some, or choose another --results_dir; nothing was trained"
            ) from error

    def _release(self) -> None:
        if self._ballast is not None:
            files.remove(self._ballast)
            self._ballast = None


@functools.cache
def code() -> str:
    """Fingerprint of the engine, the built-in tasks and models, and the libraries beneath them."""
    sha = hashlib.sha256()
    for package in ("nmbench", "nmbench.tasks", "nmbench.baselines"):
        spec = importlib.util.find_spec(package)
        # The first location: in a checkout, the second one of `nmbench` is the root.
        for folder in (spec.submodule_search_locations or ())[:1] if spec else ():
            for path in sorted(pathlib.Path(folder).glob("*.py")):
                sha.update(f"{package}/{path.name}\n".encode() + path.read_bytes())
    versions = [f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES]
    return hashlib.sha256("\n".join([sha.hexdigest(), *versions]).encode()).hexdigest()
